// SPDX-License-Identifier: Apache-2.0

#include "services/demo/waterfall.h"

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/demo/story.h"

namespace shop {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// The width in terminal columns: one per code point.
int Columns(const std::string& line) {
  int columns = 0;
  for (const char c : line) columns += (c & 0xC0) != 0x80;
  return columns;
}

class WaterfallTest : public testing::Test {
 protected:
  WaterfallTest() {
    story_.order_id = "1042";
    story_.deadline = absl::Milliseconds(200);
    story_.started_ms = 5000;
    story_.result.set_trace_id("4bf92f3577b34da6a3ce929d0e0e4736");
    story_.result.set_elapsed_ms(100);
    AddHop("storefront", "GetOrderPage", 5000, 100);
    AddHop("orders", "GetOrder", 5050, 50);
    AddHop("inventory", "GetStock", 5075, 25);
  }

  void AddHop(const char* service, const char* method, double started_ms,
              double elapsed_ms) {
    v1::HopEvent& hop = *story_.result.add_hops();
    hop.set_service(service);
    hop.set_method(method);
    hop.set_started_ms(started_ms);
    hop.set_elapsed_ms(elapsed_ms);
    hop.set_remaining_ms_on_arrival(200 - (started_ms - 5000));
    hop.set_outcome("ok");
  }

  std::vector<std::string> Lines(bool color = false) {
    story_.timeline = TimelineOfHops(story_);
    return absl::StrSplit(Waterfall(story_, color), '\n', absl::SkipEmpty());
  }

  DemoStory story_;
};

TEST_F(WaterfallTest, TellsTheRequestThenEachHop) {
  const std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 6);
  EXPECT_EQ(lines[0],
            "order 1042  trace 4bf92f3577b34da6a3ce929d0e0e4736  deadline "
            "200ms  ok in 100.0 ms");
  EXPECT_THAT(lines[1], StartsWith("hop "));
  EXPECT_THAT(lines[2], StartsWith("storefront.GetOrderPage "));
  EXPECT_THAT(lines[3], StartsWith("  orders.GetOrder "));
  EXPECT_THAT(lines[4], StartsWith("    inventory.GetStock "));
  EXPECT_THAT(lines[3], HasSubstr(" 150.0 ms "));  // left
  EXPECT_THAT(lines[3], HasSubstr(" 25.0 ms "));   // its own
  EXPECT_THAT(lines[5], StartsWith("█ its own time"));
}

TEST_F(WaterfallTest, BarsShareOneAxis) {
  const std::vector<std::string> lines = Lines();
  EXPECT_THAT(lines[2], HasSubstr("e ████████████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒  "));
  EXPECT_THAT(lines[3], HasSubstr("                 ████████▒▒▒▒▒▒▒▒  "));
  EXPECT_THAT(lines[4], HasSubstr("                         ████████  "));
}

TEST_F(WaterfallTest, FitsAHundredColumns) {
  story_.deadline = absl::Milliseconds(12345);
  story_.result.set_status_code(4);
  story_.result.set_elapsed_ms(12345.6);
  for (v1::HopEvent& hop : *story_.result.mutable_hops()) {
    hop.set_outcome("deadline_exceeded");
  }
  for (const std::string& line : Lines()) EXPECT_LE(Columns(line), 100) << line;
}

TEST_F(WaterfallTest, ColorsOnlyWhenAsked) {
  EXPECT_THAT(Lines(true)[2], HasSubstr("\x1b[32mok\x1b[0m"));
  for (const std::string& line : Lines())
    EXPECT_THAT(line, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace shop
