// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/request_budget.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/time/time.h"
#include "tether/grpc/reserve.h"

namespace tether::internal {
namespace {

constexpr absl::Duration kNone = absl::InfiniteDuration();
constexpr absl::Duration kGrace = absl::Milliseconds(100);

absl::Duration Ms(double n) { return absl::Milliseconds(n); }

TEST(TimeLeftTest, IsWhatTheCallerSaysUnlessTheRequestHasWaited) {
  EXPECT_EQ(TimeLeft({kNone, kNone}), kNone);
  EXPECT_EQ(TimeLeft({kNone, Ms(1000)}), Ms(1000));
  EXPECT_EQ(TimeLeft({Ms(1000), kNone}), Ms(1000));  // a caller without tether
  const absl::Duration sent = Ms(1000) - Reserve().Of(Ms(1000));
  EXPECT_EQ(TimeLeft({Ms(1000), sent}), sent);
  EXPECT_EQ(TimeLeft({Ms(1030), sent}), sent);   // rounded up
  EXPECT_EQ(TimeLeft({Ms(999.1), sent}), sent);  // a tick of core's clock
  EXPECT_EQ(TimeLeft({Ms(0), sent}), Ms(0));
  EXPECT_EQ(TimeLeft({Ms(-5), sent}), Ms(-5));
}

TEST(TimeLeftTest, IsWhatTheWaitHasLeftOfTheStandardTimeLessTheReserve) {
  const auto less_reserve = [](absl::Duration standard) {
    return standard - Reserve().Of(standard);
  };
  const absl::Duration sent = less_reserve(Ms(50));
  for (const double standard : {48., 47., 30., 1.}) {
    EXPECT_EQ(TimeLeft({Ms(standard), sent}), less_reserve(Ms(standard)));
  }
  // The caller's own reserve, but at most a quarter, as it computes it.
  EXPECT_EQ(TimeLeft({Ms(900), Ms(960), Ms(40)}), Ms(860));
  EXPECT_EQ(TimeLeft({Ms(100), Ms(960), Ms(40)}), Ms(75));
}

TEST(TimeLeftTest, TakesTheReserveThatTheCallerNames) {
  EXPECT_EQ(TimeLeft({Ms(1000), Ms(900), Ms(100)}), Ms(900));
  EXPECT_EQ(TimeLeft({Ms(950), Ms(900), Ms(100)}), Ms(850));
  EXPECT_EQ(TimeLeft({Ms(1000), Ms(1000), Ms(0)}), Ms(1000));
  EXPECT_EQ(TimeLeft({Ms(900), Ms(1000), Ms(0)}), Ms(900));
  // The control: the default.
  EXPECT_LT(TimeLeft({Ms(1000), Ms(1000)}), Ms(1000));
}

TEST(TimeLeftTest, NoHeaderGivesMoreThanAnother) {
  for (const absl::Duration standard :
       {Ms(-1), Ms(1), Ms(50), Ms(1e9), kNone}) {
    for (const absl::Duration exact : {Ms(0), Ms(1), Ms(50), Ms(1e9), kNone}) {
      for (const absl::Duration reserve : {Ms(0), Ms(1), Ms(50), Ms(1e12)}) {
        const absl::Duration left = TimeLeft({standard, exact, reserve});
        EXPECT_LE(left, standard);
        EXPECT_LE(left, exact);
        // Nor does a reserve take more than a quarter.
        EXPECT_GE(left, std::min({standard, exact, standard * 0.75}));
      }
    }
  }
}

TEST(BudgetOfTest, TheCallersTimeCountsUntilItIsLongerThanMaxTimeout) {
  TimeLimits limits;
  limits.max_timeout = absl::Seconds(10);
  limits.default_timeout = absl::Seconds(2);
  const RequestBudget shorter =
      BudgetOf({absl::Seconds(5), absl::Seconds(4.9)}, limits, kGrace);
  EXPECT_EQ(shorter.time_left, absl::Seconds(4.9));
  EXPECT_EQ(shorter.timeout, absl::Seconds(4.9));
  EXPECT_EQ(shorter.owner, DeadlineOwner::kCaller);
  EXPECT_GT(shorter.slack, absl::ZeroDuration());
  const RequestBudget longer =
      BudgetOf({absl::Seconds(60), absl::Seconds(59)}, limits, kGrace);
  EXPECT_EQ(longer.time_left, absl::Seconds(59));
  EXPECT_EQ(longer.timeout, absl::Seconds(10));
  EXPECT_EQ(longer.owner, DeadlineOwner::kMaxTimeout);
  EXPECT_EQ(longer.slack, absl::ZeroDuration());
}

TEST(BudgetOfTest, TheDefaultIsForCallersThatNameNoTimeAndIsCapped) {
  TimeLimits limits;
  limits.default_timeout = absl::Seconds(2);
  const RequestBudget by_default = BudgetOf({kNone, kNone}, limits, kGrace);
  EXPECT_EQ(by_default.time_left, kNone);
  EXPECT_EQ(by_default.timeout, absl::Seconds(2));
  EXPECT_EQ(by_default.owner, DeadlineOwner::kDefaultTimeout);
  limits.max_timeout = absl::Seconds(1);
  const RequestBudget capped = BudgetOf({kNone, kNone}, limits, kGrace);
  EXPECT_EQ(capped.timeout, absl::Seconds(1));
  EXPECT_EQ(capped.owner, DeadlineOwner::kMaxTimeout);
}

TEST(BudgetOfTest, ZeroLeavesNoTimeAndIsNotUnlimited) {
  TimeLimits limits;
  limits.default_timeout = absl::ZeroDuration();
  EXPECT_EQ(BudgetOf({kNone, kNone}, limits, kGrace).timeout,
            absl::ZeroDuration());
  limits.default_timeout = kNone;
  limits.max_timeout = absl::ZeroDuration();
  const RequestBudget budget =
      BudgetOf({absl::Seconds(5), absl::Seconds(4)}, limits, kGrace);
  EXPECT_EQ(budget.timeout, absl::ZeroDuration());
  EXPECT_EQ(budget.owner, DeadlineOwner::kMaxTimeout);
  EXPECT_EQ(budget.until_cancelled, kGrace);
}

TEST(BudgetOfTest, TheCallIsCancelledOnlyIfGrpcDoesNotEndItBefore) {
  TimeLimits limits;
  EXPECT_EQ(BudgetOf({kNone, kNone}, limits, kGrace).until_cancelled, kNone);
  // gRPC's deadline is 31 ms after tether's, within the grace.
  EXPECT_EQ(
      BudgetOf({absl::Seconds(1), absl::Milliseconds(969)}, limits, kGrace)
          .until_cancelled,
      kNone);
  // A caller without grpc-timeout: up to a quarter of its time is added.
  EXPECT_EQ(BudgetOf({kNone, absl::Seconds(1)}, limits, kGrace).until_cancelled,
            absl::Milliseconds(1250));
  // The server's own limits get the grace and no more.
  limits.max_timeout = absl::Seconds(1);
  EXPECT_EQ(BudgetOf({kNone, kNone}, limits, kGrace).until_cancelled,
            absl::Milliseconds(1100));
  EXPECT_EQ(BudgetOf({absl::Seconds(5), absl::Seconds(5)}, limits, kGrace)
                .until_cancelled,
            absl::Milliseconds(1100));
}

}  // namespace
}  // namespace tether::internal
