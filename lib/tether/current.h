// The ambient context: the one that code on this thread works for, where none
// can be passed as a parameter.
//
//   void Handler(const tether::Context& ctx) {
//     tether::ScopedContext scope(ctx);
//     LegacyCode();                       // may ask for tether::Current()
//     pool.Schedule(tether::Bind(tether::Current(), [] { More(); }));
//   }
//
// It belongs to one thread: nothing carries it to another but Bind. Prefer a
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
// Whether a ScopedContext that is destroyed out of order aborts; for tests.
TETHER_EXPORT extern bool scopes_must_nest;
}  // namespace internal

// The context of the innermost ScopedContext of this thread; Background() where
// there is none.
[[nodiscard]] Context Current();

// Makes `ctx` the current context of this thread for as long as it lives.
// Scopes nest: destroy them in reverse order, on the thread that made them (so,
// as local variables, and not across a co_await). Where that is not kept, debug
// builds abort and say so. Without it (NDEBUG) one that is destroyed before an
// inner one is merely taken out from between: nothing dangles. That it is the
// same thread is up to the caller. No allocation.
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

// What Bind returns: calls `f` with the bound context as the current one.
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

// Wraps `f` (copied or moved in) so that `ctx` is current while it runs, on
// whatever thread. Copyable if `f` is.
template <typename F>
[[nodiscard]] Bound<std::decay_t<F>> Bind(Context ctx, F&& f) {
  return Bound<std::decay_t<F>>(std::move(ctx), std::forward<F>(f));
}

}  // namespace tether

#endif  // TETHER_CURRENT_H_
