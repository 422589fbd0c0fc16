// SPDX-License-Identifier: Apache-2.0
//
// co_await tether::Done(ctx): suspends a coroutine until a context ends.
//
//   Task Watch(tether::Context ctx, Connection& connection) {
//     co_await tether::Done(ctx);
//     connection.Close(ctx.Cause());
//   }
//
// Requires C++20 (g++ 12 and clang 14 suffice); the rest of tether requires
// C++17. It works with any coroutine type and defines none.

#ifndef TETHER_COROUTINE_H_
#define TETHER_COROUTINE_H_

#if __cplusplus < 202002L
#error "tether/coroutine.h needs coroutines: compile with -std=c++20"
#endif

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/base/attributes.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/internal/is_null.h"

namespace tether {

// Resumes a coroutine on the calling thread.
struct ResumeHere {
  void operator()(std::coroutine_handle<> handle) const { handle.resume(); }
};

// The result of Done. Await it once, in the expression that made it.
template <typename Resume>
class [[nodiscard]] DoneAwaiter {
 public:
  DoneAwaiter(const Context& ctx, Resume resume)
      : ctx_(ctx), resume_(std::move(resume)) {}
  DoneAwaiter(const DoneAwaiter&) = delete;
  DoneAwaiter& operator=(const DoneAwaiter&) = delete;

  bool await_ready() const { return ctx_.Done(); }
  bool await_suspend(std::coroutine_handle<> handle);
  void await_resume() const {}

 private:
  enum class State : uint8_t { kStarting, kSuspended, kEnded };

  void OnEnd();

  const Context ctx_;
  Resume resume_;
  std::coroutine_handle<> handle_;
  std::atomic<State> state_{State::kStarting};
  std::optional<Registration> registration_;
};

// Suspends the coroutine until `ctx` ends; forever if nothing can end it.
// Afterwards ctx.Done() is true.
//
// When `ctx` ends, resume(handle) is called once, on the thread that ends it
// (for a passed deadline, see after_func.h). By default it resumes the
// coroutine on that thread, where it must not block. To resume it elsewhere,
// pass a callable that forwards the handle:
//
//   co_await tether::Done(ctx, [&loop](std::coroutine_handle<> handle) {
//     loop.Post(handle);  // std::coroutine_handle is callable
//   });
//
// If the lambda captures an object with a destructor, make it a named variable
// first: g++ 12 destroys captures within a co_await expression twice.
//
// If `ctx` has ended already, or ends while the coroutine is about to be
// suspended, the coroutine continues at once, and `resume` is not called.
//
// Allocates nothing beyond the coroutine's frame, unless `resume` does.
//
// Destroying the suspended coroutine (handle.destroy()) unregisters it. This
// must not happen while the coroutine is being resumed: not while another
// thread ends `ctx`, and not between the call of `resume` and the resumption.
//
// Errors: exceptions of `resume`, or of the coroutine that it resumes, are
// swallowed and counted, as for AfterFunc. A null `resume` means the default.
// `resume` must not wait for the coroutine. Thread safety: any thread.
// Lifetime: keeps `ctx` alive.
inline DoneAwaiter<ResumeHere> Done(const Context& ctx) { return {ctx, {}}; }

template <typename Resume>
DoneAwaiter<std::decay_t<Resume>> Done(const Context& ctx, Resume&& resume) {
  static_assert(
      std::is_invocable_v<std::decay_t<Resume>, std::coroutine_handle<>>,
      "`resume` takes a std::coroutine_handle<>");
  return {ctx, std::forward<Resume>(resume)};
}

// Implementation details only below.
//
// Registering takes time: the callback may run before it is complete, on this
// thread (if the context ended since await_ready) or on another. The callback
// must not resume the coroutine then, since that would destroy the awaiter
// while the registration is being written to it. So await_suspend and the
// callback each exchange `state_` once, and the second of them acts:
//
//  - If await_suspend is second, the callback has found kStarting and does not
//    use the awaiter any more. The coroutine continues (await_suspend returns
//    false). The registration's destructor waits for the callback to return.
//  - If the callback is second, it has found kSuspended: the registration is
//    complete, and await_suspend does not use the awaiter any more. The
//    callback resumes the coroutine. That destroys the awaiter and so the
//    registration: from within the callback, when the destructor doesn't wait;
//    or on another thread, when it waits until `resume` has returned. So the
//    callback does not use the awaiter from the call of `resume` on.
//
// A coroutine that is destroyed while suspended has the state kSuspended: the
// registration is complete, and its destructor unlinks the callback.

// Never inlined into the coroutine: clang before 17 may keep local variables of
// an inlined await_suspend in the frame, which may have been destroyed by then.
template <typename Resume>
ABSL_ATTRIBUTE_NOINLINE bool DoneAwaiter<Resume>::await_suspend(
    std::coroutine_handle<> handle) {
  handle_ = handle;
  registration_.emplace(ctx_, [this] { OnEnd(); });
  return state_.exchange(State::kSuspended, std::memory_order_acq_rel) ==
         State::kStarting;
}

template <typename Resume>
void DoneAwaiter<Resume>::OnEnd() {
  if (state_.exchange(State::kEnded, std::memory_order_acq_rel) ==
      State::kStarting) {
    return;
  }
  const std::coroutine_handle<> handle = handle_;
  if (internal::IsNull(resume_)) return handle.resume();
  Resume resume = std::move(resume_);
  std::move(resume)(handle);
}

}  // namespace tether

#endif  // TETHER_COROUTINE_H_
