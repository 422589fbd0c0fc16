// SPDX-License-Identifier: Apache-2.0

#include "tether/context_stats.h"

#include <stdexcept>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

constexpr Key<int> kNumber{"number"};

class ContextStatsTest : public testing::LeakCheckedTest {
 protected:
  // The difference since the test began.
  int64_t Contexts() const {
    return GetContextStats().contexts - before_.contexts;
  }
  int64_t Callbacks() const {
    return GetContextStats().callbacks - before_.callbacks;
  }
  int64_t Timers() const { return GetContextStats().timers - before_.timers; }
  int64_t Exceptions() const {
    return GetContextStats().callback_exceptions - before_.callback_exceptions;
  }

 private:
  const ContextStats before_ = GetContextStats();
};

TEST_F(ContextStatsTest, RootsAreNotCounted) {
  testing::SimulatedClock clock;
  const Context roots[] = {Background(), Todo(), Background(clock)};
  EXPECT_EQ(Contexts(), 0);
}

TEST_F(ContextStatsTest, AContextCountsOnceUntilItsLastCopyIsGone) {
  Context copy;
  {
    const Context ctx = WithValue(Background(), kNumber, 1);
    EXPECT_EQ(Contexts(), 1);
    copy = ctx;
    EXPECT_EQ(Contexts(), 1);
  }
  EXPECT_EQ(Contexts(), 1);
  copy = Background();
  EXPECT_EQ(Contexts(), 0);
}

TEST_F(ContextStatsTest, AContextCountsWhileAChildOrItsCancelFuncExists) {
  {
    const Context child =
        WithValue(WithValue(Background(), kNumber, 1), kNumber, 2);
    EXPECT_EQ(Contexts(), 2);
  }
  CancelFunc cancel = Cancellable(WithCancel(Background())).cancel;
  EXPECT_EQ(Contexts(), 1);
  cancel = CancelFunc();
  EXPECT_EQ(Contexts(), 0);
}

TEST_F(ContextStatsTest, ACallbackCountsUntilItIsStoppedOrItsContextEnds) {
  auto [ctx, cancel] = WithCancel(Background());
  Registration stopped = AfterFunc(ctx, [] {});
  const Registration called = AfterFunc(ctx, [] {});
  EXPECT_EQ(Callbacks(), 2);
  stopped.Stop();
  EXPECT_EQ(Callbacks(), 1);
  cancel();
  EXPECT_EQ(Callbacks(), 0);
}

TEST_F(ContextStatsTest, AMergeIsACallbackOfItsSecondParent) {
  auto [first, cancel_first] = WithCancel(Background());
  auto [second, cancel_second] = WithCancel(Background());
  const Cancellable merged = Merge(first, second);
  EXPECT_EQ(Callbacks(), 1);
  cancel_first();
  EXPECT_EQ(Callbacks(), 0);
}

TEST_F(ContextStatsTest, ADeadlineCountsOnceUntilItPassesOrItsContextEnds) {
  testing::SimulatedClock clock;
  auto [early, cancel_early] = WithTimeout(Background(clock), absl::Seconds(1));
  auto [late, cancel_late] = WithTimeout(Background(clock), absl::Seconds(9));
  const Cancellable inherits = WithTimeout(early, absl::Seconds(5));
  EXPECT_EQ(Timers(), 2);
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(Timers(), 1);
  cancel_late();
  EXPECT_EQ(Timers(), 0);
}

TEST_F(ContextStatsTest, AnExceptionThatLeavesACallbackIsCountedForEver) {
  auto [ctx, cancel] = WithCancel(Background());
  const Registration throws =
      AfterFunc(ctx, [] { throw std::runtime_error("expected"); });
  const Registration returns = AfterFunc(ctx, [] {});
  EXPECT_EQ(Exceptions(), 0);
  cancel();
  EXPECT_EQ(Exceptions(), 1);
}

TEST_F(ContextStatsTest, ContextsStillCountWhenTheirThreadHasEnded) {
  Context ctx;
  std::thread([&ctx] { ctx = WithValue(Background(), kNumber, 1); }).join();
  EXPECT_EQ(Contexts(), 1);
}

}  // namespace
}  // namespace tether
