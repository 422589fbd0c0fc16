// SPDX-License-Identifier: Apache-2.0

#include "services/flag_types.h"

#include <string>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace shop {
namespace {

template <typename T>
std::string ErrorOf(absl::string_view text) {
  T value;
  std::string error;
  EXPECT_FALSE(AbslParseFlag(text, &value, &error)) << text;
  EXPECT_FALSE(error.empty()) << text;
  EXPECT_EQ(error.find('\n'), std::string::npos) << text;
  return error;
}

TEST(TimeoutFlagTest, IsAPositiveTime) {
  Timeout timeout;
  std::string error;
  ASSERT_TRUE(AbslParseFlag("1.5s", &timeout, &error));
  EXPECT_EQ(timeout.value, absl::Milliseconds(1500));
  EXPECT_EQ(AbslUnparseFlag(timeout), "1.5s");
  EXPECT_TRUE(AbslParseFlag("24h", &timeout, &error));
}

TEST(TimeoutFlagTest, IsNothingElse) {
  for (const char* text :
       {"", "200", "200 apples", "ms", "-1s", "0", "0s", "inf", "-inf", "nan",
        "25h", "1e30h", "1s;", "99999999999999999999h"}) {
    ErrorOf<Timeout>(text);
  }
}

TEST(DelayFlagTest, MayBeZero) {
  Delay delay{absl::Seconds(1)};
  std::string error;
  ASSERT_TRUE(AbslParseFlag("0", &delay, &error));
  EXPECT_EQ(delay.value, absl::ZeroDuration());
  ErrorOf<Delay>("-1ms");
  ErrorOf<Delay>("inf");
}

TEST(TraceIdFlagTest, IsAsOnTheWire) {
  TraceId id;
  std::string error;
  ASSERT_TRUE(AbslParseFlag("4bf92f3577b34da6a3ce929d0e0e4736", &id, &error));
  EXPECT_EQ(id.hex, "4bf92f3577b34da6a3ce929d0e0e4736");
}

TEST(TraceIdFlagTest, IsNothingElse) {
  for (const char* text :
       {"", "4bf92f3577b34da6a3ce929d0e0e473",
        "4bf92f3577b34da6a3ce929d0e0e47366", "4BF92F3577B34DA6A3CE929D0E0E4736",
        "4bf92f3577b34da6a3ce929d0e0e473g",
        "00000000000000000000000000000000"}) {
    ErrorOf<TraceId>(text);
  }
}

}  // namespace
}  // namespace shop
