// SPDX-License-Identifier: Apache-2.0

#include "tether/budget/timeline.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tether/budget/testing/reports.h"

namespace tether {
namespace {

using testing::AnsweredCall;
using testing::Chain;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::RandomReport;
using testing::StuckInventory;
using testing::UnansweredCall;

class TimelineTest : public ::testing::Test {
 protected:
  v1::CallReport* AddCall(v1::CallReport call) {
    return &(*front_.mutable_report()->add_calls() = std::move(call));
  }

  // Returns the row of the `i`th call that was added.
  TimelineRow RowOf(size_t i) const {
    const Timeline timeline = MakeTimeline(front_);
    return timeline.rows.at(i + 1);
  }

  v1::CallReport front_ = AnsweredCall("Storefront/GetOrderPage", 0, 1'000);
};

TEST_F(TimelineTest, HasARowForEachCall) {
  const Timeline timeline = MakeTimeline(StuckInventory());
  ASSERT_EQ(timeline.rows.size(), 3);
  EXPECT_FALSE(timeline.cut);
  EXPECT_EQ(timeline.end_us, 200'000);
  EXPECT_EQ(timeline.deadline_us, 200'000);

  const TimelineRow& storefront = timeline.rows[0];
  EXPECT_EQ(storefront.name, "storefront.GetOrderPage");
  EXPECT_EQ(storefront.depth, 0);
  EXPECT_EQ(storefront.call, (TimeSpan{0, 200'000}));
  EXPECT_EQ(storefront.hop, (TimeSpan{0, 200'000}));
  EXPECT_THAT(storefront.waits, ElementsAre(TimeSpan{2'000, 198'000}));
  EXPECT_EQ(storefront.own_us, 4'000);
  EXPECT_EQ(storefront.time_left_us, 199'600) << "as the hop saw it";
  EXPECT_EQ(storefront.outcome, "deadline exceeded");
  EXPECT_EQ(storefront.reason, "inherited deadline");
  EXPECT_THAT(storefront.notes, IsEmpty());
  EXPECT_TRUE(storefront.answered);

  const TimelineRow& inventory = timeline.rows[2];
  EXPECT_EQ(inventory.name, "inventory.GetStock");
  EXPECT_EQ(inventory.depth, 2);
  EXPECT_EQ(inventory.call, (TimeSpan{6'000, 193'000}));
  EXPECT_EQ(inventory.hop, std::nullopt);
  EXPECT_EQ(inventory.own_us, 187'000);
  EXPECT_EQ(inventory.time_left_us, 187'000) << "as its caller saw it";
  EXPECT_THAT(inventory.notes, ElementsAre("did not answer"));
  EXPECT_FALSE(inventory.answered);
}

TEST_F(TimelineTest, TheHopIsInTheMiddleOfItsCall) {
  v1::BudgetReport& orders =
      *AddCall(AnsweredCall("Orders/GetOrder", 100, 200))->mutable_report();
  orders.set_total_us(120);
  *orders.add_calls() = UnansweredCall("Inventory/GetStock", 20, 30);
  const Timeline timeline = MakeTimeline(front_);
  EXPECT_EQ(timeline.rows[1].call, (TimeSpan{100, 300}));
  EXPECT_EQ(timeline.rows[1].hop, (TimeSpan{140, 260}));
  EXPECT_THAT(timeline.rows[1].waits, ElementsAre(TimeSpan{160, 190}));
  EXPECT_EQ(timeline.rows[1].own_us, 90);
  EXPECT_EQ(timeline.rows[2].call, (TimeSpan{160, 190}));
}

TEST_F(TimelineTest, ACallEndsAtItsDeadline) {
  v1::CallReport* call = AddCall(UnansweredCall("Orders/GetOrder", 100, 800));
  EXPECT_EQ(RowOf(0).call, (TimeSpan{100, 900}));
  EXPECT_EQ(MakeTimeline(front_).rows[0].own_us, 200);
  call->set_time_left_us(300);
  EXPECT_EQ(RowOf(0).call, (TimeSpan{100, 400}));
  EXPECT_EQ(MakeTimeline(front_).rows[0].own_us, 700);
  front_.set_time_left_us(500);
  EXPECT_EQ(MakeTimeline(front_).rows[0].call, (TimeSpan{0, 500}));
}

TEST_F(TimelineTest, AReportUnderAnotherNameIsARowOfItsOwn) {
  v1::CallReport* orders = AddCall(AnsweredCall("Orders/GetOrder", 100, 800));
  v1::BudgetReport& report = *orders->mutable_report();
  report.set_service("shop.v1.Inventory");
  report.set_method("GetStock");
  report.set_total_us(600);
  report.set_outcome(4);
  report.set_reason(v1::END_REASON_OWN_TIMEOUT);
  *report.add_calls() = AnsweredCall("Shelf/Get", 100, 50);
  const Timeline timeline = MakeTimeline(front_);
  ASSERT_EQ(timeline.rows.size(), 4);

  const TimelineRow& called = timeline.rows[1];
  EXPECT_EQ(called.name, "orders.GetOrder");
  EXPECT_THAT(called.notes, ElementsAre("no report"));
  EXPECT_EQ(called.reason, "");
  EXPECT_EQ(called.own_us, 200);
  EXPECT_THAT(called.waits, ElementsAre(TimeSpan{200, 800}));

  const TimelineRow& below = timeline.rows[2];
  EXPECT_EQ(below.name, "inventory.GetStock");
  EXPECT_EQ(below.depth, 2);
  EXPECT_EQ(below.call, (TimeSpan{200, 800}));
  EXPECT_EQ(below.own_us, 550);
  EXPECT_EQ(below.outcome, "deadline exceeded");
  EXPECT_EQ(below.reason, "own timeout");
  EXPECT_TRUE(below.answered);

  EXPECT_EQ(timeline.rows[3].name, "shelf.Get");
  EXPECT_EQ(timeline.rows[3].depth, 3);
}

TEST_F(TimelineTest, NoDeadlineIsNoFigure) {
  AddCall(UnansweredCall("Orders/GetOrder", 0, 10));
  EXPECT_EQ(MakeTimeline(front_).deadline_us, std::nullopt);
  EXPECT_EQ(RowOf(0).time_left_us, std::nullopt);
  EXPECT_EQ(MakeTimeline(front_).rows[0].time_left_us, std::nullopt);
}

TEST_F(TimelineTest, TellsParallelCallsFromSequentialOnes) {
  AddCall(AnsweredCall("A/A", 0, 100));
  AddCall(AnsweredCall("B/B", 100, 100));  // begins when A ends
  AddCall(AnsweredCall("C/C", 300, 100));
  AddCall(AnsweredCall("D/D", 350, 100));
  AddCall(AnsweredCall("E/E", 360, 10));
  AddCall(AnsweredCall("F/F", 440, 100));  // overlaps D alone
  EXPECT_THAT(RowOf(0).notes, IsEmpty());
  EXPECT_THAT(RowOf(1).notes, IsEmpty());
  for (size_t i = 2; i < 6; ++i) {
    EXPECT_THAT(RowOf(i).notes, ElementsAre("parallel")) << i;
  }
  EXPECT_THAT(MakeTimeline(front_).rows[0].waits,
              ElementsAre(TimeSpan{0, 200}, TimeSpan{300, 540}));
}

TEST_F(TimelineTest, CallsOfTheSameMomentAreNotParallel) {
  AddCall(AnsweredCall("A/A", 50, 0));
  AddCall(AnsweredCall("B/B", 50, 0));
  AddCall(AnsweredCall("C/C", 0, 100));
  EXPECT_THAT(RowOf(1).notes, IsEmpty());
  EXPECT_THAT(RowOf(2).notes, IsEmpty());
  EXPECT_THAT(RowOf(0).notes, IsEmpty());
}

TEST_F(TimelineTest, ANewCallAfterAFailedOneIsTheNextAttempt) {
  AddCall(UnansweredCall("Orders/GetOrder", 0, 100));
  AddCall(UnansweredCall("Orders/GetOrder", 150, 100));
  AddCall(UnansweredCall("Orders/GetStatus", 250, 10));  // another method
  AddCall(AnsweredCall("Orders/GetOrder", 300, 100));
  AddCall(AnsweredCall("Orders/GetOrder", 500, 100));  // after a success
  EXPECT_THAT(RowOf(0).notes, ElementsAre("did not answer", "attempt 1 of 3"));
  EXPECT_THAT(RowOf(1).notes, ElementsAre("did not answer", "attempt 2 of 3"));
  EXPECT_THAT(RowOf(2).notes, ElementsAre("did not answer"));
  EXPECT_THAT(RowOf(3).notes, ElementsAre("attempt 3 of 3"));
  EXPECT_THAT(RowOf(4).notes, IsEmpty());
}

TEST_F(TimelineTest, ALabelFollowsTheName) {
  AddCall(UnansweredCall("Index/Query", 0, 100))->set_label("shard 1");
  AddCall(AnsweredCall("Index/Query", 200, 100))->set_label("shard <2>");
  EXPECT_EQ(RowOf(0).name, "index.Query[shard 1]");
  EXPECT_EQ(RowOf(1).name, "index.Query[shard _2_]");
  // A call to another shard isn't another attempt.
  EXPECT_THAT(RowOf(0).notes, ElementsAre("did not answer"));
  EXPECT_THAT(RowOf(1).notes, IsEmpty());
}

TEST_F(TimelineTest, AddressesTellCallsToOneMethodApart) {
  AddCall(AnsweredCall("Index/Query", 0, 100))->set_address("10.0.0.7:1");
  AddCall(AnsweredCall("Index/Query", 200, 100))->set_address("10.0.0.8:1");
  AddCall(AnsweredCall("Index/Query", 400, 100));
  AddCall(AnsweredCall("Orders/GetOrder", 600, 100))->set_address("[::1]:2");
  EXPECT_THAT(RowOf(0).notes, ElementsAre("at 10.0.0.7:1"));
  EXPECT_THAT(RowOf(1).notes, ElementsAre("at 10.0.0.8:1"));
  EXPECT_THAT(RowOf(2).notes, IsEmpty());
  // The control: one address needs no note.
  EXPECT_THAT(RowOf(3).notes, IsEmpty());
  EXPECT_EQ(RowOf(3).address, "[::1]:2");
}

TEST_F(TimelineTest, AttemptsInParallelAreTwoSeries) {
  AddCall(UnansweredCall("Orders/GetOrder", 0, 100));
  AddCall(UnansweredCall("Orders/GetOrder", 10, 100));
  AddCall(AnsweredCall("Orders/GetOrder", 105, 100));  // after the first
  AddCall(AnsweredCall("Orders/GetOrder", 115, 100));
  EXPECT_THAT(RowOf(0).notes,
              ElementsAre("did not answer", "parallel", "attempt 1 of 2"));
  EXPECT_THAT(RowOf(1).notes,
              ElementsAre("did not answer", "parallel", "attempt 1 of 2"));
  EXPECT_THAT(RowOf(2).notes, ElementsAre("parallel", "attempt 2 of 2"));
  EXPECT_THAT(RowOf(3).notes, ElementsAre("parallel", "attempt 2 of 2"));
}

TEST_F(TimelineTest, SaysWhatElseThereIs) {
  v1::CallReport* call = AddCall(AnsweredCall("Orders/GetOrder", 0, 100));
  call->mutable_report()->set_previous_attempts(1);
  call->mutable_report()->set_calls_left_out(1);
  call->mutable_report()->set_reason(v1::END_REASON_OWN_TIMEOUT);
  EXPECT_THAT(RowOf(0).notes, ElementsAre("gRPC attempt 2", "1 more call"));
  EXPECT_EQ(RowOf(0).reason, "own timeout");
  call->clear_report();
  EXPECT_THAT(RowOf(0).notes, ElementsAre("no report"));
  EXPECT_EQ(RowOf(0).own_us, 100);
  EXPECT_EQ(RowOf(0).reason, "");
  call->set_report_left_out(true);
  EXPECT_THAT(RowOf(0).notes, ElementsAre("report left out"));
}

TEST_F(TimelineTest, ACancelledCallThatWasCancelledNeedsNoReason) {
  v1::CallReport* call = AddCall(UnansweredCall("Orders/GetOrder", 0, 100));
  call->set_outcome(1);
  call->set_reason(v1::END_REASON_CANCELLED);
  EXPECT_EQ(RowOf(0).reason, "");
  call->set_reason(v1::END_REASON_CALLER_LEFT);
  EXPECT_EQ(RowOf(0).reason, "caller left");
  call->set_outcome(4);
  call->set_reason(v1::END_REASON_CANCELLED);
  EXPECT_EQ(RowOf(0).reason, "cancelled");
}

TEST_F(TimelineTest, ShowsABoundedPart) {
  EXPECT_FALSE(MakeTimeline(Chain(64)).cut);
  const Timeline deep = MakeTimeline(Chain(65));
  EXPECT_TRUE(deep.cut);
  EXPECT_EQ(deep.rows.size(), 64);

  for (int i = 0; i < 499; ++i) AddCall(UnansweredCall("A/A", i, 1));
  EXPECT_FALSE(MakeTimeline(front_).cut);
  AddCall(UnansweredCall("A/A", 600, 1));
  const Timeline wide = MakeTimeline(front_);
  EXPECT_TRUE(wide.cut);
  EXPECT_EQ(wide.rows.size(), 500);
}

TEST_F(TimelineTest, BeyondADeepPartTheRestIsStillShown) {
  *AddCall(AnsweredCall("Hop/Go", 0, 500)) = Chain(70);
  AddCall(AnsweredCall("Last/Last", 900, 10));
  EXPECT_EQ(MakeTimeline(front_).rows.back().name, "last.Last");
}

TEST_F(TimelineTest, NothingHasATimeline) {
  const Timeline timeline = MakeTimeline({});
  ASSERT_EQ(timeline.rows.size(), 1);
  EXPECT_EQ(timeline.rows[0].name, "unknown");
  EXPECT_EQ(timeline.end_us, 1);
}

TEST_F(TimelineTest, AnyTreeGivesRowsThatFitIntoOneAnother) {
  for (int seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    v1::CallReport call;
    *call.mutable_report() = RandomReport(random, true);
    call.set_duration_us(seed % 5 == 0 ? std::numeric_limits<int64_t>::max()
                                       : 200'000);
    const Timeline timeline = MakeTimeline(call);
    std::vector<TimeSpan> above;  // the hops on the way down
    for (const TimelineRow& row : timeline.rows) {
      above.resize(static_cast<size_t>(row.depth));
      const TimeSpan outer =
          row.depth == 0 ? TimeSpan{0, timeline.end_us} : above.back();
      ASSERT_LE(outer.begin_us, row.call.begin_us);
      ASSERT_LE(row.call.begin_us, row.call.end_us);
      ASSERT_LE(row.call.end_us, outer.end_us);
      const TimeSpan hop = row.hop.value_or(row.call);
      ASSERT_LE(row.call.begin_us, hop.begin_us);
      ASSERT_LE(hop.end_us, row.call.end_us);
      int64_t own = hop.length_us();
      int64_t at = hop.begin_us - 1;
      for (const TimeSpan& wait : row.waits) {
        ASSERT_LT(at, wait.begin_us);
        ASSERT_LT(wait.begin_us, wait.end_us);
        at = wait.end_us;
        own -= wait.length_us();
      }
      ASSERT_LE(at, hop.end_us);
      ASSERT_GE(row.own_us, 0);
      ASSERT_LE(row.own_us, own);
      above.push_back(hop);
    }
  }
}

TEST(NamesTest, AreShortAndHarmless) {
  EXPECT_EQ(HopName("shop.v1.Orders", "GetOrder"), "orders.GetOrder");
  EXPECT_EQ(HopName("Orders", "GetOrder"), "orders.GetOrder");
  EXPECT_EQ(HopName("", "GetOrder"), "unknown.GetOrder");
  EXPECT_EQ(HopName("shop.v1.", ""), "unknown");
  EXPECT_EQ(HopName("a.<b>\n", "\x1b[31m\"\xc3\xa9"), "_b__.__31m___");
  EXPECT_EQ(HopName("Orders", std::string(100, 'x')), std::string(64, 'x'));
  EXPECT_EQ(ServiceName(std::string(100, 'X')), std::string(64, 'x'));
}

TEST(NamesTest, OfCodesAreGrpcs) {
  EXPECT_EQ(OutcomeText(0), "ok");
  EXPECT_EQ(OutcomeText(1), "cancelled");
  EXPECT_EQ(OutcomeText(4), "deadline exceeded");
  EXPECT_EQ(OutcomeText(16), "unauthenticated");
  EXPECT_EQ(OutcomeText(17), "code 17");
  EXPECT_EQ(OutcomeText(-1), "code -1");
}

TEST(NamesTest, EveryReasonButTheUsualHasOne) {
  for (int reason = v1::EndReason_MIN; reason <= v1::EndReason_MAX; ++reason) {
    const bool usual = reason == v1::END_REASON_UNSPECIFIED ||
                       reason == v1::END_REASON_COMPLETED;
    EXPECT_EQ(ReasonText(static_cast<v1::EndReason>(reason)).empty(), usual)
        << reason;
  }
  EXPECT_EQ(ReasonText(v1::END_REASON_OWN_TIMEOUT), "own timeout");
  EXPECT_EQ(ReasonText(static_cast<v1::EndReason>(99)), "");
  EXPECT_EQ(ReasonText(static_cast<v1::EndReason>(256 + 2)), "");
}

}  // namespace
}  // namespace tether
