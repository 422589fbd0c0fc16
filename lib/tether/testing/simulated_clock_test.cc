// SPDX-License-Identifier: Apache-2.0

#include "tether/testing/simulated_clock.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/testing/leak_checked_test.h"

namespace tether::testing {
namespace {

class SimulatedClockTest : public LeakCheckedTest {
 protected:
  SimulatedClock clock_;
};

TEST_F(SimulatedClockTest, MovesOnlyForward) {
  const absl::Time start = clock_.Now();
  clock_.Advance(-absl::Seconds(1));
  EXPECT_EQ(clock_.Now(), start);
  clock_.Advance(absl::ZeroDuration());
  EXPECT_EQ(clock_.Now(), start);
}

TEST_F(SimulatedClockTest, DoesNotGoBackWhenManyAdvanceIt) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> advancers;
  for (int i = 0; i < 3; ++i) {
    advancers.emplace_back([&, i] {
      for (int j = 0; j < 5000; ++j) {
        clock_.Advance(absl::Nanoseconds(1 + i * 1000));
      }
      stop = true;
    });
  }
  int64_t last = 0;
  while (!stop.load()) {
    const int64_t now = clock_.SteadyNanos();
    ASSERT_GE(now, last);
    last = now;
  }
  for (std::thread& t : advancers) t.join();
}

}  // namespace
}  // namespace tether::testing
