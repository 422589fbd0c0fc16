// SPDX-License-Identifier: Apache-2.0
//
// SimulatedClock: a clock that a test moves by hand. Tests of deadlines then
// neither sleep nor flake.
//
//   tether::testing::SimulatedClock clock;
//   auto [ctx, cancel] =
//       tether::WithTimeout(tether::Background(clock), absl::Seconds(5));
//   clock.Advance(absl::Seconds(5));
//   EXPECT_TRUE(ctx.Done());
//
// Thread safety: any thread. For tests only.

#ifndef TETHER_TESTING_SIMULATED_CLOCK_H_
#define TETHER_TESTING_SIMULATED_CLOCK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "tether/clock.h"

namespace tether::testing {

class SimulatedClock final : public Clock {
 public:
  explicit SimulatedClock(
      absl::Time start = absl::FromUnixSeconds(1'600'000'000));
  // Requires that no context of this clock exists any more.
  ~SimulatedClock() override;

  // Moves both clocks forward. Every deadline on the way fires on this thread,
  // in order and at exactly its time; its callbacks have run when this returns.
  // A negative step has no effect. If several threads call it at once, each
  // moves the clock at least as far as it would alone.
  void Advance(absl::Duration step);

  // Makes the wall clock jump forward or back, as an administrator or NTP does.
  // The steady clock is not affected.
  void JumpWallClock(absl::Duration step);

  absl::Time Now() const override;
  int64_t SteadyNanos() const override;

  // How many deadlines are still to fire.
  size_t armed_timers();

 private:
  // No effect if `time` is in the past.
  void MoveTo(int64_t time);

  std::atomic<int64_t> steady_{0};
  std::atomic<int64_t> wall_offset_;  // Unix nanoseconds at steady time 0
};

}  // namespace tether::testing

#endif  // TETHER_TESTING_SIMULATED_CLOCK_H_
