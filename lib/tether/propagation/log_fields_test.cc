// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/log_fields.h"

#include <cstddef>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

inline constexpr Key<std::string> kPassword{"password"};

class LogFieldsTest : public testing::LeakCheckedTest {};

// A field with this value, as it is written.
std::string Written(const std::string& value) {
  return FormatLogFields({{"f", value}});
}

TEST_F(LogFieldsTest, ShowsWhatIdentifiesTheRequestInThisOrder) {
  testing::SimulatedClock clock;
  const TraceContext trace = NewTrace();
  const Context values = WithRequestId(
      WithTrace(WithMethod(Background(clock), "/shop.v1.Orders/GetOrder"),
                trace),
      "7f3a-1");
  auto [ctx, cancel] = WithTimeout(values, absl::Microseconds(48'200));
  EXPECT_EQ(LogFields(ctx),
            "method=/shop.v1.Orders/GetOrder trace_id=" + trace.TraceIdHex() +
                " request_id=7f3a-1 time_left=48.2ms");
  const std::vector<LogField> fields = {{"method", "/shop.v1.Orders/GetOrder"},
                                        {"trace_id", trace.TraceIdHex()},
                                        {"request_id", "7f3a-1"},
                                        {"time_left", "48.2ms"}};
  EXPECT_EQ(LogFieldsOf(ctx), fields);
}

TEST_F(LogFieldsTest, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(LogFields(Background()), "");
  EXPECT_EQ(LogFields(WithTrace(Background(), TraceContext())), "");
  EXPECT_EQ(LogFields(WithRequestId(Background(), "7f3a")), "request_id=7f3a");
  EXPECT_EQ(MethodOf(Background()), "");
}

TEST_F(LogFieldsTest, AMethodHasAnyLength) {
  for (const size_t size : {0, 1, 63, 64, 65, 1000}) {
    const std::string method(size, 'm');
    const Context ctx = WithMethod(Background(), method);
    EXPECT_EQ(MethodOf(WithMethod(ctx, method)), method);
    EXPECT_EQ(MethodOf(ctx), method);
    EXPECT_EQ(LogFields(ctx), size == 0 ? "" : "method=" + method);
    EXPECT_EQ(MethodOf(WithMethod(ctx, "")), "");
  }
}

TEST_F(LogFieldsTest, TimeLeftIsInWholeMicrosecondsAndGoesBelowZero) {
  testing::SimulatedClock clock;
  auto [ctx, cancel] =
      WithTimeout(Background(clock), absl::Nanoseconds(1'500'000'999));
  EXPECT_EQ(LogFields(ctx), "time_left=1.5s");
  clock.Advance(absl::Milliseconds(1503));
  EXPECT_EQ(LogFields(ctx), "time_left=-2.999ms");
}

TEST_F(LogFieldsTest, NeverShowsValuesOfTheApplication) {
  const Context ctx = WithValue(WithBaggage(WithRequestId(Background(), "7f3a"),
                                            Baggage().With("user", "ada")),
                                kPassword, std::string("secret"));
  EXPECT_EQ(LogFields(ctx), "request_id=7f3a");
}

TEST_F(LogFieldsTest, PlainValuesAreWrittenAsTheyAre) {
  for (const std::string value : {"a", "/a.B/C", "x-1_2.3:4;5", "{}[]'!"}) {
    EXPECT_EQ(Written(value), "f=" + value);
  }
}

TEST_F(LogFieldsTest, NoValueBreaksOutOfItsFieldOrItsLine) {
  EXPECT_EQ(Written(""), R"(f="")");
  EXPECT_EQ(Written("a b"), R"(f="a b")");
  EXPECT_EQ(Written("a=b"), R"(f="a=b")");
  EXPECT_EQ(Written(R"(a" admin="1)"), R"(f="a\" admin=\"1")");
  EXPECT_EQ(Written(R"(a\)"), R"(f="a\\")");
  EXPECT_EQ(Written("a\r\nroot\tlogged in"), R"(f="a\r\nroot\tlogged in")");
  EXPECT_EQ(Written(std::string("\0\x1b[2J\x7f", 6)), R"(f="\x00\x1b[2J\x7f")");
  EXPECT_EQ(Written("\xc3\xa9\xff"), R"(f="\xc3\xa9\xff")");
  for (int byte = 0; byte < 256; ++byte) {
    for (const char c : Written(std::string(1, static_cast<char>(byte)))) {
      EXPECT_TRUE(c >= 0x20 && c <= 0x7e) << byte;
    }
  }
  EXPECT_EQ(FormatLogFields({{"a", "1 2"}, {"b", ""}, {"c", "3"}}),
            R"(a="1 2" b="" c=3)");
}

}  // namespace
}  // namespace tether
