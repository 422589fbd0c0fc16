// SPDX-License-Identifier: Apache-2.0

#include "tether/budget/blame.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tether/budget/report.h"
#include "tether/budget/testing/reports.h"

namespace tether {
namespace {

using testing::AnsweredCall;
using testing::Chain;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using testing::RandomReport;
using testing::ReportOf;
using ::testing::StartsWith;
using testing::StuckInventory;
using testing::UnansweredCall;

class BlameTest : public ::testing::Test {
 protected:
  BlameTest() { front_.set_time_left_us(200'000); }

  v1::CallReport* AddCall(v1::CallReport call) {
    return &(*front_.mutable_report()->add_calls() = std::move(call));
  }

  // Returns the text without its beginning.
  std::string Blame() const {
    const std::string text = BlameDeadline(front_);
    const std::string start = "deadline exceeded: 200ms, of which ";
    EXPECT_EQ(text.substr(0, start.size()), start);
    return text.substr(std::min(start.size(), text.size()));
  }

  v1::CallReport front_ = AnsweredCall("Storefront/GetOrderPage", 0, 200'000);
};

TEST_F(BlameTest, NamesTheHopThatDidNotAnswer) {
  EXPECT_EQ(BlameDeadline(StuckInventory()),
            "deadline exceeded: 200ms, of which inventory.GetStock 187ms (did "
            "not answer), orders.GetOrder 9ms, storefront.GetOrderPage 4ms");
}

TEST_F(BlameTest, NamesTheServerWhereItIsAllThatIsKnown) {
  front_ = UnansweredCall("Storefront/GetOrderPage", 0, 200'300);
  front_.set_time_left_us(200'000);
  EXPECT_EQ(Blame(), "storefront.GetOrderPage 200ms (did not answer)");
}

TEST_F(BlameTest, WhatComesAfterTheDeadlineIsNobodysFault) {
  // The caller read the status 1.4 s later.
  front_.set_time_left_us(100'000);
  front_.set_duration_us(1'500'000);
  front_.mutable_report()->set_total_us(97'000);
  EXPECT_EQ(BlameDeadline(front_),
            "deadline exceeded: 1.5s (deadline 100ms), of which "
            "storefront.GetOrderPage 97ms");
  front_.clear_report();
  front_.set_answered(false);
  EXPECT_EQ(BlameDeadline(front_),
            "deadline exceeded: 1.5s (deadline 100ms), of which "
            "storefront.GetOrderPage 100ms (did not answer)");
  front_.clear_time_left_us();  // the control
  EXPECT_EQ(BlameDeadline(front_),
            "deadline exceeded: 1.5s, of which storefront.GetOrderPage 1.5s "
            "(did not answer)");
}

TEST_F(BlameTest, WhatAHopDoesAfterItsCallsDeadlineIsItsOwn) {
  v1::CallReport* call =
      AddCall(UnansweredCall("Orders/GetOrder", 10'000, 150'000));
  EXPECT_EQ(Blame(),
            "orders.GetOrder 150ms (did not answer), storefront.GetOrderPage "
            "50ms");
  call->set_time_left_us(40'000);
  EXPECT_EQ(Blame(),
            "storefront.GetOrderPage 160ms, orders.GetOrder 40ms (did not "
            "answer)");
}

TEST_F(BlameTest, AReportUnderAnotherNameIsThatOfAHopBelow) {
  // Orders forwarded inventory's trailing metadata.
  v1::CallReport orders = AnsweredCall("Orders/GetOrder", 10'000, 180'000);
  orders.mutable_report()->set_service("shop.v1.Inventory");
  orders.mutable_report()->set_method("GetStock");
  orders.mutable_report()->set_total_us(150'000);
  orders.mutable_report()->set_previous_attempts(1);  // of orders' call
  AddCall(orders);
  EXPECT_EQ(Blame(),
            "inventory.GetStock 150ms, orders.GetOrder or the network to it "
            "30ms, storefront.GetOrderPage 20ms");

  // A report with the names of the call, or without names, is its own.
  for (const char* method : {"GetOrder", ""}) {
    v1::CallReport& call = *front_.mutable_report()->mutable_calls(0);
    call.mutable_report()->set_service(*method == 0 ? "" : call.service());
    call.mutable_report()->set_method(method);
    call.mutable_report()->set_previous_attempts(0);
    EXPECT_EQ(Blame(),
              "orders.GetOrder 150ms, network to orders 30ms, "
              "storefront.GetOrderPage 20ms");
  }
}

TEST_F(BlameTest, NamesASlowHopInTheMiddle) {
  v1::CallReport orders = AnsweredCall("Orders/GetOrder", 2'000, 196'000);
  *orders.mutable_report()->add_calls() =
      AnsweredCall("Inventory/GetStock", 100'000, 20'000);
  AddCall(orders);
  EXPECT_EQ(Blame(),
            "orders.GetOrder 176ms, inventory.GetStock 20ms, "
            "storefront.GetOrderPage 4ms");
}

TEST_F(BlameTest, NamesASlowNetworkAndNotTheHopBehindIt) {
  v1::CallReport orders = AnsweredCall("Orders/GetOrder", 10'000, 180'000);
  orders.mutable_report()->set_total_us(30'000);
  AddCall(orders);
  EXPECT_EQ(Blame(),
            "network to orders 150ms, orders.GetOrder 30ms, "
            "storefront.GetOrderPage 20ms");
}

TEST_F(BlameTest, DoesNotNameAUsualNetwork) {
  v1::CallReport orders = AnsweredCall("Orders/GetOrder", 10'000, 180'000);
  orders.mutable_report()->set_total_us(161'000);
  AddCall(orders);
  EXPECT_EQ(Blame(), "orders.GetOrder 161ms, storefront.GetOrderPage 20ms");
}

TEST_F(BlameTest, TellsEarlierAttemptsOfGrpcFromTheNetwork) {
  v1::CallReport orders = AnsweredCall("Orders/GetOrder", 10'000, 180'000);
  orders.mutable_report()->set_total_us(30'000);
  orders.mutable_report()->set_previous_attempts(2);
  AddCall(orders);
  EXPECT_THAT(Blame(), HasSubstr("earlier attempts of orders.GetOrder 150ms,"));
}

TEST_F(BlameTest, AddsUpTheCallsToOneMethod) {
  for (int i = 0; i < 10; ++i) {
    AddCall(AnsweredCall("Inventory/GetStock", 15'000 * i, 15'000));
  }
  EXPECT_EQ(
      Blame(),
      "inventory.GetStock 150ms (10 calls), storefront.GetOrderPage 50ms");
}

TEST_F(BlameTest, CountsTheAttemptsThatGotNoAnswer) {
  AddCall(UnansweredCall("Inventory/GetStock", 0, 60'000));
  AddCall(UnansweredCall("Inventory/GetStock", 60'000, 60'000));
  EXPECT_THAT(Blame(),
              HasSubstr("inventory.GetStock 120ms (2 calls, none answered)"));
  AddCall(AnsweredCall("Inventory/GetStock", 120'000, 60'000));
  EXPECT_THAT(
      Blame(),
      HasSubstr("inventory.GetStock 180ms (3 calls, 2 did not answer)"));
}

TEST_F(BlameTest, OfParallelCallsTheOneThatEndsLastCounts) {
  AddCall(AnsweredCall("Fast/Get", 10'000, 100'000));
  AddCall(AnsweredCall("Slow/Get", 20'000, 160'000));
  AddCall(AnsweredCall("Inner/Get", 30'000, 50'000));
  EXPECT_EQ(Blame(),
            "slow.Get 160ms, storefront.GetOrderPage 30ms, fast.Get "
            "10ms");
}

TEST_F(BlameTest, WithinAParallelCallOnlyItsPartCounts) {
  // Fast is blamed only for its first 50 ms, in which A took 40 ms.
  v1::CallReport& fast = *AddCall(AnsweredCall("Fast/Get", 0, 100'000));
  *fast.mutable_report()->add_calls() = AnsweredCall("A/Get", 10'000, 60'000);
  *fast.mutable_report()->add_calls() = AnsweredCall("B/Get", 75'000, 20'000);
  AddCall(AnsweredCall("Slow/Get", 50'000, 150'000));
  EXPECT_EQ(Blame(), "slow.Get 150ms, a.Get 40ms, fast.Get 10ms");
}

TEST_F(BlameTest, NamesAllThatDidNotAnswerInParallel) {
  AddCall(UnansweredCall("Inventory/GetStock", 10'000, 180'200));
  AddCall(UnansweredCall("Pricing/Quote", 10'100, 180'000));
  AddCall(AnsweredCall("Reviews/List", 10'200, 170'000));
  EXPECT_EQ(Blame(),
            "inventory.GetStock 180ms (did not answer), pricing.Quote 180ms in "
            "parallel (did not answer), storefront.GetOrderPage 20ms");
}

TEST_F(BlameTest, ThatOneEndsAMomentLaterDoesNotHideTheOther) {
  // Pricing is on the critical path for 0.1 ms only.
  AddCall(UnansweredCall("Pricing/Quote", 10'000, 180'000));
  AddCall(UnansweredCall("Inventory/GetStock", 10'100, 180'000));
  EXPECT_THAT(Blame(), HasSubstr("pricing.Quote 180ms in parallel (did not"));
}

TEST_F(BlameTest, SaysWhatItDoesNotKnow) {
  AddCall(AnsweredCall("Legacy/Get", 0, 100'000))->clear_report();
  v1::CallReport& deep = *AddCall(AnsweredCall("Deep/Get", 100'000, 80'000));
  deep.clear_report();
  deep.set_report_left_out(true);
  EXPECT_EQ(Blame(),
            "legacy.Get or the network to it 100ms, deep.Get 80ms (with its "
            "calls), storefront.GetOrderPage 20ms");
}

TEST_F(BlameTest, CallsThatWereLeftOutAreNotTheHopsFault) {
  AddCall(AnsweredCall("A/Get", 0, 100'000));
  AddCall(AnsweredCall("B/Get", 110'000, 80'000));
  ReportLimits limits;
  limits.max_calls = 1;
  const auto report = ParseReport(EncodeReport(ReportOf(front_), limits));
  ASSERT_TRUE(report);
  *front_.mutable_report() = *report;
  EXPECT_EQ(Blame(),
            "a.Get 100ms, other calls of storefront.GetOrderPage "
            "80ms, storefront.GetOrderPage 20ms");
}

TEST_F(BlameTest, TheFirstFigureIsTheTimeThereWas) {
  const auto first = [this](int64_t took_us) {
    front_ = UnansweredCall("A/Get", 0, took_us);
    front_.set_time_left_us(200'000);
    const std::string text = BlameDeadline(front_);
    return text.substr(19, text.find(", of which") - 19);
  };
  EXPECT_EQ(first(200'000), "200ms");
  EXPECT_EQ(first(205'000), "200ms");
  EXPECT_EQ(first(180'000), "200ms");  // a hop kept a reserve
  EXPECT_EQ(first(53'000), "53ms (deadline 200ms)");
  EXPECT_EQ(first(400'000), "400ms (deadline 200ms)");
  front_.clear_time_left_us();
  EXPECT_EQ(BlameDeadline(front_),
            "deadline exceeded: 400ms, of which a.Get 400ms (did not answer)");
}

// The client has a second. Search gives its calls 80 ms and passes on that one
// of them took longer.
TEST_F(BlameTest, TheTimeoutThatAHopGaveItsCallsIsNamed) {
  v1::CallReport query = UnansweredCall("Index/Query", 2'000, 80'000);
  query.set_time_left_us(80'000);
  query.set_reason(v1::END_REASON_OWN_TIMEOUT);
  v1::CallReport search = AnsweredCall("Frontend/Search", 0, 83'000);
  search.set_outcome(4);
  search.set_time_left_us(1'000'000);
  search.mutable_report()->set_outcome(4);
  *search.mutable_report()->add_calls() = query;
  const std::string entries =
      ", of which index.Query 80ms (did not answer), frontend.Search 3ms";
  EXPECT_EQ(BlameDeadline(search),
            "deadline exceeded: 83ms (deadline 1s, frontend.Search allowed "
            "80ms)" +
                entries);
  search.clear_time_left_us();
  EXPECT_EQ(BlameDeadline(search),
            "deadline exceeded: 83ms (frontend.Search allowed 80ms)" + entries);

  // A hop in front passes it on, too.
  v1::CallReport gateway = AnsweredCall("Gateway/Get", 0, 84'000);
  gateway.set_outcome(4);
  gateway.mutable_report()->set_outcome(4);
  *gateway.mutable_report()->add_calls() = search;
  EXPECT_THAT(BlameDeadline(gateway),
              HasSubstr("84ms (frontend.Search allowed 80ms), of which "));

  // Controls: the deadline was not the hop's own; the call's own deadline
  // passed; the hop didn't pass it on.
  v1::CallReport other = search;
  other.mutable_report()->mutable_calls(0)->set_reason(
      v1::END_REASON_INHERITED_DEADLINE);
  EXPECT_EQ(BlameDeadline(other), "deadline exceeded: 83ms" + entries);
  other = search;
  other.set_time_left_us(85'000);
  EXPECT_EQ(BlameDeadline(other), "deadline exceeded: 85ms" + entries);
  other = search;
  other.mutable_report()->set_outcome(0);
  EXPECT_EQ(BlameDeadline(other), "deadline exceeded: 83ms" + entries);
}

// Three parallel calls end at about the same moment, in any order.
TEST_F(BlameTest, ACallThatHoldsHardlyAnyOfTheTimeIsNotCounted) {
  for (const int64_t later_us : {0, 100, 700}) {
    SCOPED_TRACE(later_us);
    front_.mutable_report()->clear_calls();
    AddCall(AnsweredCall("Index/Query", 2'000, 190'000));
    AddCall(AnsweredCall("Index/Query", 2'100, 190'000 + later_us));
    AddCall(AnsweredCall("Index/Query", 2'200, 190'000));
    EXPECT_THAT(Blame(), StartsWith("index.Query 19"));
    EXPECT_THAT(Blame(), Not(HasSubstr("calls")));
  }
  // Controls: a call that holds a part of the time, and one without an answer.
  front_.mutable_report()->clear_calls();
  AddCall(AnsweredCall("Index/Query", 2'000, 190'000));
  AddCall(AnsweredCall("Index/Query", 2'100, 195'000));
  EXPECT_THAT(Blame(), HasSubstr("index.Query 195ms, "));
  AddCall(AnsweredCall("Index/Query", 10'000, 188'000));
  AddCall(UnansweredCall("Index/Query", 2'100, 195'000));
  EXPECT_THAT(Blame(), HasSubstr("1 did not answer)"));
  front_.mutable_report()->clear_calls();
  AddCall(AnsweredCall("Index/Query", 2'000, 95'000));
  AddCall(AnsweredCall("Index/Query", 97'000, 95'000));
  EXPECT_THAT(Blame(), HasSubstr("index.Query 190ms (2 calls)"));
}

TEST_F(BlameTest, CallsWithLabelsAreEntriesOfTheirOwn) {
  for (const char* label : {"shard 0", "shard 1", "shard 2"}) {
    AddCall(AnsweredCall("Index/Query", 2'000, 100'000))->set_label(label);
  }
  v1::CallReport& slow = *front_.mutable_report()->mutable_calls(2);
  slow.set_duration_us(190'000);
  slow.mutable_report()->set_total_us(188'000);
  EXPECT_EQ(Blame(),
            "index.Query[shard 2] 188ms, storefront.GetOrderPage 10ms");
  slow.mutable_report()->set_total_us(10'000);
  EXPECT_THAT(Blame(), StartsWith("network to index[shard 2] 180ms, "));
  slow.clear_report();
  slow.set_answered(false);
  EXPECT_EQ(Blame(),
            "index.Query[shard 2] 190ms (did not answer), "
            "storefront.GetOrderPage 10ms");
}

TEST_F(BlameTest, ALabelIsHarmless) {
  AddCall(AnsweredCall("Index/Query", 0, 200'000))->set_label("a\n\x1b[0m");
  EXPECT_EQ(Blame(), "index.Query[a__[0m] 200ms");
}

TEST_F(BlameTest, ManyShortCallsAreAllCounted) {
  for (int i = 0; i < 150; ++i) {
    AddCall(AnsweredCall("Index/Query", i * 1'000, 1'000));
  }
  EXPECT_THAT(Blame(), HasSubstr("index.Query 150ms (150 calls)"));
}

TEST_F(BlameTest, TimesReadWell) {
  const auto time = [](int64_t us) {
    const std::string text = BlameDeadline(UnansweredCall("A/Get", 0, us));
    return text.substr(19, text.find(", of which") - 19);
  };
  EXPECT_EQ(time(0), "0ms");
  EXPECT_EQ(time(49), "0ms");
  EXPECT_EQ(time(400), "0.4ms");
  EXPECT_EQ(time(999), "1ms");
  EXPECT_EQ(time(9'400), "9ms");
  EXPECT_EQ(time(999'499), "999ms");
  EXPECT_EQ(time(999'500), "1s");
  EXPECT_EQ(time(1'234'567), "1.23s");
  EXPECT_EQ(time(60'000'000), "60s");
  EXPECT_EQ(time(3'600'000'000), "3600s");
}

TEST_F(BlameTest, NamesTheFirstFew) {
  for (int i = 0; i < 8; ++i) {
    AddCall(AnsweredCall(absl::StrCat("S", i, "/Get"), 20'000 * i,
                         20'000 - 100 * i));
  }
  EXPECT_THAT(Blame(), MatchesRegex("storefront.*, s3.Get 20ms, and 4 more"));
  BlameLimits limits;
  limits.max_entries = 0;
  EXPECT_EQ(BlameDeadline(front_, limits), "deadline exceeded: 200ms");
  limits.max_entries = 1;
  EXPECT_THAT(BlameDeadline(front_, limits),
              HasSubstr("Page 43ms, and 8 more"));
  limits.max_entries = 9;
  EXPECT_THAT(BlameDeadline(front_, limits), HasSubstr("s7.Get 19ms"));
  EXPECT_THAT(BlameDeadline(front_, limits), Not(HasSubstr("more")));
}

TEST_F(BlameTest, IsNeverTooLong) {
  for (int i = 0; i < 8; ++i) {
    AddCall(UnansweredCall(absl::StrCat(std::string(90, 'A'), i, "/Get"),
                           20'000 * i, 20'000));
  }
  EXPECT_THAT(Blame(), HasSubstr(" more"));
  for (size_t max_bytes = 30; max_bytes < 800; ++max_bytes) {
    BlameLimits limits;
    limits.max_entries = 9;
    limits.max_bytes = max_bytes;
    EXPECT_LE(BlameDeadline(front_, limits).size(), max_bytes);
  }
}

TEST_F(BlameTest, ServicesThatCallThemselvesAreOneEntry) {
  front_ = Chain(30);
  EXPECT_EQ(BlameDeadline(front_),
            "deadline exceeded: 60ms, of which hop.Go 60ms (30 calls)");
  front_ = Chain(300);
  // 64 hops deep, the last one has nearly all of the time.
  EXPECT_EQ(BlameDeadline(front_),
            "deadline exceeded: 600ms, of which hop.Go 600ms");
}

TEST_F(BlameTest, NothingIsNobodysFault) {
  EXPECT_EQ(BlameDeadline({}), "deadline exceeded: 0ms");
}

TEST_F(BlameTest, TheFiguresOfAnyTreeAddUpToNoMoreThanTheWhole) {
  for (int seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    v1::CallReport call;
    *call.mutable_report() = RandomReport(random, seed % 2 == 0);
    call.set_duration_us(seed % 7 == 0 ? std::numeric_limits<int64_t>::max()
                                       : 900'000);
    const std::string text = BlameDeadline(call);
    ASSERT_LE(text.size(), 256);
    for (const char c : text) ASSERT_TRUE(c >= 0x20 && c < 0x7f) << text;
    if (seed % 7 == 0) continue;

    // All figures are rounded to ms. Parallel calls do not count.
    BlameLimits all;
    all.max_entries = 1'000;
    all.max_bytes = 1'000'000;
    const std::string whole = BlameDeadline(call, all);
    const size_t start = whole.find(", of which ");
    if (start == std::string::npos) continue;
    double sum = 0;
    int figures = 0;
    for (size_t at = start; (at = whole.find("ms", at)) != std::string::npos;
         ++at) {
      const size_t space = whole.rfind(' ', at);
      const std::string figure = whole.substr(space + 1, at - space - 1);
      if (figure.find_first_not_of("0123456789.") != std::string::npos) {
        continue;  // a part of a name
      }
      if (whole.substr(at, 14) == "ms in parallel") continue;
      sum += std::stod(figure);
      ++figures;
    }
    EXPECT_LE(sum, 900 + 0.5 * figures) << whole;
  }
}

// Parses "12ms" or "1.23s" at `at`. Returns milliseconds.
double TimeAt(const std::string& text, size_t at) {
  size_t end = 0;
  const double time = std::stod(text.substr(at), &end);
  return text[at + end] == 's' ? 1000 * time : time;
}

TEST_F(BlameTest, NoPartOfAnyTreeIsLongerThanTheWhole) {
  int cut = 0;
  for (int seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    v1::CallReport call;
    call.set_service("shop.v1.Front");
    call.set_answered(seed % 5 != 0);
    if (seed % 3 != 0) {
      *call.mutable_report() = RandomReport(random, seed % 2 == 0);
    }
    const auto below = [&random](int64_t n) {
      return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
    };
    call.set_duration_us(200'000 + below(300'000));
    // Usually a little less than the call took, which ends shortly after its
    // deadline.
    if (seed % 4 != 0) {
      call.set_time_left_us(call.duration_us() + 20'000 - below(80'000));
      if (seed % 4 == 1) call.set_time_left_us(below(200'000));
    }
    BlameLimits all;
    all.max_entries = 1'000;
    all.max_bytes = 1'000'000;
    const std::string text = BlameDeadline(call, all);

    const std::string start = "deadline exceeded: ";
    double whole = TimeAt(text, start.size());
    const std::string deadline = " (deadline ";
    if (const size_t at = text.find(deadline); at != std::string::npos) {
      whole = std::min(whole, TimeAt(text, at + deadline.size()));
      ++cut;
    }
    size_t at = text.find(", of which ");
    while (at != std::string::npos) {
      const size_t next = text.find(", ", at + 1);
      const std::string part = text.substr(at, next - at);
      at = next;
      // "name 12ms", "name 12ms in parallel (3 calls". A note after a comma has
      // no time.
      for (size_t space = part.find(' '); space != std::string::npos;
           space = part.find(' ', space + 1)) {
        if (part[space + 1] < '0' || part[space + 1] > '9') continue;
        const size_t unit = part.find_first_not_of("0123456789.", space + 1);
        if (unit == std::string::npos) continue;
        if (part.substr(unit, 2) != "ms" && part[unit] != 's') continue;
        EXPECT_LE(TimeAt(part, space + 1), whole) << text;
      }
    }
  }
  EXPECT_GT(cut, 100);
}

}  // namespace
}  // namespace tether
