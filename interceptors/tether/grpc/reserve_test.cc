// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/reserve.h"

#include <cmath>
#include <limits>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace tether {
namespace {

TEST(ReserveTest, KeepsAFixedPartAndAFraction) {
  EXPECT_EQ(Reserve().Of(absl::Milliseconds(50)), absl::Microseconds(4500));
  EXPECT_EQ(Reserve().Of(absl::Milliseconds(200)), absl::Milliseconds(9));
  EXPECT_EQ(Reserve().Of(absl::Seconds(1)), absl::Milliseconds(33));
}

TEST(ReserveTest, KeepsNoMoreThanTheCap) {
  EXPECT_EQ(Reserve().Of(absl::Milliseconds(1700)), absl::Milliseconds(50));
  EXPECT_EQ(Reserve().Of(absl::Hours(24 * 365)), absl::Milliseconds(50));
}

TEST(ReserveTest, OfCenturiesIsNotThatOfNoDeadline) {
  const absl::Duration left = absl::Hours(24 * 365 * 1000);
  EXPECT_EQ(Reserve().Of(left), absl::Milliseconds(50));
}

TEST(ReserveTest, KeepsNoMoreThanAQuarter) {
  EXPECT_EQ(Reserve().Of(absl::Milliseconds(13)), absl::Milliseconds(3.25));
  EXPECT_EQ(Reserve().Of(absl::Nanoseconds(4)), absl::Nanoseconds(1));
}

TEST(ReserveTest, KeepsNothingOfNoDeadlineAndOfNone) {
  EXPECT_EQ(Reserve().Of(absl::InfiniteDuration()), absl::ZeroDuration());
  EXPECT_EQ(Reserve().Of(absl::ZeroDuration()), absl::ZeroDuration());
  EXPECT_EQ(Reserve().Of(-absl::Seconds(1)), absl::ZeroDuration());
  EXPECT_EQ(Reserve().Of(-absl::InfiniteDuration()), absl::ZeroDuration());
}

TEST(ReserveTest, NoneKeepsNothing) {
  EXPECT_EQ(Reserve::None().Of(absl::Seconds(10)), absl::ZeroDuration());
}

TEST(ReserveTest, FixedKeepsThatTimeUpToAQuarter) {
  const Reserve reserve = Reserve::Fixed(absl::Milliseconds(400));
  EXPECT_EQ(reserve.Of(absl::Hours(1)), absl::Milliseconds(400));
  EXPECT_EQ(reserve.Of(absl::Seconds(2)), absl::Milliseconds(400));
  EXPECT_EQ(reserve.Of(absl::Seconds(1)), absl::Milliseconds(250));
}

TEST(ReserveTest, SenselessPartsAreTamed) {
  const absl::Duration left = absl::Milliseconds(100);
  Reserve reserve;
  reserve.fixed = -absl::Seconds(1);
  reserve.fraction = -1;
  EXPECT_EQ(reserve.Of(left), absl::ZeroDuration());
  reserve.fraction = std::nan("");
  EXPECT_EQ(reserve.Of(left), absl::ZeroDuration());
  reserve.fraction = std::numeric_limits<double>::infinity();
  reserve.cap = absl::InfiniteDuration();
  EXPECT_EQ(reserve.Of(left), left / 4);
  reserve.cap = -absl::Seconds(1);
  EXPECT_EQ(reserve.Of(left), absl::ZeroDuration());
}

}  // namespace
}  // namespace tether
