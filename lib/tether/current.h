// SPDX-License-Identifier: Apache-2.0
//
// The ambient context of a thread, for code to which no context can be passed
// as a parameter.
//
//   void Handler(const tether::Context& ctx) {
//     tether::ScopedContext scope(ctx);
//     LegacyCode();                       // may ask for tether::Current()
//     pool.Schedule(tether::Bind(tether::Current(), [] { More(); }));
//   }
//
// It belongs to one thread; only Bind carries it to another. Prefer a
// parameter.

#ifndef TETHER_CURRENT_H_
#define TETHER_CURRENT_H_

#include <functional>
#include <type_traits>
#include <utility>

#include "tether/context.h"
#include "tether/export.h"

namespace tether {

class ScopedContext;

namespace internal {
TETHER_EXPORT extern thread_local const ScopedContext* innermost_scope;
// True if destroying a ScopedContext out of order aborts. Tests change it.
TETHER_EXPORT extern bool scopes_must_nest;
}  // namespace internal

// The context of this thread's innermost ScopedContext, or Background() if
// there is none.
[[nodiscard]] Context Current();

// Makes `ctx` the current context of this thread for as long as the object
// lives. No allocation.
//
// Scopes nest: destroy them in reverse order, on the thread that made them. So
// use local variables, and not across a co_await. Debug builds print an error
// and abort if the order is wrong. Release builds (NDEBUG) remove such a scope
// from the middle of the list, so nothing dangles; they can't detect the wrong
// thread.
class [[nodiscard]] ScopedContext {
 public:
  [[nodiscard]] explicit ScopedContext(Context ctx)
      : ctx_(std::move(ctx)), outer_(internal::innermost_scope) {
    internal::innermost_scope = this;
  }
  ~ScopedContext() {
    if (internal::innermost_scope == this) {
      internal::innermost_scope = outer_;
    } else {
      LeaveOutOfOrder();
    }
  }
  ScopedContext(const ScopedContext&) = delete;
  ScopedContext& operator=(const ScopedContext&) = delete;

 private:
  friend Context Current();

  TETHER_EXPORT void LeaveOutOfOrder() const;

  const Context ctx_;
  mutable const ScopedContext* outer_;
};

inline Context Current() {
  const ScopedContext* scope = internal::innermost_scope;
  return scope == nullptr ? Context() : scope->ctx_;
}

// The result of Bind: calls `f` with the bound context as the current one.
template <typename F>
class [[nodiscard]] Bound {
 public:
  Bound(Context ctx, F f) : ctx_(std::move(ctx)), f_(std::move(f)) {}

  template <typename... Args>
  decltype(auto) operator()(Args&&... args) & {
    ScopedContext scope(ctx_);
    return std::invoke(f_, std::forward<Args>(args)...);
  }
  template <typename... Args>
  decltype(auto) operator()(Args&&... args) const& {
    ScopedContext scope(ctx_);
    return std::invoke(f_, std::forward<Args>(args)...);
  }
  template <typename... Args>
  decltype(auto) operator()(Args&&... args) && {
    ScopedContext scope(std::move(ctx_));
    return std::invoke(std::move(f_), std::forward<Args>(args)...);
  }

 private:
  Context ctx_;
  F f_;
};

// Wraps `f` (copied or moved in) so that `ctx` is the current context while `f`
// runs, on any thread. Copyable if `f` is.
template <typename F>
[[nodiscard]] Bound<std::decay_t<F>> Bind(Context ctx, F&& f) {
  return Bound<std::decay_t<F>>(std::move(ctx), std::forward<F>(f));
}

}  // namespace tether

#endif  // TETHER_CURRENT_H_
