// A cancelable context whose news of cancellation costs something to get. Internal; for the glue to RPC systems.

#ifndef TETHER_INTERNAL_LAZY_CANCEL_H_
#define TETHER_INTERNAL_LAZY_CANCEL_H_

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/context.h"

namespace tether::internal {

// As WithTimeout(parent, timeout, cause) (InfiniteDuration(): no deadline), and `start` is called once, when first
// somebody observes the context: looks at Done() or Err(), waits, registers a callback, or makes a child of it. It runs
// on that thread, outside every lock, and should see to it that the CancelFunc is called when the time comes. Never called
// when nobody observes. What it captures lives as long as the context.
Cancelable WithLazyCancel(const Context& parent, absl::Duration timeout,
                          absl::Status cause,
                          absl::AnyInvocable<void() &&> start);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_LAZY_CANCEL_H_
