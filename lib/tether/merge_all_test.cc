// SPDX-License-Identifier: Apache-2.0

#include "tether/merge_all.h"

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

class MergeAllTest : public testing::LeakCheckedTest {};

TEST_F(MergeAllTest, EndsWhenAllHaveForTheReasonOfTheLast) {
  auto [a, cancel_a] = WithCancel(Background());
  auto [b, cancel_b] = WithCancel(Background());
  MergeAll all(Background());
  EXPECT_TRUE(all.Add(a));
  EXPECT_TRUE(all.Add(b));
  cancel_a(absl::AbortedError("first"));
  EXPECT_FALSE(all.context().Done());
  cancel_b(absl::AbortedError("last"));
  EXPECT_TRUE(all.context().Done());
  EXPECT_EQ(all.context().Cause(), absl::AbortedError("last"));
}

TEST_F(MergeAllTest, ControlMergeEndsWithTheFirst) {
  auto [a, cancel_a] = WithCancel(Background());
  auto [b, cancel_b] = WithCancel(Background());
  auto [either, cancel] = Merge(a, b);
  cancel_a();
  EXPECT_TRUE(either.Done());
}

TEST_F(MergeAllTest, AMemberThatComesLaterKeepsItAlive) {
  auto [a, cancel_a] = WithCancel(Background());
  auto [b, cancel_b] = WithCancel(Background());
  MergeAll all(Background());
  EXPECT_FALSE(all.context().Done());
  EXPECT_TRUE(all.Add(a));
  EXPECT_TRUE(all.Add(b));
  cancel_a();
  auto [c, cancel_c] = WithCancel(Background());
  EXPECT_TRUE(all.Add(c));
  cancel_b();
  EXPECT_FALSE(all.context().Done());
  cancel_c();
  EXPECT_TRUE(all.context().Done());
}

TEST_F(MergeAllTest, AddReturnsFalseWhenItIsTooLate) {
  auto [a, cancel_a] = WithCancel(Background());
  MergeAll all(Background());
  EXPECT_TRUE(all.Add(a));
  cancel_a();
  EXPECT_FALSE(all.Add(Background()));
  EXPECT_TRUE(all.context().Done());
}

TEST_F(MergeAllTest, ADoneMemberCountsAsEnded) {
  auto [done, cancel_done] = WithCancel(Background());
  cancel_done(absl::AbortedError("gone"));
  auto [live, cancel_live] = WithCancel(Background());
  MergeAll all(Background());
  EXPECT_TRUE(all.Add(live));
  EXPECT_TRUE(all.Add(done));
  EXPECT_FALSE(all.context().Done());
  MergeAll alone(Background());
  EXPECT_FALSE(alone.Add(done));
  EXPECT_EQ(alone.context().Cause(), absl::AbortedError("gone"));
}

TEST_F(MergeAllTest, AMemberThatNeverEndsKeepsItAlive) {
  auto [a, cancel_a] = WithCancel(Background());
  MergeAll all(Background());
  EXPECT_TRUE(all.Add(Background()));
  EXPECT_TRUE(all.Add(a));
  cancel_a();
  EXPECT_FALSE(all.context().Done());
}

TEST_F(MergeAllTest, EndsWithItsBaseAndWhenCancelled) {
  auto [base, cancel_base] = WithCancel(Background());
  MergeAll with_base(base);
  EXPECT_TRUE(with_base.Add(Background()));
  cancel_base(absl::AbortedError("base"));
  EXPECT_EQ(with_base.context().Cause(), absl::AbortedError("base"));
  EXPECT_FALSE(with_base.Add(Background()));
  MergeAll cancelled(Background());
  EXPECT_TRUE(cancelled.Add(Background()));
  cancelled.Cancel(absl::AbortedError("over"));
  EXPECT_EQ(cancelled.context().Cause(), absl::AbortedError("over"));
}

TEST_F(MergeAllTest, EndsWithTheLastDeadline) {
  testing::SimulatedClock clock;
  auto [a, cancel_a] = WithTimeout(Background(clock), absl::Seconds(1));
  auto [b, cancel_b] =
      WithTimeout(Background(clock), absl::Seconds(2), absl::AbortedError("b"));
  MergeAll all(Background(clock));
  EXPECT_TRUE(all.Add(b));
  EXPECT_TRUE(all.Add(a));
  clock.Advance(absl::Seconds(1));
  EXPECT_FALSE(all.context().Done());
  clock.Advance(absl::Seconds(1));
  EXPECT_TRUE(absl::IsDeadlineExceeded(all.context().Err()));
  EXPECT_EQ(all.context().Cause(), absl::AbortedError("b"));
}

TEST_F(MergeAllTest, HasTheValuesOfItsBaseOnly) {
  static constexpr Key<int> kNumber{"number"};
  MergeAll all(WithValue(Background(), kNumber, 1));
  EXPECT_TRUE(all.Add(WithValue(Background(), kNumber, 2)));
  ASSERT_NE(all.context().Value(kNumber), nullptr);
  EXPECT_EQ(*all.context().Value(kNumber), 1);
}

TEST_F(MergeAllTest, LeavesNothingInItsMembersAndMembersNothingInIt) {
  auto [live, cancel_live] = WithCancel(Background());
  {
    MergeAll all(Background());
    EXPECT_TRUE(all.Add(live));
    for (int i = 0; i < 100; ++i) {
      auto [member, cancel] = WithCancel(Background());
      EXPECT_TRUE(all.Add(member));
    }
    // The last member may be kept until the next is added.
    EXPECT_LE(LiveNodes(), 3);
  }
  EXPECT_EQ(LiveCallbacks(), 0);
}

TEST_F(MergeAllTest, MayBeDestroyedByACallbackOfAMemberOrOfItsOwn) {
  for (const bool of_its_own : {true, false}) {
    auto [member, cancel] = WithCancel(Background());
    auto all = std::make_unique<MergeAll>(Background());
    EXPECT_TRUE(all->Add(member));
    Registration destroy =
        AfterFunc(of_its_own ? all->context() : member, [&] { all.reset(); });
    cancel();
    EXPECT_EQ(all, nullptr);
  }
}

TEST_F(MergeAllTest, MayBeDestroyedByACallbackThatAddRuns) {
  auto [done, cancel] = WithCancel(Background());
  cancel();
  auto all = std::make_unique<MergeAll>(Background());
  MergeAll* const raw = all.get();
  Registration destroy = AfterFunc(all->context(), [&] { all.reset(); });
  EXPECT_FALSE(raw->Add(done));
  EXPECT_EQ(all, nullptr);
}

TEST_F(MergeAllTest, MembersMayComeAndGoOnAllThreads) {
  for (int round = 0; round < 50; ++round) {
    MergeAll all(Background());
    auto [first, cancel_first] = WithCancel(Background());
    ASSERT_TRUE(all.Add(first));
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 20; ++n) {
          auto [member, cancel] = WithCancel(Background());
          // It lives while a member lives.
          if (all.Add(member) && all.context().Done()) ++wrong;
        }
      });
    }
    cancel_first();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_TRUE(all.context().Done());
  }
}

}  // namespace
}  // namespace tether
