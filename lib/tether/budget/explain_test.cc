// SPDX-License-Identifier: Apache-2.0

#include "tether/budget/explain.h"

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tether/budget/testing/reports.h"

namespace tether {
namespace {

using testing::AnsweredCall;
using testing::Chain;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RandomReport;
using testing::StuckInventory;
using testing::UnansweredCall;

std::vector<std::string> LinesOf(const v1::CallReport& call) {
  return absl::StrSplit(Explain(call), '\n', absl::SkipEmpty());
}

// Returns the part of a line that contains the bar.
std::string BarOf(const std::string& line, size_t name_columns) {
  const std::string rest = line.substr(name_columns + 1);
  size_t columns = 0;
  size_t bytes = 0;
  for (; columns < 32 && bytes < rest.size(); ++columns) {
    do {
      ++bytes;
    } while (bytes < rest.size() && (rest[bytes] & 0xC0) == 0x80);
  }
  return rest.substr(0, bytes);
}

size_t Columns(const std::string& line) {
  size_t columns = 0;
  for (const char c : line) columns += (c & 0xC0) != 0x80;
  return columns;
}

TEST(ExplainTest, ShowsTheWholeTree) {
  EXPECT_EQ(
      Explain(StuckInventory()),
      "hop                     0 ms                    200.0 ms  time left   "
      "own time  outcome\n"
      "storefront.GetOrderPage ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒   199.6 ms     "
      "4.0 ms  deadline exceeded (inherited deadline)\n"
      "  orders.GetOrder       █▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒█   197.0 ms     "
      "9.0 ms  deadline exceeded (inherited deadline)\n"
      "    inventory.GetStock   ??????????????????????????????    187.0 ms   "
      "187.0 ms  deadline exceeded (inherited deadline, did not answer)\n"
      "█ its own time   ▒ waiting for its calls   ? no answer\n");
}

TEST(ExplainTest, TheBarSaysWhatTheHopDid) {
  v1::CallReport call = AnsweredCall("Orders/GetOrder", 0, 32'000);
  call.mutable_report()->set_total_us(28'000);
  *call.mutable_report()->add_calls() = UnansweredCall("A/A", 2'000, 10'000);
  v1::CallReport& b = *call.mutable_report()->add_calls();
  b = AnsweredCall("B/B", 22'000, 3'000);
  b.clear_report();
  const std::vector<std::string> lines = LinesOf(call);
  ASSERT_EQ(lines.size(), 5);
  EXPECT_EQ(BarOf(lines[1], 15), "··██▒▒▒▒▒▒▒▒▒▒██████████▒▒▒███··");
  EXPECT_EQ(BarOf(lines[2], 15), "    ??????????                  ");
  EXPECT_EQ(BarOf(lines[3], 15), "                        ███     ");
  EXPECT_EQ(lines[4],
            "█ its own time   ▒ waiting for its calls   · on the way   ? no "
            "answer");
}

TEST(ExplainTest, EvenTheShortestCallShows) {
  v1::CallReport call = AnsweredCall("Orders/GetOrder", 0, 1'000'000);
  *call.mutable_report()->add_calls() = AnsweredCall("A/A", 0, 1);
  *call.mutable_report()->add_calls() = AnsweredCall("B/B", 999'999, 1);
  *call.mutable_report()->add_calls() = UnansweredCall("C/C", 500'000, 0);
  const std::vector<std::string> lines = LinesOf(call);
  EXPECT_EQ(BarOf(lines[2], 15), "█" + std::string(31, ' '));
  EXPECT_EQ(BarOf(lines[3], 15),
            std::string(16, ' ') + "?" + std::string(15, ' '));
  EXPECT_EQ(BarOf(lines[4], 15), std::string(31, ' ') + "█");
}

TEST(ExplainTest, OfNothingItSaysSo) {
  EXPECT_EQ(Explain(v1::CallReport()), "there is no report of this call\n");
}

TEST(ExplainTest, AddressesOfAllCallsOnlyWhenAsked) {
  v1::CallReport call = AnsweredCall("Index/Query", 0, 100);
  call.set_address("10.0.0.7:50051");
  EXPECT_THAT(Explain(call), Not(HasSubstr("10.0.0.7")));
  ExplainOptions options;
  options.addresses = true;
  EXPECT_THAT(Explain(call, options), HasSubstr("  ok (at 10.0.0.7:50051)\n"));
}

TEST(ExplainTest, ColorsOnlyWhenAsked) {
  ExplainOptions options;
  options.color = true;
  EXPECT_THAT(Explain(StuckInventory(), options),
              HasSubstr("\x1b[33mdeadline exceeded\x1b[0m (inherited"));
  EXPECT_THAT(Explain(Chain(1), options), HasSubstr("\x1b[32mok\x1b[0m\n"));
  EXPECT_THAT(Explain(StuckInventory()), Not(HasSubstr("\x1b")));
}

TEST(ExplainTest, SaysWhereThereIsMore) {
  EXPECT_THAT(Explain(Chain(64)), Not(HasSubstr("and more")));
  EXPECT_THAT(Explain(Chain(65)), HasSubstr("… and more\n"));
}

TEST(ExplainTest, TimesOfAnySizeKeepTheColumns) {
  for (const int64_t us :
       {int64_t{0}, int64_t{999'949}, int64_t{9'999'999}, int64_t{10'000'000},
        int64_t{35'999'000'000}, int64_t{36'000'000'000},
        std::numeric_limits<int64_t>::max()}) {
    v1::CallReport call = AnsweredCall("Orders/GetOrder", 0, us);
    call.mutable_report()->set_time_left_us(us);
    for (const std::string& line : LinesOf(call)) {
      if (line.find("its own") == std::string::npos) {
        EXPECT_EQ(Columns(line.substr(0, line.rfind("  "))), 15 + 1 + 32 + 22)
            << line;
      }
    }
  }
}

TEST(ExplainTest, AnyTreeGivesTextOfABoundedSize) {
  for (int seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    v1::CallReport call;
    *call.mutable_report() = RandomReport(random, true);
    call.set_duration_us(seed % 3 == 0 ? static_cast<int64_t>(random())
                                       : 200'000);
    const std::string text = Explain(call);
    EXPECT_LT(text.size(), 502 * 400);
    for (const char c : text) {
      ASSERT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f) || (c & 0x80) != 0);
    }
  }
}

}  // namespace
}  // namespace tether
