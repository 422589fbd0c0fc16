// co_await tether::Done(ctx): a coroutine waits for the end of a context.
//
//   Task Watch(tether::Context ctx, Connection& connection) {
//     co_await tether::Done(ctx);
//     connection.Close(ctx.Cause());
//   }
//
// For C++20 only (g++ 12 and clang 14 have what it takes); the rest of tether
// needs C++17. It brings no coroutine type: any will do.

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

// Resumes a coroutine where it stands.
struct ResumeHere {
  void operator()(std::coroutine_handle<> handle) const { handle.resume(); }
};

// What Done returns; to be awaited once, by the expression that made it.
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

// Suspends the coroutine until `ctx` ends; for ever where nothing can end it.
// Afterwards ctx.Done() is true.
//
// The coroutine is resumed by resume(handle), called once, on the thread that
// ends `ctx` (a passed deadline: see after_func.h). By default that resumes it
// there, where it must not block; to have it resumed elsewhere, pass a callable
// that hands it on:
//
//   co_await tether::Done(ctx, [&loop](std::coroutine_handle<> handle) {
//     loop.Post(handle);  // std::coroutine_handle is callable
//   });
//
// Where that lambda captures what has a destructor, name it first: g++ 12
// destroys twice what is captured within the co_await expression.
//
// Where `ctx` has ended already, or does while the coroutine is about to be
// suspended, it isn't: it goes on where it is, and `resume` is not called.
//
// No allocation beyond the coroutine's frame, where `resume` makes none.
//
// Destroying the suspended coroutine (handle.destroy()) deregisters it: it will
// not be resumed. As with anything that may resume a coroutine, this must not
// happen while it is being resumed: not at the same moment as another thread
// ends `ctx`, and not between the call of `resume` and the resumption.
//
// Errors: what `resume` throws, and what comes out of the coroutine that it
// resumes, is swallowed and counted, as for AfterFunc. A null `resume` is as
// none. It must not wait for the coroutine. Thread safety: any thread.
// Lifetime: `ctx` is kept alive.
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
// Registering is no single moment: the callback may run before it is over, on
// this thread (the context ended since await_ready) or on another. It then must
// not resume the coroutine, since that destroys the awaiter that the
// registration is being written to. So the two meet in `state_`, with one
// exchange each, and whoever comes second acts:
//
//  - await_suspend second: the callback has found kStarting, and does nothing
//    more with the awaiter. The coroutine goes on by itself (returns false).
//    The registration's destructor waits for the callback to return.
//  - The callback second: it has found kSuspended, so the registration is
//    whole, and await_suspend does nothing more with the awaiter but return.
//    The coroutine is resumed. It destroys the awaiter, and so the
//    registration: from within its callback, which doesn't wait; or on another
//    thread, which waits until `resume` has returned. Hence the callback uses
//    nothing of the awaiter from the call of `resume` on.
//
// A coroutine that is destroyed while suspended has state kSuspended: the
// registration is whole, and its destructor takes the callback off the context.

// Never inlined into the coroutine: clang before 17 may keep locals of an
// inlined await_suspend in the frame, which may be gone by then.
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
