// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/timeout_header.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace tether {
namespace {

TEST(TimeoutHeaderTest, NamesFitInAStringWithoutAnAllocation) {
  const size_t inline_capacity = std::string().capacity();
  EXPECT_EQ(std::string(kTimeoutHeader).capacity(), inline_capacity);
  EXPECT_EQ(std::string(kReserveHeader).capacity(), inline_capacity);
}

TEST(ParseTimeoutTest, ReadsWholeMicroseconds) {
  EXPECT_EQ(ParseTimeout("0"), absl::ZeroDuration());
  EXPECT_EQ(ParseTimeout("1"), absl::Microseconds(1));
  EXPECT_EQ(ParseTimeout("1500000"), absl::Milliseconds(1500));
}

TEST(ParseTimeoutTest, ReadsUpTo18Digits) {
  EXPECT_EQ(ParseTimeout("999999999999999999"),
            absl::Microseconds(999'999'999'999'999'999));
  EXPECT_EQ(ParseTimeout("1000000000000000000"), std::nullopt);
  EXPECT_EQ(ParseTimeout("9223372036854775808"), std::nullopt);
  EXPECT_EQ(ParseTimeout("18446744073709551617"), std::nullopt);
  EXPECT_EQ(ParseTimeout(std::string(1 << 20, '9')), std::nullopt);
}

TEST(ParseTimeoutTest, AcceptsLeadingZerosWithin18Digits) {
  EXPECT_EQ(ParseTimeout("007"), absl::Microseconds(7));
  EXPECT_EQ(ParseTimeout("000000000000000001"), absl::Microseconds(1));
  EXPECT_EQ(ParseTimeout("0000000000000000001"), std::nullopt);
}

TEST(ParseTimeoutTest, RejectsAnythingButDigits) {
  for (const char* bad :
       {"", " ", "+1", "-1", "-0", "1 ", " 1", "1.5", "1e6", "0x1", "1,000",
        "1_000", "1u", "1m", "nan", "inf", "\xd9\xa1", "1\n", "1;2"}) {
    EXPECT_EQ(ParseTimeout(bad), std::nullopt) << '"' << bad << '"';
  }
  EXPECT_EQ(ParseTimeout(std::string_view("1\0", 2)), std::nullopt);
  EXPECT_EQ(ParseTimeout(std::string_view("\0", 1)), std::nullopt);
}

TEST(ParseTimeoutTest, HoldsAgainstEverySingleByteMutation) {
  const std::string valid = "1234567890";
  for (size_t at = 0; at < valid.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string header = valid;
      header[at] = static_cast<char>(byte);
      EXPECT_EQ(ParseTimeout(header).has_value(), byte >= '0' && byte <= '9');
    }
  }
}

TEST(FormatTimeoutTest, RoundsDown) {
  EXPECT_EQ(FormatTimeout(absl::Nanoseconds(999)), "0");
  EXPECT_EQ(FormatTimeout(absl::Nanoseconds(1000)), "1");
  EXPECT_EQ(FormatTimeout(absl::Nanoseconds(1999)), "1");
  EXPECT_EQ(FormatTimeout(absl::Seconds(200) - absl::Nanoseconds(1)),
            "199999999");
}

TEST(FormatTimeoutTest, WritesZeroForPassedDeadlines) {
  EXPECT_EQ(FormatTimeout(absl::ZeroDuration()), "0");
  EXPECT_EQ(FormatTimeout(absl::Nanoseconds(-1)), "0");
  EXPECT_EQ(FormatTimeout(-absl::Hours(1)), "0");
  EXPECT_EQ(FormatTimeout(-absl::InfiniteDuration()), "0");
}

TEST(FormatTimeoutTest, WritesNothingForWhatCannotBeWritten) {
  EXPECT_EQ(FormatTimeout(absl::InfiniteDuration()), std::nullopt);
  EXPECT_EQ(FormatTimeout(absl::Microseconds(1'000'000'000'000'000'000)),
            std::nullopt);
  EXPECT_EQ(
      FormatTimeout(absl::Microseconds(std::numeric_limits<int64_t>::max())),
      std::nullopt);
  EXPECT_EQ(FormatTimeout(absl::Microseconds(999'999'999'999'999'999)),
            "999999999999999999");
}

TEST(FormatTimeoutTest, RoundTripsRandomMicroseconds) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 10000; ++i) {
    const int64_t micros = static_cast<int64_t>(
        (random() % 1'000'000'000'000'000'000) >> (random() % 60));
    const absl::Duration left = absl::Microseconds(micros);
    const std::optional<std::string> header = FormatTimeout(left);
    ASSERT_EQ(header, std::to_string(micros));
    EXPECT_EQ(ParseTimeout(*header), left);
  }
}

TEST(FormatTimeoutTest, NeverGivesMoreTimeThanThereIs) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 10000; ++i) {
    const absl::Duration left = absl::Nanoseconds(
        static_cast<int64_t>(random() >> (random() % 60 + 1)));
    const absl::Duration got =
        ParseTimeout(FormatTimeout(left).value()).value();
    EXPECT_LE(got, left);
    EXPECT_GT(got, left - absl::Microseconds(1));
  }
}

}  // namespace
}  // namespace tether
