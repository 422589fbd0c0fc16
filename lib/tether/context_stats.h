// SPDX-License-Identifier: Apache-2.0
//
// GetContextStats(): how many contexts, callbacks and timers this process has.
// Export it as gauges: a number that grows without bound is a leak.

#ifndef TETHER_CONTEXT_STATS_H_
#define TETHER_CONTEXT_STATS_H_

#include <cstdint>

#include "tether/export.h"

namespace tether {

struct ContextStats {
  // Contexts that are alive. Copies of one context count once; a context counts
  // as long as it, a child of it or its CancelFunc exists. Roots (Background(),
  // Todo()) don't count.
  int64_t contexts = 0;

  // Callbacks that wait for the end of a context: AfterFunc's, and everything
  // built on it, blocking waits included. A context made by Merge counts as a
  // callback of its second parent.
  int64_t callbacks = 0;

  // Deadlines that are still to come, on all clocks. A context that takes its
  // deadline from its parent has none of its own. The deadline of a server's
  // request counts from the moment when its context is first observed.
  int64_t timers = 0;

  // Exceptions that left callbacks, since the process began. tether swallows
  // them.
  int64_t callback_exceptions = 0;
};

// Takes no lock: changes that other threads make meanwhile may be missed, and
// the numbers need not be from the same moment. Exact once all threads that
// changed a number have been joined. O(number of threads that have used
// contexts).
//
// Thread safety: any thread, also while static objects are destroyed.
TETHER_EXPORT ContextStats GetContextStats();

}  // namespace tether

#endif  // TETHER_CONTEXT_STATS_H_
