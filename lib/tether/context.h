// tether::Context: the deadline, the cancellation and the values of one
// request, handed down explicitly.
//
// A context is made from a parent, for part of the parent's work, and ends at
// the latest when the parent does. What ends a context ends all that was made
// from it; so a request that is given up takes all its work with it. The model
// is Go's package context (https://pkg.go.dev/context).
//
//   absl::Status FetchPage(const tether::Context& ctx, Page* page) {
//     auto [db_ctx, cancel] = tether::WithTimeout(ctx, absl::Milliseconds(50));
//     for (const Row& row : Query(db_ctx)) {
//       if (db_ctx.Done()) return db_ctx.Err();
//       page->Add(row);
//     }
//     return absl::OkStatus();
//   }  // `cancel` goes out of scope: nothing of the query is left
//
// Rules of use
//  - Pass a context as the first parameter, `const Context& ctx`. Do not store
//    it in an object that outlives the request.
//  - Where no context is at hand, use Todo(); at the top of a program,
//    Background().
//  - A context can't be cancelled by those who hold it, only by who holds its
//    CancelFunc. Keep that in a local variable: its destructor cancels.
//  - Values are for what crosses APIs with the request (ids, trace,
//    credentials), not for optional parameters.
//
// Rules that contexts keep
//  1. A child is done when its parent is, at the latest; a parent never because
//     of a child. The first reason stays. All that one end ends (the children,
//     theirs, and what was merged with them) is done at one moment, also for a
//     thread that only looks on.
//  2. A child's deadline is the earlier of its own and its parent's. There is
//     no hidden default. Where both are the same, and the child was given a
//     cause, it ends by its own, with that cause.
//  3. When cancel() returns, all descendants are done. Callbacks run outside
//     every lock, on the thread that cancels (a passed deadline: on the one
//     thread of the process that runs the callbacks of deadlines; who keeps it
//     delays the others' callbacks, and nothing else).
//  4. A deadline in the past is expired, never "none". One too far to be
//     counted in nanoseconds (292 years) is "none"; one that is as long past is
//     InfinitePast().
//  5. Deadlines are kept on a steady clock; a wall clock that jumps changes
//     nothing.
//  6. Done() is exact: once Remaining() <= 0, it is true. After that Err()
//     never changes. Waits end in time. Both hold whatever tether's threads are
//     at, and where there are none: they could not be started, exit has begun,
//     or this is the child of a fork.
//  7. A context that ended leaves nothing behind in its parent.
//
// Thread safety: everything here may be used from any thread at any time; a
// Context, a CancelFunc or a Registration that is itself being assigned to,
// moved from or destroyed needs the usual care of a variable.
//
// Where memory runs out: what makes something (a context, a callback, a task)
// throws std::bad_alloc, and has then done nothing; so do Wait and its kin.
// What looks, ends or drops needs no memory, destructors included; only words
// may be missing from an error.
//
// Threads: the first deadline starts one, "tether-timer", and the first
// callback of a deadline that passed another one, "tether-callback". All
// signals are blocked in them, but for those of faults. Where the system has no
// thread to give, nothing here fails or throws for that: callbacks of deadlines
// run when one can be started, which the next deadline tries.
//
// exit(): contexts may be made and used while static objects are destroyed.
// Callbacks of deadlines no longer run after those static objects are destroyed
// that were made after the first deadline.
//
// fork(): a child process may make contexts of its own from Background() or
// Todo(), whatever the other threads of its parent were at. Deadlines that were
// set before the fork call nothing in it. Of the contexts that were made before
// the fork it may use, cancel and destroy those that no other thread of its
// parent was using, nor anything made from them: their locks could be held for
// ever. A child that is forked in a callback ends there, by _exit() or exec().

#ifndef TETHER_CONTEXT_H_
#define TETHER_CONTEXT_H_

#include <atomic>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/export.h"
#include "tether/internal/node.h"

namespace tether {

class Clock;
struct Cancellable;

// The name of a value of type T. Its identity is its address: make it a
// constant at namespace scope.
//
//   inline constexpr tether::Key<std::string> kUser{"user"};
template <typename T>
class Key : private internal::KeyBase {
 public:
  using value_type = T;

  // `key_name` is for DebugString and must outlive the key; a literal does.
  explicit constexpr Key(const char* key_name) : internal::KeyBase{key_name} {}
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;

 private:
  friend struct internal::ContextAccess;
};

// An immutable value, one pointer wide: cheap to copy, never null (a moved-from
// one is Background()).
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

  // The wall-clock time at which this ends at the latest; InfiniteFuture() when
  // there is none. The answer never changes: it is what WithDeadline was given;
  // for a timeout, what the wall clock said when it was first asked for. If the
  // wall clock jumps, go by Remaining().
  absl::Time Deadline() const;

  // Time left, on the steady clock: InfiniteDuration() when there is no
  // deadline, <= 0 once it has passed.
  absl::Duration Remaining() const;

  // Whether the context has ended. One atomic load while it lives and its
  // deadline is more than 0.1 s away; the clock is read too when it is nearer.
  // Wait-free, but for the first look at a context whose source starts on
  // demand.
  bool Done() const {
    internal::Scope* scope = node_->scope;
    return scope != nullptr && internal::IsDone(scope);
  }

  // OK while not done; then CANCELLED "context canceled" or DEADLINE_EXCEEDED
  // "context deadline exceeded".
  absl::Status Err() const;

  // OK while not done; then the cause given to whatever ended this (its own
  // CancelFunc, an ancestor's, a deadline's), or Err() where none was given.
  absl::Status Cause() const;

  // Blocks until done; for ever where nothing can end this. In a callback of
  // AfterFunc it keeps a thread that others may wait for.
  void Wait() const;

  // Blocks until done (returns true) or until the time has passed on this
  // context's clock (returns false). A time that has already passed only looks.
  bool WaitFor(absl::Duration timeout) const;
  bool WaitUntil(absl::Time time) const;

  // The value nearest to this context under `key`; null when there is none.
  // Valid as long as this Context, or one made from it, exists. No allocation,
  // no lock.
  template <typename T>
  const T* Value(const Key<T>& key) const;

  // The chain, root first, as Go's String():
  // "Background.WithValue(user).WithCancel". Names of keys, never values. Of a
  // merge's other chain, merges are shown as "Merge(…)".
  std::string DebugString() const;

  // Same context: made by the same call, or copies of one another.
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
// the context and all descendants are done; the callbacks of those that this
// call ended have run. They may call, assign to or destroy the very CancelFunc
// that runs them. Default-constructed or moved from, it does nothing.
class [[nodiscard]] TETHER_EXPORT CancelFunc {
 public:
  CancelFunc() = default;
  CancelFunc(CancelFunc&& other) noexcept
      : scope_(std::exchange(other.scope_, nullptr)),
        called_(other.called_.load(std::memory_order_relaxed)) {}
  CancelFunc& operator=(CancelFunc&& other) noexcept;
  ~CancelFunc() { Reset(); }

  // Err() becomes CANCELLED. Cause() becomes `cause`; with an OK one, or none,
  // it is Err().
  void operator()() const { Cancel(absl::OkStatus()); }
  void operator()(const absl::Status& cause) const { Cancel(cause); }

 private:
  friend struct internal::ContextAccess;

  explicit CancelFunc(internal::Scope* scope) : scope_(scope) {}
  void Cancel(const absl::Status& cause) const;
  void Reset();

  internal::Scope* scope_ = nullptr;  // owns a reference
  // A call has returned: the destructor need not end the scope once more.
  mutable std::atomic<bool> called_{false};
};

// A context and the power to end it:  auto [ctx, cancel] = WithCancel(parent);
//
// Keep `cancel` as long as the work: where it is dropped, as in
// WithCancel(parent).ctx, the context ends in the same line.
//
// In C++17 a lambda can't capture `ctx` by its name, since it is a structured
// binding: write [ctx = ctx], or pass it as an argument.
struct [[nodiscard]] Cancellable {
  Context ctx;
  CancelFunc cancel;
};

// The root: never ends, has no deadline and no values. On the machine's clocks,
// or on `clock`, which must outlive it.
[[nodiscard]] inline Context Background() { return Context(); }
[[nodiscard]] TETHER_EXPORT Context Background(Clock& clock);

// As Background(), for code that has no context yet, so that a search finds it.
[[nodiscard]] TETHER_EXPORT Context Todo();

// A child that ends with its parent or when cancelled.
[[nodiscard]] TETHER_EXPORT Cancellable WithCancel(const Context& parent);

// A child that also ends, with DEADLINE_EXCEEDED, at `deadline`, or `timeout`
// from now. Cause() is `cause` then, if that isn't OK. Past times give a
// context that is already done; a parent's earlier deadline stays.
// InfiniteFuture() and InfiniteDuration() add no deadline.
[[nodiscard]] TETHER_EXPORT Cancellable
WithDeadline(const Context& parent, absl::Time deadline,
             absl::Status cause = absl::OkStatus());
[[nodiscard]] TETHER_EXPORT Cancellable
WithTimeout(const Context& parent, absl::Duration timeout,
            absl::Status cause = absl::OkStatus());

// A child with one more value. It hides the parent's value under the same key.
// T must be nothrow-destructible, and safe to read from several threads. Its
// destructor runs where the last context with the value is dropped, outside
// every lock, and may use any other context.
template <typename T>
[[nodiscard]] Context WithValue(const Context& parent, const Key<T>& key,
                                typename Key<T>::value_type value);

// The parent's values without its deadline and its cancellation: for work that
// must outlive the request.
[[nodiscard]] TETHER_EXPORT Context WithoutCancel(const Context& parent);

// A child of `primary` (its values, its clock) that also ends, for the same
// reason and at the same moment, when `other` does. Its deadline is the earlier
// one. When `other` is a merge itself, and so on, dropping each costs some
// stack: mind long chains.
[[nodiscard]] TETHER_EXPORT Cancellable Merge(const Context& primary,
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
  static Cancellable MakeCancellable(Scope* scope) {
    return {Context(scope), CancelFunc(scope)};
  }
  // One more CancelFunc.
  static CancelFunc ShareCancel(Scope* scope) {
    Ref(scope);
    return CancelFunc(scope);
  }
};
}  // namespace internal

template <typename T>
const T* Context::Value(const Key<T>& key) const {
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
  return Access::MakeContext(new internal::TypedValueNode<T>(
      Access::NodeOf(parent), Access::BaseOf(key), std::move(value)));
}

}  // namespace tether

#endif  // TETHER_CONTEXT_H_
