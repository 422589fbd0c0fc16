// SPDX-License-Identifier: Apache-2.0
//
// Which texts the ready-made codecs write, and that they reject other texts.

#include "tether/propagation/codecs.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/carrier.h"

namespace tether {
namespace {

// ---- Integers ----

TEST(IntCodecTest, WritesDecimalDigits) {
  const HeaderCodec<int64_t> codec = IntCodec();
  EXPECT_EQ(codec.format(0), "0");
  EXPECT_EQ(codec.format(42), "42");
  EXPECT_EQ(codec.format(-7), "-7");
  EXPECT_EQ(codec.format(std::numeric_limits<int64_t>::min()),
            "-9223372036854775808");
  EXPECT_EQ(codec.format(std::numeric_limits<int64_t>::max()),
            "9223372036854775807");
  EXPECT_EQ(IntCodec<uint64_t>().format(std::numeric_limits<uint64_t>::max()),
            "18446744073709551615");
}

TEST(IntCodecTest, ReadsOnlyWhatItWrites) {
  const HeaderCodec<int64_t> codec = IntCodec();
  EXPECT_EQ(codec.parse("0"), 0);
  EXPECT_EQ(codec.parse("-7"), -7);
  EXPECT_EQ(codec.parse("9223372036854775807"),
            std::numeric_limits<int64_t>::max());
  EXPECT_EQ(codec.parse("-9223372036854775808"),
            std::numeric_limits<int64_t>::min());
  for (const std::string_view bad : {"",
                                     "-",
                                     "--1",
                                     "+1",
                                     " 1",
                                     "1 ",
                                     "\t1",
                                     "1\n",
                                     "01",
                                     "007",
                                     "-0",
                                     "-01",
                                     "00",
                                     "0x10",
                                     "1e3",
                                     "1.0",
                                     "1,000",
                                     "x",
                                     "1x",
                                     "9223372036854775808",
                                     "-9223372036854775809",
                                     "99999999999999999999999999"}) {
    EXPECT_EQ(codec.parse(bad), std::nullopt) << '"' << bad << '"';
  }
  EXPECT_EQ(codec.parse(std::string_view("1\0", 2)), std::nullopt);
  EXPECT_EQ(codec.parse(std::string_view("1\xc2\xb2", 3)), std::nullopt);
  EXPECT_EQ(codec.parse(std::string(1 << 20, '9')), std::nullopt);
}

TEST(IntCodecTest, UnsignedTypesHaveNoSign) {
  EXPECT_EQ(IntCodec<uint32_t>().parse("4294967295"), 4294967295u);
  EXPECT_EQ(IntCodec<uint32_t>().parse("4294967296"), std::nullopt);
  EXPECT_EQ(IntCodec<uint32_t>().parse("-1"), std::nullopt);
  EXPECT_EQ(IntCodec<uint8_t>().parse("255"), 255);
  EXPECT_EQ(IntCodec<uint8_t>().parse("256"), std::nullopt);
  EXPECT_EQ(IntCodec<uint8_t>().format(65), "65");
}

TEST(IntCodecTest, BoundsHoldBothWays) {
  const HeaderCodec<int> digit = IntCodec(0, 9);
  EXPECT_EQ(digit.parse("0"), 0);
  EXPECT_EQ(digit.parse("9"), 9);
  EXPECT_EQ(digit.parse("-1"), std::nullopt);
  EXPECT_EQ(digit.parse("10"), std::nullopt);
  EXPECT_EQ(digit.format(9), "9");
  EXPECT_EQ(digit.format(10), std::nullopt);
  EXPECT_EQ(digit.format(-1), std::nullopt);
}

TEST(IntCodecTest, RandomNumbersComeBack) {
  const HeaderCodec<int64_t> codec = IntCodec();
  std::mt19937_64 random(7);
  for (int i = 0; i < 10000; ++i) {
    const int64_t number = static_cast<int64_t>(random() >> (i % 64));
    ASSERT_EQ(codec.parse(*codec.format(number)), number);
  }
}

// ---- Bools ----

TEST(BoolCodecTest, KnowsTwoWords) {
  const HeaderCodec<bool> codec = BoolCodec();
  EXPECT_EQ(codec.format(true), "true");
  EXPECT_EQ(codec.format(false), "false");
  EXPECT_EQ(codec.parse("true"), true);
  EXPECT_EQ(codec.parse("false"), false);
  for (const std::string_view bad :
       {"", "1", "0", "True", "TRUE", "yes", "no", "on", "t", "true ", " true",
        "truefalse"}) {
    EXPECT_EQ(codec.parse(bad), std::nullopt) << '"' << bad << '"';
  }
}

// ---- Durations ----

TEST(DurationCodecTest, WritesTheLongestUnitThatLeavesAWholeNumber) {
  const std::vector<std::pair<absl::Duration, std::string>> cases = {
      {absl::ZeroDuration(), "0s"},
      {absl::Nanoseconds(1), "1ns"},
      {absl::Nanoseconds(1001), "1001ns"},
      {absl::Microseconds(250), "250us"},
      {absl::Milliseconds(1500), "1500ms"},
      {absl::Seconds(-2), "-2s"},
      {absl::Seconds(61), "61s"},
      {absl::Minutes(90), "90m"},
      {absl::Hours(72), "72h"},
      {absl::Nanoseconds(std::numeric_limits<int64_t>::max()),
       "9223372036854775807ns"},
      {absl::Nanoseconds(-std::numeric_limits<int64_t>::max()),
       "-9223372036854775807ns"}};
  const HeaderCodec<absl::Duration> codec = DurationCodec();
  for (const auto& [duration, text] : cases) {
    EXPECT_EQ(codec.format(duration), text);
    EXPECT_EQ(codec.parse(text), duration) << text;
    absl::Duration of_abseil;
    EXPECT_TRUE(absl::ParseDuration(text, &of_abseil)) << text;
    EXPECT_EQ(of_abseil, duration) << text;
  }
}

TEST(DurationCodecTest, ReadsAnyUnit) {
  const HeaderCodec<absl::Duration> codec = DurationCodec();
  EXPECT_EQ(codec.parse("0h"), absl::ZeroDuration());
  EXPECT_EQ(codec.parse("2000ms"), absl::Seconds(2));
  EXPECT_EQ(codec.parse("3600s"), absl::Hours(1));
}

TEST(DurationCodecTest, RejectsEverythingElse) {
  for (const std::string_view bad : {"",
                                     "s",
                                     "5",
                                     "-s",
                                     "1.5s",
                                     "+1s",
                                     " 1s",
                                     "1 s",
                                     "1s ",
                                     "01s",
                                     "-0s",
                                     "1S",
                                     "1sec",
                                     "1h30m",
                                     "1d",
                                     "1\xc2\xb5s",
                                     "inf",
                                     "-inf",
                                     "1e3s",
                                     "9223372036854775808ns",
                                     "9223372037s",
                                     "2562048h",
                                     "-2562048h",
                                     "99999999999999999999999999s"}) {
    EXPECT_EQ(DurationCodec().parse(bad), std::nullopt) << '"' << bad << '"';
  }
  // The control: numbers just within the range.
  EXPECT_EQ(DurationCodec().parse("9223372036s"), absl::Seconds(9223372036));
  EXPECT_EQ(DurationCodec().parse("2562047h"), absl::Hours(2562047));
}

TEST(DurationCodecTest, WritesNoDurationBeyondItsRange) {
  const absl::Duration longest =
      absl::Nanoseconds(std::numeric_limits<int64_t>::max());
  for (const absl::Duration beyond :
       {absl::InfiniteDuration(), -absl::InfiniteDuration(),
        longest + absl::Nanoseconds(1), -longest - absl::Nanoseconds(1)}) {
    EXPECT_EQ(DurationCodec().format(beyond), std::nullopt) << beyond;
  }
}

TEST(DurationCodecTest, RoundsToNanosecondsTowardZero) {
  const HeaderCodec<absl::Duration> codec = DurationCodec();
  EXPECT_EQ(codec.format(absl::Nanoseconds(7) / 4), "1ns");
  EXPECT_EQ(codec.format(absl::Nanoseconds(-7) / 4), "-1ns");
  EXPECT_EQ(codec.format(absl::Nanoseconds(1) / 4), "0s");
}

// ---- Strings, and all of them in a header ----

TEST(StringCodecTest, IsTheTextItself) {
  EXPECT_EQ(StringCodec().parse(""), "");
  EXPECT_EQ(StringCodec().parse(" a\n"), " a\n");
  EXPECT_EQ(StringCodec().format("a b"), "a b");
}

constexpr Key<int> kPriority{"priority"};
constexpr Key<bool> kCanary{"canary"};
constexpr Key<absl::Duration> kPatience{"patience"};

TEST(CodecsTest, BadTextIsDroppedAndCountedByThePropagator) {
  const HeaderPropagator<int> priority(kPriority, "p", IntCodec(0, 9));
  const HeaderPropagator<bool> canary(kCanary, "p", BoolCodec());
  const HeaderPropagator<absl::Duration> patience(kPatience, "p",
                                                  DurationCodec());
  const auto read = [](const Propagator& propagator, std::string_view text) {
    return propagator.Extract(MapCarrier{{"p", text}}, Background());
  };
  EXPECT_EQ(*read(priority, "9").Value(kPriority), 9);
  EXPECT_EQ(*read(canary, "true").Value(kCanary), true);
  EXPECT_EQ(*read(patience, "50ms").Value(kPatience), absl::Milliseconds(50));
  for (const Propagator* propagator :
       std::vector<const Propagator*>{&priority, &canary, &patience}) {
    EXPECT_EQ(propagator->Dropped(), 0);
    EXPECT_EQ(read(*propagator, "+9"), Background());
    EXPECT_EQ(propagator->Dropped(), 1);
  }
}

TEST(CodecsTest, AValueThatCannotBeWrittenIsDroppedAndCounted) {
  const HeaderPropagator<int> priority(kPriority, "p", IntCodec(0, 9));
  MapCarrier carrier;
  priority.Inject(WithValue(Background(), kPriority, 10), carrier);
  EXPECT_TRUE(carrier.map().empty());
  EXPECT_EQ(priority.Dropped(), 1);
}

}  // namespace
}  // namespace tether
