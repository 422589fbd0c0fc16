// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/time.h"

#include <gtest/gtest.h>

namespace tether::internal {
namespace {

TEST(TimeTest, UntilDeadlineOfNeverIsInfinite) {
  for (gpr_clock_type clock : {GPR_CLOCK_MONOTONIC, GPR_CLOCK_REALTIME}) {
    EXPECT_EQ(UntilDeadline(gpr_inf_future(clock)), absl::InfiniteDuration());
  }
}

TEST(TimeTest, NanosKeepTheDifferenceBetweenNeverAndVeryLong) {
  EXPECT_EQ(ToNanos(absl::InfiniteDuration()), kNever);
  EXPECT_EQ(ToDuration(kNever), absl::InfiniteDuration());
  EXPECT_EQ(ToNanos(absl::Hours(24 * 365 * 1000)), kNever - 1);
  EXPECT_LT(ToDuration(kNever - 1), absl::InfiniteDuration());
  for (const absl::Duration d : {absl::Nanoseconds(-7), absl::ZeroDuration(),
                                 absl::Seconds(3), -absl::Hours(2)}) {
    EXPECT_EQ(ToDuration(ToNanos(d)), d);
  }
  EXPECT_EQ(NanosUntilDeadline(gpr_inf_future(GPR_CLOCK_MONOTONIC)), kNever);
  EXPECT_EQ(NanosUntilDeadline(gpr_time_from_seconds(5, GPR_TIMESPAN)),
            5'000'000'000);
}

TEST(TimeTest, UntilDeadlineOfThePastIsNegativeAndDoesNotOverflow) {
  EXPECT_LT(UntilDeadline(gpr_inf_past(GPR_CLOCK_MONOTONIC)),
            absl::ZeroDuration());
  EXPECT_LT(UntilDeadline(gpr_inf_past(GPR_CLOCK_REALTIME)),
            -absl::Hours(24 * 365));
}

TEST(TimeTest, DeadlineAfterAndUntilDeadlineAreInverse) {
  for (absl::Duration d : {absl::Milliseconds(1), absl::Seconds(7),
                           absl::Hours(1), absl::Hours(24 * 365 * 100)}) {
    const absl::Duration left = UntilDeadline(DeadlineAfter(d));
    EXPECT_LE(left, d);
    EXPECT_GT(left, d - absl::Seconds(1));
  }
  EXPECT_EQ(UntilDeadline(DeadlineAfter(absl::InfiniteDuration())),
            absl::InfiniteDuration());
  EXPECT_LE(UntilDeadline(DeadlineAfter(-absl::InfiniteDuration())),
            absl::ZeroDuration());
  EXPECT_LE(UntilDeadline(DeadlineAfter(absl::Seconds(-5))),
            absl::ZeroDuration());
}

TEST(TimeTest, GrpcTimeoutIsRoundedUpToWhatFits) {
  EXPECT_EQ(FormatGrpcTimeout(absl::ZeroDuration()), "0n");
  EXPECT_EQ(FormatGrpcTimeout(absl::Seconds(-1)), "0n");
  EXPECT_EQ(FormatGrpcTimeout(-absl::InfiniteDuration()), "0n");
  EXPECT_EQ(FormatGrpcTimeout(absl::Nanoseconds(0.25)), "1n");
  EXPECT_EQ(FormatGrpcTimeout(absl::Nanoseconds(99'999'999)), "99999999n");
  EXPECT_EQ(FormatGrpcTimeout(absl::Nanoseconds(100'000'000)), "100000u");
  EXPECT_EQ(FormatGrpcTimeout(absl::Nanoseconds(100'000'001)), "100001u");
  EXPECT_EQ(FormatGrpcTimeout(absl::Seconds(60)), "60000000u");
  EXPECT_EQ(FormatGrpcTimeout(absl::Seconds(200)), "200000m");
  EXPECT_EQ(FormatGrpcTimeout(absl::Hours(100)), "360000S");
  EXPECT_EQ(FormatGrpcTimeout(absl::Hours(99'999'999)), "99999999H");
  EXPECT_EQ(FormatGrpcTimeout(absl::Hours(999'999'999)), "99999999H");
}

TEST(TimeTest, ShortTimesHaveThreeDigits) {
  EXPECT_EQ(ShortTime(absl::ZeroDuration()), "0");
  EXPECT_EQ(ShortTime(absl::Nanoseconds(149'511'210)), "149ms");
  EXPECT_EQ(ShortTime(absl::Nanoseconds(1'495'112'100)), "1.49s");
  EXPECT_EQ(ShortTime(absl::Nanoseconds(14'951)), "14.9us");
  EXPECT_EQ(ShortTime(absl::Nanoseconds(-149'511'210)), "-149ms");
  EXPECT_EQ(ShortTime(absl::Milliseconds(999)), "999ms");
  EXPECT_EQ(ShortTime(absl::Seconds(3725)), "1h2m5s");
  EXPECT_EQ(ShortTime(absl::InfiniteDuration()), "inf");
}

}  // namespace
}  // namespace tether::internal
