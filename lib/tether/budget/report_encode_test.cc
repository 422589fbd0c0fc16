// SPDX-License-Identifier: Apache-2.0
//
// Tests EncodeReport and SelfTimeUs.

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "tether/budget/report.h"
#include "tether/budget/testing/reports.h"

namespace tether {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::AnsweredCall;
using testing::Chain;
using testing::DepthOf;
using testing::ReportOf;
using testing::StuckInventory;
using testing::UnansweredCall;

v1::BudgetReport Hop(int64_t total_us) {
  return ReportOf(AnsweredCall("Orders/GetOrder", 0, total_us));
}

// Returns `report` as a reader gets it. Fails if the reader rejects it.
v1::BudgetReport Sent(const v1::BudgetReport& report,
                      const ReportLimits& limits = {}) {
  const std::string bytes = EncodeReport(report, limits);
  EXPECT_LE(bytes.size(), limits.max_bytes);
  const std::optional<v1::BudgetReport> read = ParseReport(bytes, limits);
  if (!read) {
    ADD_FAILURE() << "rejected: " << report.ShortDebugString();
    return {};
  }
  return *read;
}

// ---- Round trips -----------------------------------------------------------

TEST(EncodeReportTest, ComesBackAsItWas) {
  v1::BudgetReport report = ReportOf(StuckInventory());
  report.set_previous_attempts(2);
  report.set_self_us(3'500);
  report.set_calls_left_out(1);
  v1::BudgetReport read = Sent(report);
  EXPECT_TRUE(MessageDifferencer::Equals(read, report))
      << read.DebugString() << report.DebugString();
}

TEST(EncodeReportTest, NoDeadlineIsNotADeadlineOfZero) {
  v1::BudgetReport report = Hop(10);
  EXPECT_FALSE(Sent(report).has_time_left_us());
  report.set_time_left_us(0);
  EXPECT_TRUE(Sent(report).has_time_left_us());
}

TEST(EncodeReportTest, AHopIsNamedOnlyOnce) {
  v1::BudgetReport report = Hop(100);
  *report.add_calls() = AnsweredCall("Inventory/GetStock", 0, 50);
  v1::BudgetReport& below = *report.mutable_calls(0)->mutable_report();
  below.set_service("shop.v1.Inventory");
  below.set_method("GetStock");
  EXPECT_EQ(Sent(report).calls(0).report().service(), "");
  EXPECT_EQ(Sent(report).calls(0).report().method(), "");
  below.set_method("GetStockOfAll");
  EXPECT_EQ(Sent(report).calls(0).report().service(), "shop.v1.Inventory");
  EXPECT_EQ(Sent(report).calls(0).report().method(), "GetStockOfAll");
}

TEST(EncodeReportTest, CallsAreInTheOrderOfTheirStarts) {
  v1::BudgetReport report = Hop(100);
  for (const int64_t start : {50, 10, 30}) {
    *report.add_calls() = AnsweredCall("Inventory/GetStock", start, 5);
  }
  const v1::BudgetReport read = Sent(report);
  ASSERT_EQ(read.calls_size(), 3);
  EXPECT_EQ(read.calls(0).start_us(), 10);
  EXPECT_EQ(read.calls(1).start_us(), 30);
  EXPECT_EQ(read.calls(2).start_us(), 50);
}

TEST(EncodeReportTest, WhoTellsSomethingHasAnswered) {
  v1::BudgetReport report = Hop(100);
  *report.add_calls() = AnsweredCall("Inventory/GetStock", 0, 50);
  report.mutable_calls(0)->set_answered(false);
  EXPECT_TRUE(Sent(report).calls(0).answered());
}

TEST(EncodeReportTest, NothingIsNoReport) {
  EXPECT_EQ(EncodeReport({}), "");
  EXPECT_FALSE(ParseReport(""));
}

// ---- Repairs ---------------------------------------------------------------

TEST(EncodeReportTest, TimesThatCannotBeAreClampedOnTheWayOut) {
  v1::BudgetReport report = Hop(std::numeric_limits<int64_t>::max());
  report.set_time_left_us(-5);
  report.set_self_us(std::numeric_limits<int64_t>::min());
  *report.add_calls() =
      AnsweredCall("Inventory/GetStock", std::numeric_limits<int64_t>::max(),
                   std::numeric_limits<int64_t>::max());
  *report.add_calls() = AnsweredCall("Inventory/GetStock", -7, -7);
  const v1::BudgetReport read = Sent(report);
  EXPECT_EQ(read.total_us(), kMaxReportTimeUs);
  EXPECT_EQ(read.time_left_us(), 0);
  EXPECT_EQ(read.self_us(), 0);
  EXPECT_EQ(read.calls(0).start_us(), 0);
  EXPECT_EQ(read.calls(0).duration_us(), 0);
  EXPECT_EQ(read.calls(1).start_us(), kMaxReportTimeUs);
  EXPECT_EQ(read.calls(1).duration_us(), 0);
}

TEST(EncodeReportTest, NamesThatMayNotBeAreMendedOnTheWayOut) {
  v1::BudgetReport report = Hop(10);
  report.set_service(std::string("shop\0\n<b>\xff.\"é", 14));
  report.set_method(std::string(100, 'a') + std::string(100, 'b'));
  const v1::BudgetReport read = Sent(report);
  EXPECT_EQ(read.service(), "shop___b__.___");
  EXPECT_EQ(read.method(), std::string(28, 'a') + std::string(100, 'b'));
}

TEST(EncodeReportTest, LabelsAndAddressesAreMendedOnTheWayOut) {
  v1::BudgetReport report = ReportOf(StuckInventory());
  v1::CallReport& call = *report.mutable_calls(0);
  call.set_label("shard 2\n<b>");
  call.set_address(std::string(70, '1'));
  const v1::BudgetReport read = Sent(report);
  EXPECT_EQ(read.calls(0).label(), "shard 2__b_");
  EXPECT_EQ(read.calls(0).address(), std::string(64, '1'));
}

TEST(EncodeReportTest, LabelsAndAddressesStayAtEachDepthUnlessTheyMustNot) {
  v1::BudgetReport report = ReportOf(StuckInventory());
  v1::CallReport& orders = *report.mutable_calls(0);
  v1::CallReport& inventory = *orders.mutable_report()->mutable_calls(0);
  for (v1::CallReport* call : {&orders, &inventory}) {
    call->set_label("shard 2");
    call->set_address("10.0.0.7:50051");
  }
  EXPECT_TRUE(MessageDifferencer::Equals(Sent(report), report));
  ReportLimits limits;
  limits.has_labels_and_addresses = false;
  const std::string bytes = EncodeReport(report, limits);
  EXPECT_EQ(bytes.find("shard"), std::string::npos);
  EXPECT_EQ(bytes.find("10.0.0.7"), std::string::npos);
  EXPECT_NE(bytes.find("Inventory"), std::string::npos);
}

TEST(EncodeReportTest, CodesThatGrpcDoesNotHaveAreUnknown) {
  for (const int code : {-1, 17, 1 << 30}) {
    v1::BudgetReport report = Hop(10);
    report.set_outcome(code);
    EXPECT_EQ(Sent(report).outcome(), 2) << code;
  }
  v1::BudgetReport report = Hop(10);
  report.set_outcome(16);
  EXPECT_EQ(Sent(report).outcome(), 16);
}

// ---- Limits ----------------------------------------------------------------

TEST(EncodeReportTest, WhatIsTooDeepIsLeftOutAndSaidSo) {
  ReportLimits limits;
  limits.max_depth = 3;
  EXPECT_EQ(DepthOf(Sent(ReportOf(Chain(3)), limits)), 3);
  const v1::BudgetReport read = Sent(ReportOf(Chain(5)), limits);
  EXPECT_EQ(DepthOf(read), 3);
  const v1::CallReport& last =
      read.calls(0).report().calls(0).report().calls(0);
  EXPECT_TRUE(last.report_left_out());
  EXPECT_TRUE(last.answered());
  EXPECT_EQ(last.duration_us(), 4'000);
}

TEST(EncodeReportTest, OfTooManyCallsTheLongestAndTheUnansweredStay) {
  ReportLimits limits;
  limits.max_calls = 3;
  v1::BudgetReport report = Hop(1'000);
  *report.add_calls() = AnsweredCall("A/A", 0, 100);
  *report.add_calls() = AnsweredCall("B/B", 100, 90);
  *report.add_calls() = UnansweredCall("C/C", 200, 60);
  *report.add_calls() = AnsweredCall("D/D", 300, 110);
  *report.add_calls() = UnansweredCall("E/E", 500, 10);
  const v1::BudgetReport read = Sent(report, limits);
  ASSERT_EQ(read.calls_size(), 3);
  EXPECT_EQ(read.calls(0).service(), "shop.v1.A");
  EXPECT_EQ(read.calls(1).service(), "shop.v1.C");  // counts as 120
  EXPECT_EQ(read.calls(2).service(), "shop.v1.D");
  EXPECT_EQ(read.calls_left_out(), 2);
}

TEST(EncodeReportTest, ACallMattersAsMuchAsTheOnesBelowIt) {
  ReportLimits limits;
  limits.max_calls = 1;
  v1::BudgetReport report = Hop(1'000);
  *report.add_calls() = AnsweredCall("Long/Long", 0, 400);
  *report.add_calls() = AnsweredCall("Blamed/Blamed", 400, 350);
  *report.mutable_calls(1)->mutable_report()->add_calls() =
      UnansweredCall("Stuck/Stuck", 10, 330);
  EXPECT_EQ(Sent(report, limits).calls(0).service(), "shop.v1.Blamed");
}

TEST(EncodeReportTest, TheTimeOfCallsThatAreLeftOutIsNotTheHopsOwn) {
  ReportLimits limits;
  limits.max_calls = 1;
  v1::BudgetReport report = Hop(1'000);
  *report.add_calls() = AnsweredCall("A/A", 0, 600);
  *report.add_calls() = AnsweredCall("B/B", 600, 300);
  EXPECT_EQ(SelfTimeUs(report), 100);
  const v1::BudgetReport read = Sent(report, limits);
  EXPECT_EQ(read.calls_size(), 1);
  EXPECT_EQ(SelfTimeUs(read), 100);
  // Encoding it again changes nothing.
  EXPECT_EQ(SelfTimeUs(Sent(read, limits)), 100);
  limits.max_calls = 0;
  EXPECT_EQ(Sent(read, limits).calls_left_out(), 2);
  EXPECT_EQ(SelfTimeUs(Sent(read, limits)), 100);
}

TEST(EncodeReportTest, WhatDoesNotFitIsLeftOutTheLeastFirst) {
  v1::BudgetReport report = Hop(1'000'000);
  for (int i = 0; i < 16; ++i) {
    v1::CallReport& call = *report.add_calls();
    call = AnsweredCall("Inventory/GetStock", 50'000 * i, 40'000);
    for (int j = 0; j < 16; ++j) {
      *call.mutable_report()->add_calls() =
          AnsweredCall("Warehouse/Count", 2'000 * j, 1'000 + j);
    }
  }
  v1::CallReport& slow =
      *report.mutable_calls(7)->mutable_report()->mutable_calls(3);
  slow = UnansweredCall("Warehouse/Count", 6'000, 30'000);
  ASSERT_GT(report.ByteSizeLong(), 10'000);

  const v1::BudgetReport read = Sent(report);
  EXPECT_GT(EncodeReport(report).size(), 3'900) << "left out too much";
  ASSERT_EQ(read.calls_size(), 16) << "the greater ones go last";
  int left_out = 0;
  int64_t shortest = 1'000'000;
  for (const v1::CallReport& call : read.calls()) {
    left_out += call.report().calls_left_out();
    EXPECT_EQ(call.report().calls_size() + call.report().calls_left_out(), 16);
    for (const v1::CallReport& below : call.report().calls()) {
      shortest = std::min(shortest, below.duration_us());
    }
  }
  EXPECT_GT(left_out, 150);
  EXPECT_GT(shortest, 1'008) << "a longer one went before";
  bool found = false;
  for (const v1::CallReport& below : read.calls(7).report().calls()) {
    found |= below.duration_us() == 30'000;
  }
  EXPECT_TRUE(found);
}

TEST(EncodeReportTest, InAChainTheDeepestGoFirst) {
  ReportLimits limits;
  limits.max_bytes = 300;
  limits.max_depth = 100;
  v1::BudgetReport report = ReportOf(Chain(100));
  const v1::BudgetReport read = Sent(report, limits);
  EXPECT_GT(DepthOf(read), 3);
  const v1::BudgetReport* last = &read;
  while (last->calls_size() > 0) last = &last->calls(0).report();
  EXPECT_EQ(last->calls_left_out(), 1);
  EXPECT_EQ(SelfTimeUs(*last), 2'000);
}

TEST(EncodeReportTest, OfCallsThatMatterTheSameTheDeepestGoFirst) {
  // An unanswered call at the end gives all calls above it its weight.
  ReportLimits limits;
  limits.max_bytes = 300;
  v1::BudgetReport report = Hop(100'000);
  v1::BudgetReport* last = &report;
  for (int i = 0; i < 14; ++i) {
    *last->add_calls() = AnsweredCall("Hop/Go", 0, 100'000);
    last = last->mutable_calls(0)->mutable_report();
  }
  *last->add_calls() = UnansweredCall("Stuck/Stuck", 0, 100'000);
  EXPECT_GT(DepthOf(Sent(report, limits)), 3);
}

TEST(EncodeReportTest, WhatCannotFitIsNotSent) {
  ReportLimits limits;
  for (limits.max_bytes = 0; limits.max_bytes < 200; ++limits.max_bytes) {
    const std::string bytes = EncodeReport(ReportOf(StuckInventory()), limits);
    EXPECT_LE(bytes.size(), limits.max_bytes);
    EXPECT_TRUE(bytes.empty() || ParseReport(bytes, limits));
  }
  EXPECT_EQ(EncodeReport(ReportOf(StuckInventory()), ReportLimits{40}), "");
  EXPECT_NE(EncodeReport(ReportOf(StuckInventory()), ReportLimits{100}), "");
}

TEST(EncodeReportTest, SeventeenFullHopsFit) {
  // A typical chain, one hop deeper than the default limit.
  v1::BudgetReport report = ReportOf(Chain(17));
  const v1::BudgetReport read = Sent(report);
  EXPECT_EQ(DepthOf(read), 16);
}

// ---- The hop's own time ----------------------------------------------------

TEST(SelfTimeTest, ParallelCallsCountOnce) {
  v1::BudgetReport report = Hop(100);
  EXPECT_EQ(SelfTimeUs(report), 100);
  *report.add_calls() = UnansweredCall("A/A", 50, 20);
  *report.add_calls() = UnansweredCall("A/A", 10, 20);
  EXPECT_EQ(SelfTimeUs(report), 60);
  *report.add_calls() = UnansweredCall("B/B", 15, 20);  // overlaps the second
  EXPECT_EQ(SelfTimeUs(report), 55);
  *report.add_calls() = UnansweredCall("C/C", 55, 5);  // within the first
  EXPECT_EQ(SelfTimeUs(report), 55);
  *report.add_calls() = UnansweredCall("D/D", 90, 1'000);  // beyond the end
  EXPECT_EQ(SelfTimeUs(report), 45);
}

TEST(SelfTimeTest, WhatTheHopSaysItselfIsAnUpperLimit) {
  v1::BudgetReport report = Hop(100);
  report.set_self_us(30);
  EXPECT_EQ(SelfTimeUs(report), 30);
  *report.add_calls() = UnansweredCall("A/A", 0, 80);
  EXPECT_EQ(SelfTimeUs(report), 20);
  report.set_self_us(-4);
  EXPECT_EQ(SelfTimeUs(report), 0);
}

TEST(SelfTimeTest, TakesAnyNumbers) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  v1::BudgetReport report = Hop(kMost);
  *report.add_calls() = UnansweredCall("A/A", kMost, kMost);
  EXPECT_EQ(SelfTimeUs(report), kMaxReportTimeUs);
  *report.add_calls() = UnansweredCall("A/A", -kMost, kMost);
  EXPECT_EQ(SelfTimeUs(report), 0);
  report.set_total_us(-kMost);
  EXPECT_EQ(SelfTimeUs(report), 0);
}

}  // namespace
}  // namespace tether
