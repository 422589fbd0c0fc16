// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/kept_time.h"

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "tether/grpc/reserve.h"

namespace tether::internal {
namespace {

absl::Duration Kept(const Reserve& reserve, absl::Duration left,
                    bool connected) {
  return absl::Nanoseconds(
      KeptTime(reserve, absl::ToInt64Nanoseconds(left), connected));
}

// What is kept beyond the reserve, if the call isn't connected.
absl::Duration More(absl::Duration left, const Reserve& reserve = Reserve()) {
  return Kept(reserve, left, /*connected=*/false) - reserve.Of(left);
}

TEST(KeptTimeTest, IsTheReserveOnceConnected) {
  for (const absl::Duration left :
       {absl::Milliseconds(-1), absl::ZeroDuration(), absl::Milliseconds(50),
        absl::Seconds(60), absl::Hours(1), absl::InfiniteDuration()}) {
    EXPECT_EQ(Kept(Reserve(), left, /*connected=*/true), Reserve().Of(left));
  }
}

TEST(KeptTimeTest, IsMoreByWhatGrpcTimeoutCanHideIfNotConnected) {
  EXPECT_EQ(More(absl::Milliseconds(50)), absl::Milliseconds(3));
  EXPECT_EQ(More(absl::Milliseconds(999)), absl::Milliseconds(3));
  EXPECT_EQ(More(absl::Seconds(1)), absl::Milliseconds(12));
  EXPECT_EQ(More(absl::Seconds(60)), absl::Milliseconds(102));
  EXPECT_EQ(More(absl::Seconds(200)), absl::Milliseconds(1002));
  EXPECT_EQ(More(absl::Hours(1)), absl::Milliseconds(1002));
}

TEST(KeptTimeTest, IsNeverMoreThanAQuarter) {
  const absl::Duration left = absl::Milliseconds(12);
  EXPECT_EQ(Kept(Reserve(), left, /*connected=*/false), left / 4);
}

TEST(KeptTimeTest, IsNothingIfThereIsNoReserve) {
  EXPECT_EQ(More(absl::Seconds(1), Reserve::None()), absl::ZeroDuration());
  EXPECT_EQ(More(absl::ZeroDuration()), absl::ZeroDuration());
  EXPECT_EQ(More(-absl::Seconds(1)), absl::ZeroDuration());
  EXPECT_EQ(Kept(Reserve(), absl::InfiniteDuration(), /*connected=*/false),
            absl::ZeroDuration());
}

TEST(GrpcTimeoutDriftTest, IsWhatCoreRoundsUp) {
  EXPECT_EQ(GrpcTimeoutDrift(1), kMillisecond - 1);
  EXPECT_EQ(GrpcTimeoutDrift(kMillisecond), 0);
  EXPECT_EQ(GrpcTimeoutDrift(999 * kMillisecond + 1), kMillisecond - 1);
  EXPECT_EQ(GrpcTimeoutDrift(kSecond), 0);
  EXPECT_EQ(GrpcTimeoutDrift(1001 * kMillisecond), 9 * kMillisecond);
  EXPECT_EQ(GrpcTimeoutDrift(10'001 * kMillisecond), 99 * kMillisecond);
  EXPECT_EQ(GrpcTimeoutDrift(100 * kSecond + kMillisecond), 999 * kMillisecond);
  EXPECT_EQ(GrpcTimeoutDrift(1001 * kSecond), 9 * kSecond);
}

TEST(GrpcTimeoutDriftTest, IsZeroWhereThereIsNoTimeOrMuch) {
  EXPECT_EQ(GrpcTimeoutDrift(0), 0);
  EXPECT_EQ(GrpcTimeoutDrift(-5), 0);
  EXPECT_EQ(GrpcTimeoutDrift(kNever), 0);
  EXPECT_EQ(GrpcTimeoutDrift(100'000 * kSecond + 1), 0);
}

}  // namespace
}  // namespace tether::internal
