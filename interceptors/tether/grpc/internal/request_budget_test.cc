// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/request_budget.h"

#include <gtest/gtest.h>

#include "absl/time/time.h"

namespace tether::internal {
namespace {

constexpr absl::Duration kNone = absl::InfiniteDuration();
constexpr absl::Duration kGrace = absl::Milliseconds(100);

TEST(TimeLeftTest, IsWhatTheCallerSaysUnlessTheRequestHasWaited) {
  const auto ms = [](double n) { return absl::Milliseconds(n); };
  const absl::Duration never = absl::InfiniteDuration();
  EXPECT_EQ(TimeLeft(never, never), never);
  EXPECT_EQ(TimeLeft(never, ms(1000)), ms(1000));
  EXPECT_EQ(TimeLeft(ms(1000), ms(969)), ms(969));
  EXPECT_EQ(TimeLeft(ms(1000), ms(1000)), ms(1000));
  EXPECT_EQ(TimeLeft(ms(1000), never), ms(1000));  // a caller without tether
  EXPECT_EQ(TimeLeft(ms(995.5), ms(1000)), ms(995.5));  // transit
  EXPECT_EQ(TimeLeft(ms(500), ms(969)), ms(484));
  EXPECT_EQ(TimeLeft(ms(0), ms(969)), ms(0));
  EXPECT_EQ(TimeLeft(ms(-5), ms(969)), ms(-5));
}

TEST(BudgetOfTest, TheCallersTimeCountsUntilItIsLongerThanMaxTimeout) {
  TimeLimits limits;
  limits.max_timeout = absl::Seconds(10);
  limits.default_timeout = absl::Seconds(2);
  const RequestBudget shorter =
      BudgetOf(absl::Seconds(5), absl::Seconds(4.9), limits, kGrace);
  EXPECT_EQ(shorter.time_left, absl::Seconds(4.9));
  EXPECT_EQ(shorter.timeout, absl::Seconds(4.9));
  EXPECT_EQ(shorter.owner, DeadlineOwner::kCaller);
  EXPECT_GT(shorter.slack, absl::ZeroDuration());
  const RequestBudget longer =
      BudgetOf(absl::Seconds(60), absl::Seconds(59), limits, kGrace);
  EXPECT_EQ(longer.time_left, absl::Seconds(59));
  EXPECT_EQ(longer.timeout, absl::Seconds(10));
  EXPECT_EQ(longer.owner, DeadlineOwner::kMaxTimeout);
  EXPECT_EQ(longer.slack, absl::ZeroDuration());
}

TEST(BudgetOfTest, TheDefaultIsForCallersThatNameNoTimeAndIsCapped) {
  TimeLimits limits;
  limits.default_timeout = absl::Seconds(2);
  const RequestBudget by_default = BudgetOf(kNone, kNone, limits, kGrace);
  EXPECT_EQ(by_default.time_left, kNone);
  EXPECT_EQ(by_default.timeout, absl::Seconds(2));
  EXPECT_EQ(by_default.owner, DeadlineOwner::kDefaultTimeout);
  limits.max_timeout = absl::Seconds(1);
  const RequestBudget capped = BudgetOf(kNone, kNone, limits, kGrace);
  EXPECT_EQ(capped.timeout, absl::Seconds(1));
  EXPECT_EQ(capped.owner, DeadlineOwner::kMaxTimeout);
}

TEST(BudgetOfTest, ZeroLeavesNoTimeAndIsNotUnlimited) {
  TimeLimits limits;
  limits.default_timeout = absl::ZeroDuration();
  EXPECT_EQ(BudgetOf(kNone, kNone, limits, kGrace).timeout,
            absl::ZeroDuration());
  limits.default_timeout = kNone;
  limits.max_timeout = absl::ZeroDuration();
  const RequestBudget budget =
      BudgetOf(absl::Seconds(5), absl::Seconds(4), limits, kGrace);
  EXPECT_EQ(budget.timeout, absl::ZeroDuration());
  EXPECT_EQ(budget.owner, DeadlineOwner::kMaxTimeout);
  EXPECT_EQ(budget.until_cancelled, kGrace);
}

TEST(BudgetOfTest, TheCallIsCancelledOnlyIfGrpcDoesNotEndItBefore) {
  TimeLimits limits;
  EXPECT_EQ(BudgetOf(kNone, kNone, limits, kGrace).until_cancelled, kNone);
  // gRPC's deadline is 31 ms after tether's, within the grace.
  EXPECT_EQ(BudgetOf(absl::Seconds(1), absl::Milliseconds(969), limits, kGrace)
                .until_cancelled,
            kNone);
  // A caller without grpc-timeout: up to a quarter of its time is added.
  EXPECT_EQ(BudgetOf(kNone, absl::Seconds(1), limits, kGrace).until_cancelled,
            absl::Milliseconds(1250));
  // The server's own limits get the grace and no more.
  limits.max_timeout = absl::Seconds(1);
  EXPECT_EQ(BudgetOf(kNone, kNone, limits, kGrace).until_cancelled,
            absl::Milliseconds(1100));
  EXPECT_EQ(BudgetOf(absl::Seconds(5), absl::Seconds(5), limits, kGrace)
                .until_cancelled,
            absl::Milliseconds(1100));
}

}  // namespace
}  // namespace tether::internal
