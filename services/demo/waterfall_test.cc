#include "services/demo/waterfall.h"

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shop {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Of a terminal: one for each code point.
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
    story_.inventory_timeout = absl::Milliseconds(50);
    story_.started_ms = 5000;
    story_.availability = "42 in stock";
    story_.result.set_trace_id("4bf92f3577b34da6a3ce929d0e0e4736");
    story_.result.set_elapsed_ms(100);
    AddHop("storefront", 5000, 100, "ok");
    AddHop("orders", 5050, 50, "ok");
    AddHop("inventory", 5075, 25, "ok");
  }

  void AddHop(const char* service, double started_ms, double elapsed_ms,
              const char* outcome) {
    v1::HopEvent& hop = *story_.result.add_hops();
    hop.set_service(service);
    hop.set_started_ms(started_ms);
    hop.set_elapsed_ms(elapsed_ms);
    hop.set_remaining_ms_on_arrival(200 - (started_ms - 5000));
    hop.set_outcome(outcome);
  }

  void EndAllHops(const char* outcome) {
    for (v1::HopEvent& hop : *story_.result.mutable_hops()) {
      hop.set_outcome(outcome);
    }
  }

  std::vector<std::string> Lines(bool color = false) const {
    return absl::StrSplit(Waterfall(story_, color), '\n', absl::SkipEmpty());
  }

  DemoStory story_;
};

TEST_F(WaterfallTest, TellsTheRequestThenEachHop) {
  const std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 5);
  EXPECT_EQ(lines[0],
            "order 1042  trace 4bf92f3577b34da6a3ce929d0e0e4736  deadline "
            "200ms  ok in 100.0 ms");
  EXPECT_THAT(lines[1], StartsWith("hop "));
  EXPECT_THAT(lines[2], StartsWith("storefront  "));
  EXPECT_THAT(lines[3], StartsWith("  orders  "));
  EXPECT_THAT(lines[4], StartsWith("    inventory  "));
  EXPECT_THAT(lines[3], HasSubstr(" 150.0 ms "));  // left
  EXPECT_THAT(lines[3], HasSubstr(" 50.0 ms "));   // spent
}

TEST_F(WaterfallTest, BarsShareOneAxis) {
  const auto blocks = [](const std::string& line) {
    const std::vector<std::string> gaps = absl::StrSplit(line, "█");
    return static_cast<int>(gaps.size()) - 1;
  };
  const std::vector<std::string> lines = Lines();
  EXPECT_EQ(blocks(lines[2]), 36);
  EXPECT_EQ(blocks(lines[3]), 18);
  EXPECT_EQ(blocks(lines[4]), 9);
  for (int i = 2; i < 5; ++i) {
    const size_t end = lines[i].rfind("█");
    EXPECT_EQ(Columns(lines[i].substr(0, end)), 16 + 35);  // the last column
  }
}

TEST_F(WaterfallTest, FitsAHundredColumns) {
  story_.deadline = absl::Milliseconds(12345);
  story_.result.set_status_code(4);
  story_.result.set_elapsed_ms(12345.6);
  EndAllHops("deadline_exceeded");
  for (const std::string& line : Lines()) EXPECT_LE(Columns(line), 100) << line;
}

TEST_F(WaterfallTest, SurvivesOddTimes) {
  story_.result.set_elapsed_ms(0);
  story_.result.clear_hops();
  EXPECT_EQ(Lines().size(), 2);
  AddHop("storefront", 4999, 0, "ok");       // before the request
  AddHop("orders", 9000, 1e6, "cancelled");  // long after it
  for (const std::string& line : Lines()) EXPECT_LE(Columns(line), 100) << line;
}

TEST_F(WaterfallTest, ColorsOnlyWhenAsked) {
  EXPECT_THAT(Waterfall(story_, true), HasSubstr("\x1b[32mok\x1b[0m"));
  EXPECT_THAT(Waterfall(story_, false), Not(HasSubstr("\x1b")));
}

TEST_F(WaterfallTest, SaysWhatHappened) {
  EXPECT_EQ(Sentence(story_), "Every hop answered in time: 42 in stock.");
  story_.result.set_fallback(true);
  EXPECT_EQ(Sentence(story_),
            "inventory did not answer within 50ms; orders answered with "
            "default stock.");
}

TEST_F(WaterfallTest, SaysWhoseTimeRanOut) {
  story_.result.set_status_code(4);
  story_.result.set_elapsed_ms(200.3);
  EndAllHops("deadline_exceeded");
  EXPECT_EQ(Sentence(story_),
            "The deadline of 200ms passed, and every hop stopped.");
  story_.result.set_elapsed_ms(53);
  EXPECT_EQ(Sentence(story_),
            "inventory did not answer within 50ms; without a fallback the "
            "error went up.");
}

TEST_F(WaterfallTest, SaysThatTheClientLeft) {
  story_.cancel_after = absl::Milliseconds(100);
  story_.result.set_status_code(1);
  EndAllHops("cancelled");
  EXPECT_EQ(Sentence(story_),
            "The client left after 100ms, and every hop stopped.");
  story_.track = true;
  story_.result.set_positions(3);
  EXPECT_EQ(Sentence(story_),
            "The client left after 100ms with 3 positions, and every hop "
            "stopped.");
}

TEST_F(WaterfallTest, DoesNotClaimWhatNoHopTold) {
  story_.result.set_status_code(4);
  story_.result.set_elapsed_ms(201);
  EXPECT_THAT(Sentence(story_), HasSubstr("the hops ended as shown"));
  story_.result.mutable_hops()->RemoveLast();
  EXPECT_THAT(Sentence(story_), HasSubstr("only 2 of 3 hops told"));
  story_.result.clear_hops();
  EXPECT_THAT(Sentence(story_), HasSubstr("before the request had reached"));
}

}  // namespace
}  // namespace shop
