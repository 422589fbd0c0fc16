// SPDX-License-Identifier: Apache-2.0
//
// Merge makes a context with two parents.

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/clock.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

using testing::SimulatedClock;

class MergeTest : public testing::LeakCheckedTest {
 protected:
  static void ExpectEnded(const Context& ctx, absl::StatusCode err,
                          const absl::Status& cause) {
    EXPECT_TRUE(ctx.Done());
    EXPECT_EQ(ctx.Err().code(), err);
    EXPECT_EQ(ctx.Cause(), cause);
  }

  SimulatedClock clock_;
};

TEST_F(MergeTest, EndsWithThePrimaryForItsReason) {
  auto [primary, cancel_primary] = WithCancel(Background());
  auto [other, cancel_other] = WithCancel(Background());
  auto [merged, cancel] = Merge(primary, other);
  EXPECT_FALSE(merged.Done());
  cancel_primary(absl::AbortedError("primary"));
  ExpectEnded(merged, absl::StatusCode::kCancelled,
              absl::AbortedError("primary"));
  cancel_other(absl::AbortedError("other"));
  EXPECT_EQ(merged.Cause(), absl::AbortedError("primary"));
}

TEST_F(MergeTest, EndsWithTheOtherForItsReason) {
  auto [primary, cancel_primary] = WithCancel(Background());
  auto [other, cancel_other] = WithCancel(Background());
  auto [merged, cancel] = Merge(primary, other);
  cancel_other(absl::AbortedError("other"));
  ExpectEnded(merged, absl::StatusCode::kCancelled,
              absl::AbortedError("other"));
  EXPECT_FALSE(primary.Done());
  cancel_primary(absl::AbortedError("primary"));
  EXPECT_EQ(merged.Cause(), absl::AbortedError("other"));
}

TEST_F(MergeTest, CancellingItEndsNeitherParent) {
  auto [primary, cancel_primary] = WithCancel(Background());
  auto [other, cancel_other] = WithCancel(Background());
  auto [merged, cancel] = Merge(primary, other);
  cancel(absl::AbortedError("own"));
  ExpectEnded(merged, absl::StatusCode::kCancelled, absl::AbortedError("own"));
  EXPECT_FALSE(primary.Done());
  EXPECT_FALSE(other.Done());
}

TEST_F(MergeTest, ItsDescendantsEndWithTheOther) {
  auto [other, cancel_other] = WithCancel(Background());
  auto [merged, cancel] = Merge(Background(), other);
  auto [child, cancel_child] = WithCancel(merged);
  auto [grandchild, cancel_grandchild] = WithCancel(child);
  cancel_other(absl::AbortedError("other"));
  ExpectEnded(grandchild, absl::StatusCode::kCancelled,
              absl::AbortedError("other"));
}

TEST_F(MergeTest, EndsWithAnAncestorOfTheOther) {
  auto [root, cancel_root] = WithCancel(Background());
  auto [other, cancel_other] = WithCancel(root);
  auto [merged, cancel] = Merge(Background(), other);
  cancel_root(absl::AbortedError("root"));
  ExpectEnded(merged, absl::StatusCode::kCancelled, absl::AbortedError("root"));
}

TEST_F(MergeTest, HasTheValuesOfThePrimaryOnly) {
  static constexpr Key<int> kBoth{"both"};
  static constexpr Key<int> kOtherOnly{"other_only"};
  const Context primary = WithValue(Background(), kBoth, 1);
  const Context other =
      WithValue(WithValue(Background(), kBoth, 2), kOtherOnly, 3);
  auto [merged, cancel] = Merge(primary, other);
  ASSERT_NE(merged.Value(kBoth), nullptr);
  EXPECT_EQ(*merged.Value(kBoth), 1);
  EXPECT_EQ(merged.Value(kOtherOnly), nullptr);
}

TEST_F(MergeTest, OfContextsThatNeverEndIsLiveUntilCancelled) {
  auto [merged, cancel] = Merge(Background(), Todo());
  EXPECT_FALSE(merged.Done());
  EXPECT_EQ(merged.Deadline(), absl::InfiniteFuture());
  cancel();
  EXPECT_TRUE(merged.Done());
}

// ---- The two related to each other -----------------------------------------

TEST_F(MergeTest, WithAnAncestorOfThePrimaryEndsOnce) {
  auto [root, cancel_root] = WithCancel(Background());
  auto [primary, cancel_primary] = WithCancel(root);
  auto [merged, cancel] = Merge(primary, root);
  int calls = 0;
  Registration count = AfterFunc(merged, [&] { ++calls; });
  cancel_root(absl::AbortedError("root"));
  ExpectEnded(merged, absl::StatusCode::kCancelled, absl::AbortedError("root"));
  EXPECT_EQ(calls, 1);
}

TEST_F(MergeTest, WithADescendantOfThePrimaryEndsWithThat) {
  auto [root, cancel_root] = WithCancel(Background());
  auto [child, cancel_child] = WithCancel(root);
  auto [merged, cancel] = Merge(root, child);
  cancel_child(absl::AbortedError("child"));
  ExpectEnded(merged, absl::StatusCode::kCancelled,
              absl::AbortedError("child"));
  EXPECT_FALSE(root.Done());
}

TEST_F(MergeTest, WithItselfEndsOnce) {
  auto [ctx, cancel_ctx] = WithCancel(Background());
  auto [merged, cancel] = Merge(ctx, ctx);
  cancel_ctx(absl::AbortedError("why"));
  ExpectEnded(merged, absl::StatusCode::kCancelled, absl::AbortedError("why"));
}

TEST_F(MergeTest, CrosswiseMergesEndWithEither) {
  for (int which : {0, 1}) {
    Cancellable parents[] = {WithCancel(Background()),
                             WithCancel(Background())};
    auto [ab, cancel_ab] = Merge(parents[0].ctx, parents[1].ctx);
    auto [ba, cancel_ba] = Merge(parents[1].ctx, parents[0].ctx);
    auto [abba, cancel_abba] = Merge(ab, ba);
    parents[which].cancel(absl::AbortedError("why"));
    for (const Context& ctx : {ab, ba, abba}) {
      ExpectEnded(ctx, absl::StatusCode::kCancelled, absl::AbortedError("why"));
    }
    EXPECT_FALSE(parents[1 - which].ctx.Done());
  }
}

TEST_F(MergeTest, LongChainsThroughEitherSideEndAndAreFreed) {
  // Each link of a chain through second parents takes some stack.
  for (bool through_primary : {true, false}) {
    auto [root, cancel_root] = WithCancel(Background());
    std::vector<Cancellable> chain;
    chain.push_back(Merge(root, root));
    for (int i = 0; i < 1000; ++i) {
      const Context& last = chain.back().ctx;
      chain.push_back(through_primary ? Merge(last, Background())
                                      : Merge(Background(), last));
    }
    cancel_root(absl::AbortedError("root"));
    for (const Cancellable& link : chain) ASSERT_TRUE(link.ctx.Done());
    EXPECT_EQ(chain.back().ctx.Cause(), absl::AbortedError("root"));
  }
}

// ---- Parents that are done -------------------------------------------------

TEST_F(MergeTest, OfADonePrimaryIsDoneForItsReason) {
  auto [primary, cancel_primary] = WithCancel(Background());
  auto [other, cancel_other] = WithCancel(Background());
  cancel_primary(absl::AbortedError("primary"));
  auto [merged, cancel] = Merge(primary, other);
  ExpectEnded(merged, absl::StatusCode::kCancelled,
              absl::AbortedError("primary"));
  EXPECT_EQ(LiveCallbacks(), 0);
}

TEST_F(MergeTest, WithADoneOtherIsDoneForItsReason) {
  auto [primary, cancel_primary] = WithCancel(Background());
  auto [other, cancel_other] = WithCancel(Background());
  cancel_other(absl::AbortedError("other"));
  auto [merged, cancel] = Merge(primary, other);
  ExpectEnded(merged, absl::StatusCode::kCancelled,
              absl::AbortedError("other"));
}

TEST_F(MergeTest, OfTwoDoneContextsHasThePrimarysReason) {
  auto [primary, cancel_primary] = WithCancel(Background());
  auto [other, cancel_other] = WithTimeout(Background(), -absl::Seconds(1));
  cancel_primary(absl::AbortedError("primary"));
  auto [merged, cancel] = Merge(primary, other);
  ExpectEnded(merged, absl::StatusCode::kCancelled,
              absl::AbortedError("primary"));
}

TEST_F(MergeTest, WithAnOtherCancelledBeforeItsDeadlinePassedIsCancelled) {
  auto [other, cancel_other] =
      WithTimeout(Background(clock_), absl::Seconds(1));
  cancel_other(absl::AbortedError("other"));
  clock_.Advance(absl::Seconds(2));
  auto [merged, cancel] = Merge(Background(clock_), other);
  ExpectEnded(merged, absl::StatusCode::kCancelled,
              absl::AbortedError("other"));
}

// ---- Deadlines -------------------------------------------------------------

TEST_F(MergeTest, HasTheEarlierDeadlineWhicheverSideItIsOn) {
  const absl::Time start = clock_.Now();
  auto [early, cancel_early] =
      WithTimeout(Background(clock_), absl::Seconds(1));
  auto [late, cancel_late] = WithTimeout(Background(clock_), absl::Seconds(2));
  const Cancellable all[] = {
      Merge(early, late),         Merge(late, early),
      Merge(early, Background()), Merge(Background(clock_), early),
      Merge(early, early),
  };
  for (const Cancellable& merged : all) {
    SCOPED_TRACE(merged.ctx.DebugString());
    EXPECT_EQ(merged.ctx.Deadline(), start + absl::Seconds(1));
    EXPECT_EQ(merged.ctx.Remaining(), absl::Seconds(1));
  }
}

TEST_F(MergeTest, HasTheVeryDeadlineOfItsParentOnTheRealClock) {
  const absl::Time deadline = absl::Now() + absl::Hours(1);
  auto [timed, cancel_timed] = WithDeadline(Background(), deadline);
  auto [a, cancel_a] = Merge(timed, Background());
  auto [b, cancel_b] = Merge(Background(), timed);
  EXPECT_EQ(timed.Deadline(), deadline);
  EXPECT_EQ(a.Deadline(), deadline);
  EXPECT_EQ(b.Deadline(), deadline);
}

TEST_F(MergeTest, HasTheDeadlineOfTheOtherThoughTheWallClockJumped) {
  auto [other, cancel_other] =
      WithTimeout(Background(clock_), absl::Seconds(5));
  const absl::Time deadline = other.Deadline();
  clock_.JumpWallClock(absl::Hours(1));
  auto [merged, cancel] = Merge(Background(clock_), other);
  EXPECT_EQ(merged.Deadline(), deadline);
  EXPECT_EQ(merged.Remaining(), absl::Seconds(5));
}

TEST_F(MergeTest, EndsAtTheDeadlineOfTheOtherWithItsCause) {
  auto [other, cancel_other] =
      WithTimeout(Background(clock_), absl::Seconds(1),
                  absl::UnavailableError("the other's budget"));
  auto [merged, cancel] = Merge(Background(clock_), other);
  auto [child, cancel_child] = WithCancel(merged);
  clock_.Advance(absl::Seconds(1) - absl::Nanoseconds(1));
  EXPECT_FALSE(merged.Done());
  clock_.Advance(absl::Nanoseconds(1));
  for (const Context& ctx : {merged, child}) {
    ExpectEnded(ctx, absl::StatusCode::kDeadlineExceeded,
                absl::UnavailableError("the other's budget"));
  }
  EXPECT_EQ(clock_.armed_timers(), 0u);
}

TEST_F(MergeTest, ADeadlineOfTheOtherThatHasPassedMakesItDoneAtBirth) {
  auto [other, cancel_other] = WithTimeout(
      Background(clock_), -absl::Seconds(1), absl::UnavailableError("late"));
  auto [merged, cancel] = Merge(Background(clock_), other);
  ExpectEnded(merged, absl::StatusCode::kDeadlineExceeded,
              absl::UnavailableError("late"));
}

TEST_F(MergeTest, AcrossClocksDoesNotEndBeforeAPartHas) {
  SimulatedClock other_clock(absl::FromUnixSeconds(5));
  other_clock.Advance(absl::Hours(7));
  auto [other, cancel_other] =
      WithTimeout(Background(other_clock), absl::Seconds(3));
  auto [primary, cancel_primary] =
      WithTimeout(Background(clock_), absl::Hours(2));
  auto [merged, cancel] = Merge(primary, other);
  EXPECT_EQ(merged.Deadline(), primary.Deadline());
  EXPECT_EQ(merged.Remaining(), absl::Hours(2));
  clock_.Advance(absl::Hours(1));  // the other clock stands still
  EXPECT_FALSE(other.Done());
  EXPECT_FALSE(merged.Done());
  other_clock.Advance(absl::Seconds(3));
  EXPECT_TRUE(merged.Done());
  EXPECT_EQ(merged.Remaining(), absl::Hours(1));

  auto [later, cancel_later] =
      WithTimeout(Background(other_clock), absl::Hours(24));
  auto [both, cancel_both] = Merge(primary, later);
  clock_.Advance(absl::Hours(1));
  EXPECT_TRUE(both.Done());
  EXPECT_FALSE(later.Done());
}

TEST_F(MergeTest, AcrossClocksEndsWithTheOther) {
  SimulatedClock other_clock;
  auto [other, cancel_other] =
      WithTimeout(Background(other_clock), absl::Seconds(3));
  auto [merged, cancel] = Merge(Background(clock_), other);
  other_clock.Advance(absl::Seconds(3));
  ExpectEnded(merged, absl::StatusCode::kDeadlineExceeded,
              absl::DeadlineExceededError("context deadline exceeded"));
}

TEST_F(MergeTest, AcrossClocksSurvivesADeadlineLongPast) {
  SimulatedClock other_clock;
  auto [other, cancel_other] =
      WithDeadline(Background(other_clock), absl::InfinitePast());
  auto [merged, cancel] = Merge(Background(clock_), other);
  EXPECT_TRUE(merged.Done());
}

// ---- What is left behind ---------------------------------------------------

TEST_F(MergeTest, LeavesNothingInTheOtherWhenItEndsFirst) {
  auto [other, cancel_other] = WithCancel(Background());
  for (int i = 0; i < 100; ++i) {
    auto [merged, cancel] = Merge(Background(), other);
    EXPECT_EQ(LiveCallbacks(), 1);
  }
  EXPECT_EQ(LiveCallbacks(), 0);
  EXPECT_EQ(LiveNodes(), 1);
}

TEST_F(MergeTest, LeavesNothingInTheOtherWhenThePrimaryEndsFirst) {
  auto [other, cancel_other] = WithCancel(Background());
  auto [root, cancel_root] = WithCancel(Background());
  auto [primary, cancel_primary] = WithCancel(root);
  auto [merged, cancel] = Merge(primary, other);
  cancel_root();
  EXPECT_EQ(LiveCallbacks(), 0);
}

TEST_F(MergeTest, KeepsBothParentsAlive) {
  SimulatedClock other_clock;
  Context merged;
  {
    Cancellable primary = WithCancel(Background(clock_));
    Cancellable other = WithTimeout(Background(other_clock), absl::Seconds(1));
    Cancellable both = Merge(primary.ctx, other.ctx);
    merged = both.ctx;
  }
  EXPECT_TRUE(merged.Done());
  EXPECT_EQ(LiveNodes(), 3);
  EXPECT_FALSE(merged.DebugString().empty());
}

}  // namespace
}  // namespace tether
