// What the glue to an RPC system needs beyond the public API: contexts that end
// because of what happens in another process.

#ifndef TETHER_INTERNAL_RPC_CONTEXT_H_
#define TETHER_INTERNAL_RPC_CONTEXT_H_

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/context.h"

namespace tether::internal {

// As WithTimeout(parent, timeout, cause) (InfiniteDuration(): no deadline), and
// `start` is called once, when first somebody observes the context: looks at
// Done() or Err(), waits, registers a callback, or makes a child of it. It runs
// on that thread, outside every lock, and should see to it that the CancelFunc
// is called when the time comes. Never called when nobody observes. What it
// captures is destroyed once it has run, or else with the context's last copy.
Cancelable WithLazyCancel(const Context& parent, absl::Duration timeout,
                          absl::Status cause,
                          absl::AnyInvocable<void() &&> start);

// Ends what ends `ctx` with DEADLINE_EXCEEDED and this cause, as if its
// deadline had passed; no effect when it has ended. For a caller that gave up
// at its own deadline a moment before ours.
void Expire(const Context& ctx, const absl::Status& cause);

// Whether somebody has ended `ctx`, without counting as an observer: a deadline
// that has passed and that nobody noticed yet doesn't count.
bool HasEnded(const Context& ctx);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_RPC_CONTEXT_H_
