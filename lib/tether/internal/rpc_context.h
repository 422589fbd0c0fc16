// SPDX-License-Identifier: Apache-2.0
//
// Contexts for RPC systems, which end because of events in another process.
// Internal: for tether's interceptors.

#ifndef TETHER_INTERNAL_RPC_CONTEXT_H_
#define TETHER_INTERNAL_RPC_CONTEXT_H_

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/internal/deferred_callbacks.h"
#include "tether/internal/nanos.h"

namespace tether::internal {

// The time on the clock of `ctx`. The timeout of WithLazyCancel starts at it.
// Call it before you read how much time is left: then the time that passes
// until the context is made counts too.
TETHER_EXPORT Nanos NowOf(const Context& ctx);

// Like WithTimeout(parent, timeout, cause), but `timeout` starts at `now`, and
// InfiniteDuration() means no deadline. The context costs little until it is
// first observed: by Done(), Err() or a wait, by registering a callback, or by
// making a child. Only then is its timer armed, and `start` called, once, if
// it isn't null. Neither happens if the deadline has passed by then.
//
// For the first `quiet` after `now`, Done(), Err() and Cause() don't count as
// observing it: they only compare the clock.
//
// `start` runs on the observing thread, without any lock held. It must arrange
// that the CancelFunc is called in the end. Its captures are destroyed after it
// has run, or else with the context's last copy.
TETHER_EXPORT NewCancellable
WithLazyCancel(Nanos now, const Context& parent, absl::Duration timeout,
               absl::Status cause, absl::Duration quiet,
               absl::AnyInvocable<void() &&> start);

// Ends the scope of `ctx` with DEADLINE_EXCEEDED and `cause`, as if its
// deadline had passed. No effect if it has ended. For a caller that gave up at
// its own deadline, a moment before ours.
TETHER_EXPORT void Expire(const Context& ctx, const absl::Status& cause);

// Ends the scope of `ctx` with CANCELLED, or, if `deadline`, with
// DEADLINE_EXCEEDED. All contexts that this ends are done when it returns, but
// their callbacks are left to the caller: for a thread that may hold the user's
// locks.
[[nodiscard]] TETHER_EXPORT DeferredCallbacks EndDeferringCallbacks(
    const Context& ctx, bool deadline, const absl::Status& cause);

// What ctx.Cause() returns if the deadline of `ctx` passes before anything else
// ends it; OK if there is no deadline. Does not count as observing `ctx`.
TETHER_EXPORT absl::Status CauseOfDeadline(const Context& ctx);

// ctx.Remaining() in nanoseconds; kNever if there is no deadline. `now` is the
// time on the real steady clock. A context on another clock reads that one.
TETHER_EXPORT Nanos RemainingAt(Nanos now, const Context& ctx);

// True if the deadline of `ctx`, if it has one, is its own, and not that of a
// context above it.
TETHER_EXPORT bool HasOwnDeadline(const Context& ctx);

// True if a context that WithLazyCancel made has ever been observed, apart from
// the quiet time. `ctx` must be the context itself. Does not count as observing
// it.
TETHER_EXPORT bool WasObserved(const Context& ctx);

// From now on, calls `observe` whenever a child asks for a later deadline than
// its parent has, on the thread that makes the child. It must not throw, or
// make contexts. At most one observer in a process: the last one.
TETHER_EXPORT void ObserveLaterDeadlines(
    void (*observe)(const Context& parent));

// True if `ctx` has been ended. Does not count as observing it. A passed
// deadline that has not fired yet does not count.
TETHER_EXPORT bool HasEnded(const Context& ctx);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_RPC_CONTEXT_H_
