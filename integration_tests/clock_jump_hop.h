// SPDX-License-Identifier: Apache-2.0
//
// The protocol between clock_jump_test and its middle hop.

#ifndef TETHER_INTEGRATION_TESTS_CLOCK_JUMP_HOP_H_
#define TETHER_INTEGRATION_TESTS_CLOCK_JUMP_HOP_H_

#include "absl/time/time.h"

namespace tether {

// The commands of a Ping to the hop and the leaf. The clock jumps during the
// first call that reaches the leaf.
inline constexpr int kTwice = 1;  // the hop calls the leaf, and calls it again
inline constexpr int kHang = 2;   // the leaf waits for its end
// The hop calls the leaf. Then it calls a server that never answers, with
// kHopsOwnTimeout.
inline constexpr int kHopLimits = 3;

inline constexpr absl::Duration kHopsOwnTimeout = absl::Milliseconds(500);

inline constexpr char kListening[] = "listening on port ";

}  // namespace tether

#endif  // TETHER_INTEGRATION_TESTS_CLOCK_JUMP_HOP_H_
