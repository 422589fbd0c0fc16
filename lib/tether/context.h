// SPDX-License-Identifier: Apache-2.0
//
// tether::Context: the deadline, the cancellation and the values of one
// request, passed down explicitly.
//
// A context is made from a parent, for part of the parent's work. It ends when
// its parent ends, or earlier. So when a request is given up, all the work for
// it ends too. The model is Go's package context (https://pkg.go.dev/context).
//
//   absl::Status FetchPage(const tether::Context& ctx, Page* page) {
//     auto [db_ctx, cancel] = tether::WithTimeout(ctx, absl::Milliseconds(50));
//     for (const Row& row : Query(db_ctx)) {
//       if (db_ctx.Done()) return db_ctx.Err();
//       page->Add(row);
//     }
//     return absl::OkStatus();
//   }  // `cancel` goes out of scope and ends what is left of the query
//
// Rules of use
//  - Pass a context as the first parameter, `const Context& ctx`. Do not store
//    it in an object that outlives the request.
//  - If you have no context yet, use Todo(); at the top of a program, use
//    Background().
//  - Holding a context does not allow you to cancel it; only its CancelFunc
//    does. Keep the CancelFunc in a local variable: its destructor cancels.
//  - Use values for data that crosses APIs with the request (ids, traces,
//    credentials), not for optional parameters.
//
// Rules that contexts keep
//  1. A child is done when its parent is, or earlier; a child never ends its
//     parent. The first reason stays. When a context ends, its children, their
//     children and all contexts merged with them end at the same moment, as
//     seen by every thread.
//  2. A child's deadline is the earlier of its own and its parent's. There is
//     no hidden default. If both are equal and the child was given a cause, the
//     child ends by its own deadline, with that cause.
//  3. When cancel() returns, all descendants are done. Callbacks run without
//     any lock held, on the thread that cancels. Callbacks of passed deadlines
//     run on one thread of the process; a callback that blocks there delays
//     other callbacks, and nothing else.
//  4. A deadline in the past is expired, never "none". A deadline more than 292
//     years away, which int64_t nanoseconds can't hold, is "none"; one that far
//     in the past is InfinitePast().
//  5. Deadlines are kept on a steady clock. If the wall clock jumps, nothing
//     changes.
//  6. Done() is exact: once Remaining() <= 0, it is true. After that, Err()
//     never changes. Waits end in time. All of this holds even if tether's
//     threads are busy, could not be started or are gone: after exit() has
//     begun, or in the child of a fork.
//  7. A context that ended leaves nothing behind in its parent.
//
// Thread safety: everything here may be used from any thread at any time. As
// with any variable, assigning to, moving from or destroying a Context, a
// CancelFunc or a Registration needs external synchronization.
//
// Out of memory: functions that make something (a context, a callback, a task)
// throw std::bad_alloc and have no effect then; so do Wait, WaitFor and
// WaitUntil. Functions that query, end or destroy need no memory; at worst an
// error lacks its message.
//
// Threads: the first deadline starts the thread "tether-timer"; the first
// callback of a passed deadline starts "tether-callback". They block all
// signals except those raised by faults. If a thread can't be started, nothing
// fails or throws: each later deadline tries again, and callbacks of deadlines
// run once it has started.
//
// exit(): contexts may be made and used while static objects are destroyed.
// Callbacks of deadlines stop running when the static objects that were made
// after the first deadline have been destroyed.
//
// fork(): the child process may make contexts from Background() or Todo(),
// whatever the other threads of its parent were doing. Deadlines set before the
// fork run no callbacks in the child. It may use, cancel and destroy a context
// made before the fork only if no other thread of the parent process was using
// that context or a descendant of it: a lock could be held forever. A child
// that is forked in a callback must end there, by _exit() or exec().

#ifndef TETHER_CONTEXT_H_
#define TETHER_CONTEXT_H_

#include <atomic>
#include <cstddef>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/export.h"
#include "tether/internal/node.h"

namespace tether {

class Clock;
struct Cancellable;
class NewCancellable;

// The name of a value of type T. Its identity is its address: make it a
// constant at namespace scope.
//
//   inline constexpr tether::Key<std::string> kUser{"user"};
template <typename T>
class Key : private internal::KeyBase {
 public:
  using value_type = T;

  // `key_name` is shown by DebugString. It must outlive the key, as a literal
  // does.
  explicit constexpr Key(const char* key_name) : internal::KeyBase{key_name} {}
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;

 private:
  friend struct internal::ContextAccess;
};

// An immutable value of one pointer: cheap to copy and never null. A moved-from
// Context is Background().
//
// Thread safety: any thread may use it, also at the same time as others.
class [[nodiscard]] TETHER_EXPORT Context {
 public:
  // Same as Background().
  Context() : node_(&internal::background_node) {}
  Context(const Context& other) : node_(internal::Ref(other.node_)) {}
  Context(Context&& other) noexcept
      : node_(std::exchange(other.node_, &internal::background_node)) {}
  Context& operator=(Context other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Context() { internal::Unref(node_); }

  // The wall-clock time at which this ends at the latest, or InfiniteFuture()
  // if there is no deadline. The result never changes: it is the time given to
  // WithDeadline; for a timeout, it is computed from the wall clock by the
  // first call. If the wall clock jumps, use Remaining() instead.
  absl::Time Deadline() const;

  // The time left on the steady clock: InfiniteDuration() if there is no
  // deadline, <= 0 once it has passed.
  absl::Duration Remaining() const;

  // True if the context has ended. Costs one atomic load while the context
  // lives and its deadline is more than 0.1 s away; nearer than that, it reads
  // the clock too. Wait-free, with one exception: on the context of a server's
  // request, the first call may start the watch for the end of the request.
  bool Done() const {
    internal::Scope* scope = node_->scope;
    return scope != nullptr && internal::IsDone(scope);
  }

  // OK until done; then CANCELLED "context canceled" or DEADLINE_EXCEEDED
  // "context deadline exceeded".
  absl::Status Err() const;

  // OK until done; then the cause given to the CancelFunc or the deadline that
  // ended this context or its ancestor, or Err() if no cause was given.
  absl::Status Cause() const;

  // Blocks until done; forever if nothing can end this. Avoid it in a callback
  // of AfterFunc, where it delays other callbacks.
  void Wait() const;

  // Blocks until done (returns true) or until the time has passed on this
  // context's clock (returns false). Does not block if the time has already
  // passed.
  bool WaitFor(absl::Duration timeout) const;
  bool WaitUntil(absl::Time time) const;

  // The value nearest to this context under `key`, or null if there is none.
  // Valid as long as this Context or a descendant exists. No allocation, no
  // lock.
  template <typename T>
  const T* Value(const Key<T>& key) const;

  // The chain, root first, like Go's String():
  // "Background.WithValue(user).WithCancel". Shows the names of keys, never
  // values. Merges within the other chain of a merge are shown as "Merge(…)".
  std::string DebugString() const;

  // True if both are the same context, i.e. copies of the result of one call.
  friend bool operator==(const Context& a, const Context& b) {
    return a.node_ == b.node_;
  }
  friend bool operator!=(const Context& a, const Context& b) {
    return !(a == b);
  }

 private:
  friend struct internal::ContextAccess;

  // Takes over a reference.
  explicit Context(internal::Node* node) : node_(node) {}

  internal::Node* node_;
};

// Ends one context: cancel() or cancel(cause). Move-only; its destructor
// cancels, so it is C++'s `defer cancel()`.
//
// Idempotent, from any thread: only the first call counts. When a call returns,
// the context and all descendants are done, and the callbacks of the contexts
// that this call ended have run. A callback may call, assign to or destroy the
// CancelFunc that runs it. A default-constructed or moved-from CancelFunc does
// nothing.
class [[nodiscard]] TETHER_EXPORT CancelFunc {
 public:
  CancelFunc() = default;
  CancelFunc(CancelFunc&& other) noexcept
      : scope_(std::exchange(other.scope_, nullptr)),
        called_(other.called_.load(std::memory_order_relaxed)) {}
  CancelFunc& operator=(CancelFunc&& other) noexcept;
  ~CancelFunc() { Reset(); }

  // Err() becomes CANCELLED. Cause() becomes `cause`, or Err() if `cause` is OK
  // or absent.
  void operator()() const { Cancel(absl::OkStatus()); }
  void operator()(const absl::Status& cause) const { Cancel(cause); }

 private:
  friend struct internal::ContextAccess;

  explicit CancelFunc(internal::Scope* scope) : scope_(scope) {}
  void Cancel(const absl::Status& cause) const;
  void Reset();

  internal::Scope* scope_ = nullptr;  // owns a reference
  // True once a call has returned: the destructor need not end the scope again.
  mutable std::atomic<bool> called_{false};
};

// A context and the power to end it, as a member of a class or an element of a
// container. A local variable needs no such type: see NewCancellable.
struct [[nodiscard]] Cancellable {
  Cancellable() = default;  // ctx is Background()
  Cancellable(Context made, CancelFunc end)
      : ctx(std::move(made)), cancel(std::move(end)) {}
  Cancellable(NewCancellable&& made);

  Context ctx;
  CancelFunc cancel;
};

// What WithCancel and the like return. Give its parts names, or store it:
//
//   auto [ctx, cancel] = WithCancel(parent);
//   Cancellable made = WithCancel(parent);
//
// Keep `cancel` as long as the work. WithCancel(parent).ctx does not compile:
// the context would end in the same line.
//
// In C++17 a lambda can't capture `ctx` by name, since it is a structured
// binding: write [ctx = ctx], or pass it as an argument.
class [[nodiscard]] NewCancellable {
 public:
  NewCancellable(NewCancellable&&) = default;
  NewCancellable& operator=(NewCancellable&&) = default;

  // For structured bindings.
  template <std::size_t I>
  friend auto&& get(NewCancellable&& made) {
    return std::move(Part<I>(made));
  }
  template <std::size_t I>
  friend auto& get(NewCancellable& made) {
    return Part<I>(made);
  }
  template <std::size_t I>
  friend auto& get(const NewCancellable& made) {
    return Part<I>(made);
  }

 private:
  friend struct Cancellable;
  friend struct internal::ContextAccess;

  NewCancellable(Context made, CancelFunc end)
      : ctx(std::move(made)), cancel(std::move(end)) {}

  template <std::size_t I, typename Made>
  static auto& Part(Made& made) {
    if constexpr (I == 0) {
      return made.ctx;
    } else {
      return made.cancel;
    }
  }

  // Compilers show these lines to those who write WithCancel(parent).ctx.
  Context ctx;  // private: write  auto [ctx, cancel] = WithCancel(parent);
  CancelFunc
      cancel;  // private: write  auto [ctx, cancel] = WithCancel(parent);
};

inline Cancellable::Cancellable(NewCancellable&& made)
    : Cancellable(std::move(made.ctx), std::move(made.cancel)) {}

// The root: never ends, has no deadline and no values. It uses the machine's
// clocks, or `clock`, which must outlive it.
[[nodiscard]] inline Context Background() { return Context(); }
[[nodiscard]] TETHER_EXPORT Context Background(Clock& clock);

// Like Background(), for code that has no context yet. A search for the name
// finds such places.
[[nodiscard]] TETHER_EXPORT Context Todo();

// A child that ends when its parent ends or when it is cancelled.
[[nodiscard]] TETHER_EXPORT NewCancellable WithCancel(const Context& parent);

// A child that also ends, with DEADLINE_EXCEEDED, at `deadline` or `timeout`
// from now. Cause() is `cause` then, unless that is OK. If the time has passed
// already, the child is born done. A parent's earlier deadline still applies.
// InfiniteFuture() and InfiniteDuration() add no deadline.
[[nodiscard]] TETHER_EXPORT NewCancellable
WithDeadline(const Context& parent, absl::Time deadline,
             absl::Status cause = absl::OkStatus());
[[nodiscard]] TETHER_EXPORT NewCancellable
WithTimeout(const Context& parent, absl::Duration timeout,
            absl::Status cause = absl::OkStatus());

// A child with one more value, which hides the parent's value under the same
// key. T must be nothrow-destructible and safe to read from several threads.
// The value is destroyed by the thread that drops the last context with it,
// without any lock held; its destructor may use other contexts.
template <typename T>
[[nodiscard]] Context WithValue(const Context& parent, const Key<T>& key,
                                typename Key<T>::value_type value);

// A context with the parent's values but without its deadline and cancellation,
// for work that must outlive the request.
[[nodiscard]] TETHER_EXPORT Context WithoutCancel(const Context& parent);

// A child of `primary`, with its values and its clock, that also ends when
// `other` ends: at the same moment and for the same reason. Its deadline is the
// earlier of the two. If `other` is a merge too, and so on, destroying the
// chain takes stack in proportion to its length.
[[nodiscard]] TETHER_EXPORT NewCancellable Merge(const Context& primary,
                                                 const Context& other);

// Implementation details only below.

namespace internal {
struct ContextAccess {
  static Node* NodeOf(const Context& ctx) { return ctx.node_; }
  template <typename T>
  static const KeyBase* BaseOf(const Key<T>& key) {
    return &key;
  }
  // Takes over a reference.
  static Context MakeContext(Node* node) { return Context(node); }
  // Takes over the two references that a scope is born with.
  static NewCancellable MakeCancellable(Scope* scope) {
    return {Context(scope), CancelFunc(scope)};
  }
  static const Context& ContextOf(const NewCancellable& made) {
    return made.ctx;
  }
  // Makes another CancelFunc.
  static CancelFunc ShareCancel(Scope* scope) {
    Ref(scope);
    return CancelFunc(scope);
  }
};
}  // namespace internal

// Inline, so that a shared library doesn't export what it instantiates for its
// own types.
template <typename T>
inline const T* Context::Value(const Key<T>& key) const {
  const internal::ValueNode* node =
      internal::FindValue(node_, internal::ContextAccess::BaseOf(key));
  return node == nullptr
             ? nullptr
             : &static_cast<const internal::TypedValueNode<T>*>(node)->value;
}

template <typename T>
Context WithValue(const Context& parent, const Key<T>& key,
                  typename Key<T>::value_type value) {
  using Access = internal::ContextAccess;
  return Access::MakeContext(internal::NewValue<T>(
      Access::NodeOf(parent), Access::BaseOf(key), std::move(value)));
}

}  // namespace tether

// For structured bindings.
template <>
struct std::tuple_size<tether::NewCancellable>
    : std::integral_constant<std::size_t, 2> {};
template <>
struct std::tuple_element<0, tether::NewCancellable> {
  using type = tether::Context;
};
template <>
struct std::tuple_element<1, tether::NewCancellable> {
  using type = tether::CancelFunc;
};

#endif  // TETHER_CONTEXT_H_
