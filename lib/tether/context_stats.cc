// SPDX-License-Identifier: Apache-2.0

#include "tether/context_stats.h"

#include "tether/internal/live_counts.h"
#include "tether/internal/observer.h"

namespace tether {

ContextStats GetContextStats() {
  using internal::Live;
  using internal::LiveCount;
  ContextStats stats;
  stats.contexts = LiveCount(Live::kNode);
  stats.callbacks = LiveCount(Live::kCallback);
  stats.timers = LiveCount(Live::kTimer);
  stats.callback_exceptions = internal::CallbackExceptions();
  return stats;
}

}  // namespace tether
