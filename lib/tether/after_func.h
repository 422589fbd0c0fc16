// AfterFunc(ctx, fn): calls `fn` when `ctx` ends. Go's context.AfterFunc.
//
//   tether::Registration stop_reading =
//       tether::AfterFunc(ctx, [&] { socket.Shutdown(); });
//   socket.Read(...);  // returns early when ctx ends
//
// Keep what it returns: `AfterFunc(ctx, fn);` as a statement stops `fn` again
// at once. The compiler warns.
//
// `fn` runs at most once: on the thread that ends the context (a passed
// deadline: the process's thread for such callbacks, with all signals blocked),
// outside every lock of tether; or at once, on the calling thread, when the
// context is already done. It should not block: others wait for their turn. A
// WaitFor() of a few milliseconds in it does return. What it
// throws is swallowed and counted. A null `fn` is never called
// (a null std::function counts as one that throws). Callbacks of one context
// run in no particular order, and a Wait() may return before they do.

#ifndef TETHER_AFTER_FUNC_H_
#define TETHER_AFTER_FUNC_H_

#include <atomic>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/internal/observer.h"

namespace tether {

// One callback's registration. RAII: the destructor calls Stop().
//
// Not movable, since the context links to it: no allocation for small
// callables. To keep one in a member that is set later, use
// std::optional<Registration> and emplace(ctx, fn).
//
// Thread safety: Stop() may be called from any thread, and beside the callback.
// Lifetime: keeps the context alive.
class [[nodiscard]] TETHER_EXPORT Registration {
 public:
  [[nodiscard]] Registration(const Context& ctx,
                             absl::AnyInvocable<void() &&> fn);
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;
  ~Registration() { Stop(); }

  // Returns whether it prevented `fn` from running; false also when called
  // again. After it returns, `fn` is not running and never will, and all that
  // `fn` captured is destroyed; except when it is called from `fn` itself, or
  // while another thread's Stop(), which returns true, destroys it. So it must
  // not be called with a lock held that `fn` takes.
  bool Stop();

 private:
  const Context ctx_;
  internal::Observer observer_;
  // Whether Stop() may have something to prevent or to wait for.
  std::atomic<bool> pending_{false};
};

template <typename F>
[[nodiscard]] Registration AfterFunc(const Context& ctx, F&& fn) {
  return Registration(ctx, std::forward<F>(fn));
}

}  // namespace tether

#endif  // TETHER_AFTER_FUNC_H_
