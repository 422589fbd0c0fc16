// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/request_budget.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/time/time.h"
#include "tether/grpc/internal/reserve_nanos.h"
#include "tether/grpc/reserve.h"
#include "tether/internal/nanos.h"

namespace tether::internal {
namespace {

constexpr Nanos kNone = kNever;
constexpr absl::Duration kGrace = absl::Milliseconds(100);

Nanos Ms(double n) { return static_cast<Nanos>(n * 1e6); }

Nanos DefaultReserveOf(Nanos left) { return ReserveOf(Reserve(), left); }

TEST(TimeLeftTest, IsWhatTheCallerSaysUnlessTheRequestHasWaited) {
  EXPECT_EQ(TimeLeft({kNone, kNone}), kNone);
  EXPECT_EQ(TimeLeft({kNone, Ms(1000)}), Ms(1000));
  EXPECT_EQ(TimeLeft({Ms(1000), kNone}), Ms(1000));  // a caller without tether
  const Nanos sent = Ms(1000) - DefaultReserveOf(Ms(1000));
  EXPECT_EQ(TimeLeft({Ms(1000), sent}), sent);
  EXPECT_EQ(TimeLeft({Ms(1030), sent}), sent);   // rounded up
  EXPECT_EQ(TimeLeft({Ms(999.1), sent}), sent);  // a tick of core's clock
  EXPECT_EQ(TimeLeft({Ms(0), sent}), Ms(0));
  EXPECT_EQ(TimeLeft({Ms(-5), sent}), Ms(-5));
}

TEST(TimeLeftTest, IsWhatTheWaitHasLeftOfTheStandardTimeLessTheReserve) {
  const auto less_reserve = [](Nanos standard) {
    return standard - DefaultReserveOf(standard);
  };
  const Nanos sent = less_reserve(Ms(50));
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
  for (const Nanos standard : {Ms(-1), Ms(1), Ms(50), Ms(1e9), kNone}) {
    for (const Nanos exact : {Ms(0), Ms(1), Ms(50), Ms(1e9), kNone}) {
      for (const Nanos reserve : {Ms(0), Ms(1), Ms(50), Ms(1e12)}) {
        const Nanos left = TimeLeft({standard, exact, reserve});
        EXPECT_LE(left, standard);
        EXPECT_LE(left, exact);
        // Nor does a reserve take more than a quarter.
        EXPECT_GE(left, std::min({standard, exact, standard - standard / 4}));
      }
    }
  }
}

TEST(BudgetOfTest, TheCallersTimeCountsUntilItIsLongerThanMaxTimeout) {
  TimeLimits limits;
  limits.max_timeout = absl::Seconds(10);
  limits.default_timeout = absl::Seconds(2);
  const RequestBudget shorter = BudgetOf({Ms(5000), Ms(4900)}, limits, kGrace);
  EXPECT_EQ(shorter.time_left, Ms(4900));
  EXPECT_EQ(shorter.timeout, Ms(4900));
  EXPECT_EQ(shorter.owner, DeadlineOwner::kCaller);
  EXPECT_GT(shorter.Slack(), absl::ZeroDuration());
  const RequestBudget longer =
      BudgetOf({Ms(60'000), Ms(59'000)}, limits, kGrace);
  EXPECT_EQ(longer.time_left, Ms(59'000));
  EXPECT_EQ(longer.timeout, Ms(10'000));
  EXPECT_EQ(longer.owner, DeadlineOwner::kMaxTimeout);
  EXPECT_EQ(longer.Slack(), absl::ZeroDuration());
}

TEST(BudgetOfTest, TheDefaultIsForCallersThatNameNoTimeAndIsCapped) {
  TimeLimits limits;
  limits.default_timeout = absl::Seconds(2);
  const RequestBudget by_default = BudgetOf({kNone, kNone}, limits, kGrace);
  EXPECT_EQ(by_default.time_left, kNone);
  EXPECT_EQ(by_default.timeout, Ms(2000));
  EXPECT_EQ(by_default.owner, DeadlineOwner::kDefaultTimeout);
  limits.max_timeout = absl::Seconds(1);
  const RequestBudget capped = BudgetOf({kNone, kNone}, limits, kGrace);
  EXPECT_EQ(capped.timeout, Ms(1000));
  EXPECT_EQ(capped.owner, DeadlineOwner::kMaxTimeout);
}

TEST(BudgetOfTest, ZeroLeavesNoTimeAndIsNotUnlimited) {
  TimeLimits limits;
  limits.default_timeout = absl::ZeroDuration();
  EXPECT_EQ(BudgetOf({kNone, kNone}, limits, kGrace).timeout, 0);
  limits.default_timeout = absl::InfiniteDuration();
  limits.max_timeout = absl::ZeroDuration();
  const RequestBudget budget = BudgetOf({Ms(5000), Ms(4000)}, limits, kGrace);
  EXPECT_EQ(budget.timeout, 0);
  EXPECT_EQ(budget.owner, DeadlineOwner::kMaxTimeout);
  EXPECT_EQ(budget.until_cancelled, Ms(100));
}

TEST(BudgetOfTest, TheCallIsCancelledOnlyIfGrpcDoesNotEndItBefore) {
  TimeLimits limits;
  EXPECT_EQ(BudgetOf({kNone, kNone}, limits, kGrace).until_cancelled, kNone);
  // gRPC's deadline is 31 ms after tether's, within the grace.
  EXPECT_EQ(BudgetOf({Ms(1000), Ms(969)}, limits, kGrace).until_cancelled,
            kNone);
  // A caller without grpc-timeout: up to a quarter of its time is added.
  EXPECT_EQ(BudgetOf({kNone, Ms(1000)}, limits, kGrace).until_cancelled,
            Ms(1250));
  // The server's own limits get the grace and no more.
  limits.max_timeout = absl::Seconds(1);
  EXPECT_EQ(BudgetOf({kNone, kNone}, limits, kGrace).until_cancelled, Ms(1100));
  EXPECT_EQ(BudgetOf({Ms(5000), Ms(5000)}, limits, kGrace).until_cancelled,
            Ms(1100));
}

}  // namespace
}  // namespace tether::internal
