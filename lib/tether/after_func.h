// SPDX-License-Identifier: Apache-2.0
//
// AfterFunc(ctx, fn) calls `fn` when `ctx` ends, like Go's context.AfterFunc.
//
//   tether::Registration stop_reading =
//       tether::AfterFunc(ctx, [&] { socket.Shutdown(); });
//   socket.Read(...);  // returns early when ctx ends
//
// Keep the result: the statement `AfterFunc(ctx, fn);` unregisters `fn` at
// once. The compiler warns.
//
// `fn` runs at most once, without any lock of tether held:
//  - on the thread that ends the context; or
//  - if a deadline passed, on the process's thread for such callbacks, which
//    blocks all signals; or
//  - at once on the calling thread, if the context is already done.
//
// `fn` should not block, since other callbacks wait for it. A WaitFor() of a
// few milliseconds in it does return. If `fn` throws, the exception is
// swallowed and counted (GetContextStats().callback_exceptions). A null `fn` is
// never called; a null std::function counts as one that throws. Callbacks of
// one context run in no particular order, and a Wait() may return before they
// run.

#ifndef TETHER_AFTER_FUNC_H_
#define TETHER_AFTER_FUNC_H_

#include <atomic>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/internal/observer.h"

namespace tether {

// The registration of one callback. Its destructor calls Stop().
//
// Not movable, since the context links to it; so small callables need no
// allocation. For a member that is set later, use std::optional<Registration>
// and emplace(ctx, fn).
//
// Thread safety: Stop() may be called from any thread, also while the callback
// runs. Lifetime: keeps the context alive.
class [[nodiscard]] TETHER_EXPORT Registration {
 public:
  [[nodiscard]] Registration(const Context& ctx,
                             absl::AnyInvocable<void() &&> fn);
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;
  ~Registration() { Stop(); }

  // Returns true if it prevented `fn` from running. A second call returns
  // false. After it returns, `fn` is not running and never will run, and its
  // captures have been destroyed. There are two exceptions: a call from `fn`
  // itself, and a call while another thread's Stop(), which returns true, is
  // still destroying the captures. Do not call it while holding a lock that
  // `fn` takes.
  bool Stop();

 private:
  const Context ctx_;
  internal::Observer observer_;
  // True if Stop() may have to unlink `observer_` or to wait for its callback.
  std::atomic<bool> pending_{false};
};

template <typename F>
[[nodiscard]] Registration AfterFunc(const Context& ctx, F&& fn) {
  return Registration(ctx, std::forward<F>(fn));
}

}  // namespace tether

#endif  // TETHER_AFTER_FUNC_H_
