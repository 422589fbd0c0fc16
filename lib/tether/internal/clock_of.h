// SPDX-License-Identifier: Apache-2.0
//
// The clock of a node, and the timers of a clock. Internal.

#ifndef TETHER_INTERNAL_CLOCK_OF_H_
#define TETHER_INTERNAL_CLOCK_OF_H_

#include "tether/clock.h"
#include "tether/internal/node.h"
#include "tether/internal/timer_service.h"

namespace tether::internal {

struct ClockAccess {
  static TimerService& Timers(Clock& clock) { return clock.timers(); }
  static Node* Root(Clock& clock) { return &clock.root_; }
};

inline Clock& ClockOf(const Node* node) {
  return node->clock != nullptr ? *node->clock : Clock::Real();
}
inline TimerService& TimersOf(const Node* node) {
  return ClockAccess::Timers(ClockOf(node));
}

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_CLOCK_OF_H_
