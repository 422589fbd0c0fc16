// Contexts and C++20's std::stop_token, both ways: StopToken makes a token from
// a context, for std::jthread, std::stop_callback and
// std::condition_variable_any; WithStopToken makes a context from a token.
//
// For C++20 only; the rest of tether needs C++17.

#ifndef TETHER_STOP_TOKEN_H_
#define TETHER_STOP_TOKEN_H_

#if __cplusplus < 202002L
#error "tether/stop_token.h needs std::stop_token: compile with -std=c++20"
#endif

#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/internal/error.h"

namespace tether {

// A source of tokens on which stop is requested when `ctx` ends.
//
// Guarantees:
//  1. When the call that ends `ctx` returns, stop has been requested; so it is
//     from the start where `ctx` has ended already.
//  2. Callbacks of the tokens (std::stop_callback) run on the thread that ends
//     `ctx`, as those of AfterFunc do, and must not block either. One that
//     throws terminates the program, as std::stop_callback has it.
//  3. The tokens stay usable after the StopToken is gone, but learn of nothing
//     any more: when its destructor has returned, `ctx` won't request stop.
//
// Thread safety: get() may be called from any thread. It may be destroyed in a
// callback of one of its own tokens. Where another thread is ending `ctx`, the
// destructor waits for the callbacks of the tokens; so it must not be called
// with a lock held that they take. Lifetime: keeps `ctx` alive. Neither copied
// nor moved; copy the tokens.
//
// Example:
//
//   void Search(const tether::Context& ctx) {
//     tether::StopToken stop(ctx);
//     std::jthread worker([token = stop.get()] {
//       while (!token.stop_requested()) Step();
//     });
//     ...
//   }  // joins the worker, then drops the registration
class [[nodiscard]] StopToken {
 public:
  [[nodiscard]] explicit StopToken(const Context& ctx)
      // A copy of the source: the callback may destroy this.
      : registration_(
            ctx, [source = source_]() mutable { source.request_stop(); }) {}
  StopToken(const StopToken&) = delete;
  StopToken& operator=(const StopToken&) = delete;

  std::stop_token get() const { return source_.get_token(); }
  operator std::stop_token() const {
    return get();
  }  // NOLINT: as its name says

 private:
  const std::stop_source source_;
  Registration registration_;
};

// A child of `parent` that also ends, with CANCELLED "stop requested" as its
// Cause(), when stop is requested on `token`. Stop that has been requested
// before gives a context that is already done, for that reason unless `parent`
// is done too. A token on which stop can't be requested adds nothing.
//
// The context ends on the thread that requests stop, with all its callbacks.
// When it has ended, for whatever reason, nothing of it is left in the token's
// shared state. Where the two ends meet, the thread that ends the context
// otherwise may wait until the stop callback is over, which then has nothing to
// do.
//
// Thread safety: as for WithCancel. Lifetime: shares the token's state until
// the context ends.
//
// Example:
//
//   std::jthread server([](std::stop_token stop) {
//     auto [ctx, cancel] = tether::WithStopToken(tether::Background(), stop);
//     while (absl::StatusOr<Job> job = jobs.Receive(ctx)) Run(ctx, *job);
//   });
//   server.request_stop();  // ends the Receive, and the jobs
[[nodiscard]] inline Cancellable WithStopToken(const Context& parent,
                                               std::stop_token token);

// Implementation details only below.

namespace internal {

// What ties a context to a token. It owns itself, by way of the callback that
// is registered with the context, until the context ends. So it dies
//  - on the thread that ends the context, in that callback; or
//  - in WithStopToken, where the context ended before that returned.
//
// Neither waits for anything that could wait for it:
//  - `on_stop`, destroyed first, waits for a stop callback that is running on
//    another thread. That one finds the context ended, and returns. One that is
//    running on this thread has ended the context itself: it isn't waited for,
//    and uses nothing of the link any more.
//  - `registration` waits for its callback if that is running on another
//    thread, where it only lets go of the link.
struct StopLink {
  struct OnStop {
    void operator()() const {
      // What came out of a stop callback would end the program.
      link->cancel(ErrorOf(absl::StatusCode::kCancelled, "stop requested"));
    }
    const StopLink* link;
  };

  CancelFunc cancel;
  std::optional<Registration> registration;
  std::optional<std::stop_callback<OnStop>> on_stop;  // destroyed first
};

}  // namespace internal

inline Cancellable WithStopToken(const Context& parent, std::stop_token token) {
  Cancellable child = WithCancel(parent);
  if (!token.stop_possible()) return child;
  auto link = std::make_shared<internal::StopLink>();
  link->cancel = internal::ContextAccess::ShareCancel(
      internal::ContextAccess::NodeOf(child.ctx)->scope);
  link->registration.emplace(child.ctx, [link] {});
  // From here on the context may have ended on another thread, which has then
  // let go of the link: ours keeps it until it is whole.
  link->on_stop.emplace(std::move(token),
                        internal::StopLink::OnStop{link.get()});
  return child;
}

}  // namespace tether

#endif  // TETHER_STOP_TOKEN_H_
