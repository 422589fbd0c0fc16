// What the glue to an RPC system needs beyond the public API: contexts that end
// because of what happens in another process.

#ifndef TETHER_INTERNAL_RPC_CONTEXT_H_
#define TETHER_INTERNAL_RPC_CONTEXT_H_

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/internal/nanos.h"
#include "tether/internal/owed_callbacks.h"

namespace tether::internal {

// Now, on the clock of `ctx`: for the functions below, whose timeouts count
// from it. Whoever reads how much time is left takes this first, so that what
// passes until the context is made is not given twice.
TETHER_EXPORT Nanos NowOf(const Context& ctx);

// WithTimeout(parent, timeout, cause), but counted from `now`.
// InfiniteDuration(): no deadline.
TETHER_EXPORT Cancellable WithTimeoutFrom(Nanos now, const Context& parent,
                                          absl::Duration timeout,
                                          absl::Status cause);

// The same, and `start` is called once, when first somebody observes the
// context: looks at Done() or Err(), waits, registers a callback, or makes a
// child of it. It runs on that thread, outside every lock, and should see to it
// that the CancelFunc is called when the time comes. Never called when nobody
// observes. What it captures is destroyed once it has run, or else with the
// context's last copy.
TETHER_EXPORT Cancellable WithLazyCancel(Nanos now, const Context& parent,
                                         absl::Duration timeout,
                                         absl::Status cause,
                                         absl::AnyInvocable<void() &&> start);

// Ends what ends `ctx` with DEADLINE_EXCEEDED and this cause, as if its
// deadline had passed; no effect when it has ended. For a caller that gave up
// at its own deadline a moment before ours.
TETHER_EXPORT void Expire(const Context& ctx, const absl::Status& cause);

// Ends what ends `ctx` with CANCELLED, or for `deadline` as Expire does; all of
// it is done when this returns. But the callbacks are left to the caller: for a
// thread that may hold a user's locks.
[[nodiscard]] TETHER_EXPORT OwedCallbacks EndQuietly(const Context& ctx,
                                                     bool deadline,
                                                     const absl::Status& cause);

// Whether somebody has ended `ctx`, without counting as an observer: a deadline
// that has passed and that nobody noticed yet doesn't count.
TETHER_EXPORT bool HasEnded(const Context& ctx);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_RPC_CONTEXT_H_
