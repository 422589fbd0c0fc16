// SPDX-License-Identifier: Apache-2.0
//
// WaitFor and WaitUntil on a simulated clock.

#include <atomic>
#include <functional>
#include <thread>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

class WaitTest : public testing::LeakCheckedTest {
 protected:
  Context Root() { return Background(clock_); }

  // Runs `wait` while another thread advances the clock in steps until it is
  // over.
  bool WhileTimePasses(absl::Duration step, const std::function<bool()>& wait) {
    std::atomic<bool> over{false};
    std::thread advancer([&] {
      while (!over.load()) {
        clock_.Advance(step);
        std::this_thread::yield();
      }
    });
    const bool result = wait();
    over = true;
    advancer.join();
    return result;
  }

  testing::SimulatedClock clock_;
};

TEST_F(WaitTest, WaitForATimeThatHasPassedDoesNotBlock) {
  auto [ctx, cancel] = WithTimeout(Root(), absl::Seconds(1));
  EXPECT_FALSE(ctx.WaitFor(absl::ZeroDuration()));
  EXPECT_FALSE(ctx.WaitFor(-absl::Seconds(1)));
  EXPECT_FALSE(ctx.WaitUntil(clock_.Now()));
  EXPECT_FALSE(ctx.WaitUntil(absl::InfinitePast()));
  cancel();
  EXPECT_TRUE(ctx.WaitFor(-absl::Seconds(1)));
  EXPECT_TRUE(ctx.WaitUntil(absl::InfinitePast()));
}

TEST_F(WaitTest, WaitForReturnsFalseWhenTheTimePassesFirst) {
  auto [ctx, cancel] = WithCancel(Root());
  EXPECT_FALSE(WhileTimePasses(absl::Milliseconds(10), [&ctx = ctx] {
    return ctx.WaitFor(absl::Seconds(1));
  }));
  EXPECT_FALSE(ctx.Done());
  EXPECT_EQ(LiveNodes(), 1);
}

TEST_F(WaitTest, WaitUntilReturnsFalseWhenTheTimePassesFirst) {
  auto [ctx, cancel] = WithCancel(Root());
  const absl::Time until = clock_.Now() + absl::Seconds(1);
  EXPECT_FALSE(WhileTimePasses(absl::Milliseconds(10), [&, &ctx = ctx] {
    return ctx.WaitUntil(until);
  }));
  EXPECT_GE(clock_.Now(), until);
}

TEST_F(WaitTest, WaitForReturnsTrueWhenTheDeadlineComesFirst) {
  auto [ctx, cancel] = WithTimeout(Root(), absl::Seconds(1));
  EXPECT_TRUE(WhileTimePasses(absl::Milliseconds(10), [&ctx = ctx] {
    return ctx.WaitFor(absl::Hours(24 * 365));
  }));
  EXPECT_TRUE(ctx.Done());
}

TEST_F(WaitTest, WaitForReturnsTrueWhenBothComeAtOnce) {
  auto [ctx, cancel] = WithTimeout(Root(), absl::Seconds(1));
  EXPECT_TRUE(WhileTimePasses(absl::Milliseconds(10), [&ctx = ctx] {
    return ctx.WaitFor(absl::Hours(1));
  }));
}

TEST_F(WaitTest, WaitUntilReturnsTrueWhenCancelledFirst) {
  auto [ctx, cancel] = WithCancel(Root());
  std::thread canceller([&cancel = cancel] { cancel(); });
  EXPECT_TRUE(ctx.WaitUntil(clock_.Now() + absl::Hours(1)));
  canceller.join();
}

}  // namespace
}  // namespace tether
