// SPDX-License-Identifier: Apache-2.0
//
// Converts between contexts and C++20's std::stop_token. StopToken makes a
// token from a context, for std::jthread, std::stop_callback and
// std::condition_variable_any. WithStopToken makes a context from a token.
//
// Requires C++20; the rest of tether requires C++17.

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
//  1. When the call that ends `ctx` returns, stop has been requested. If `ctx`
//     has ended already, stop is requested from the start.
//  2. Callbacks of the tokens (std::stop_callback) run on the thread that ends
//     `ctx`, like those of AfterFunc, and must not block either. If a callback
//     throws, the program terminates, as std::stop_callback specifies.
//  3. The tokens stay valid after the StopToken was destroyed, but the end of
//     `ctx` no longer requests stop on them.
//
// Thread safety: get() may be called from any thread. The StopToken may be
// destroyed in a callback of one of its tokens. If another thread is ending
// `ctx`, the destructor waits for the callbacks of the tokens; so do not
// destroy it while holding a lock that they take. Lifetime: keeps `ctx` alive.
// It can't be copied or moved; copy the tokens.
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
      // Copies the source, since the callback may destroy this object.
      : registration_(
            ctx, [source = source_]() mutable { source.request_stop(); }) {}
  StopToken(const StopToken&) = delete;
  StopToken& operator=(const StopToken&) = delete;

  std::stop_token get() const { return source_.get_token(); }
  operator std::stop_token() const {  // NOLINT: implicit on purpose
    return get();
  }

 private:
  const std::stop_source source_;
  Registration registration_;
};

// A child of `parent` that also ends when stop is requested on `token`. Its
// Cause() is then CANCELLED "stop requested". If stop has been requested
// already, the child is born done, for that reason unless `parent` is done too.
// A token on which stop can't be requested has no effect.
//
// The context ends, and its callbacks run, on the thread that requests stop.
// Once it has ended, for any reason, the token's shared state keeps nothing of
// it. If another thread ends the context while stop is being requested, that
// thread may wait for the stop callback, which returns at once.
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
[[nodiscard]] inline NewCancellable WithStopToken(const Context& parent,
                                                  std::stop_token token);

// Implementation details only below.

namespace internal {

// Connects a context to a token. The callback registered with the context owns
// the link until the context ends. So the link is destroyed
//  - in that callback, on the thread that ends the context; or
//  - in WithStopToken, if the context ended before that returned.
//
// Neither can deadlock:
//  - `on_stop`, destroyed first, waits for a stop callback that is running on
//    another thread. That callback finds the context ended and returns. A stop
//    callback that is running on this thread has ended the context itself: it
//    is not waited for, and no longer uses the link.
//  - `registration` waits for its callback if that is running on another
//    thread; it only releases the link there.
struct StopLink {
  struct OnStop {
    void operator()() const {
      // An exception that left a stop callback would terminate the program, so
      // this must not throw.
      link->cancel(ErrorOf(absl::StatusCode::kCancelled, "stop requested"));
    }
    const StopLink* link;
  };

  CancelFunc cancel;
  std::optional<Registration> registration;
  std::optional<std::stop_callback<OnStop>> on_stop;  // destroyed first
};

}  // namespace internal

inline NewCancellable WithStopToken(const Context& parent,
                                    std::stop_token token) {
  NewCancellable child = WithCancel(parent);
  if (!token.stop_possible()) return child;
  const Context& ctx = internal::ContextAccess::ContextOf(child);
  auto link = std::make_shared<internal::StopLink>();
  link->cancel = internal::ContextAccess::ShareCancel(
      internal::ContextAccess::NodeOf(ctx)->scope);
  link->registration.emplace(ctx, [link] {});
  // From here on another thread may end the context and release its reference
  // to the link. Ours keeps the link until it is complete.
  link->on_stop.emplace(std::move(token),
                        internal::StopLink::OnStop{link.get()});
  return child;
}

}  // namespace tether

#endif  // TETHER_STOP_TOKEN_H_
