#include "tether/budget/report.h"

#include <google/protobuf/util/message_differencer.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tether/budget/testing/reports.h"

namespace tether {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::AnsweredCall;
using testing::Chain;
using testing::RandomReport;
using testing::ReportOf;
using testing::StuckInventory;
using testing::UnansweredCall;

constexpr ReportLimits kNoLimits = {1 << 30, 100, 1 << 20, 1 << 20};

v1::BudgetReport Hop(int64_t total_us) {
  return ReportOf(AnsweredCall("Orders/GetOrder", 0, total_us));
}

// What a reader makes of what was written. Fails if that is nothing.
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

bool IsRejected(const v1::BudgetReport& report) {
  return !ParseReport(report.SerializeAsString()).has_value();
}

int DepthOf(const v1::BudgetReport& hop) {
  int below = 0;
  for (const v1::CallReport& call : hop.calls()) {
    if (call.has_report()) below = std::max(below, DepthOf(call.report()));
  }
  return 1 + below;
}

int WidthOf(const v1::BudgetReport& hop) {
  int width = hop.calls_size();
  for (const v1::CallReport& call : hop.calls()) {
    width = std::max(width, WidthOf(call.report()));
  }
  return width;
}

// ---- There and back --------------------------------------------------------

TEST(ReportTest, ComesBackAsItWas) {
  v1::BudgetReport report = ReportOf(StuckInventory());
  report.set_previous_attempts(2);
  report.set_self_us(3'500);
  report.set_calls_left_out(1);
  v1::BudgetReport read = Sent(report);
  EXPECT_TRUE(MessageDifferencer::Equals(read, report))
      << read.DebugString() << report.DebugString();
}

TEST(ReportTest, NoDeadlineIsNotADeadlineOfZero) {
  v1::BudgetReport report = Hop(10);
  EXPECT_FALSE(Sent(report).has_time_left_us());
  report.set_time_left_us(0);
  EXPECT_TRUE(Sent(report).has_time_left_us());
}

TEST(ReportTest, AHopIsNamedOnlyOnce) {
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

TEST(ReportTest, CallsAreInTheOrderOfTheirStarts) {
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

TEST(ReportTest, WhoTellsSomethingHasAnswered) {
  v1::BudgetReport report = Hop(100);
  *report.add_calls() = AnsweredCall("Inventory/GetStock", 0, 50);
  report.mutable_calls(0)->set_answered(false);
  EXPECT_TRUE(Sent(report).calls(0).answered());
}

TEST(ReportTest, NothingIsNoReport) {
  EXPECT_EQ(EncodeReport({}), "");
  EXPECT_FALSE(ParseReport(""));
}

// ---- Writing: mended -------------------------------------------------------

TEST(ReportTest, TimesThatCannotBeAreClampedOnTheWayOut) {
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

TEST(ReportTest, NamesThatMayNotBeAreMendedOnTheWayOut) {
  v1::BudgetReport report = Hop(10);
  report.set_service(std::string("shop\0\n<b>\xff.\"é", 14));
  report.set_method(std::string(100, 'a') + std::string(100, 'b'));
  const v1::BudgetReport read = Sent(report);
  EXPECT_EQ(read.service(), "shop___b__.___");
  EXPECT_EQ(read.method(), std::string(28, 'a') + std::string(100, 'b'));
}

TEST(ReportTest, CodesThatGrpcDoesNotHaveAreUnknown) {
  for (const int code : {-1, 17, 1 << 30}) {
    v1::BudgetReport report = Hop(10);
    report.set_outcome(code);
    EXPECT_EQ(Sent(report).outcome(), 2) << code;
  }
  v1::BudgetReport report = Hop(10);
  report.set_outcome(16);
  EXPECT_EQ(Sent(report).outcome(), 16);
}

// ---- Writing: limited ------------------------------------------------------

TEST(ReportTest, WhatIsTooDeepIsLeftOutAndSaidSo) {
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

TEST(ReportTest, OfTooManyCallsTheLongestAndTheUnansweredStay) {
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

TEST(ReportTest, ACallMattersAsMuchAsTheOnesBelowIt) {
  ReportLimits limits;
  limits.max_calls = 1;
  v1::BudgetReport report = Hop(1'000);
  *report.add_calls() = AnsweredCall("Long/Long", 0, 400);
  *report.add_calls() = AnsweredCall("Blamed/Blamed", 400, 350);
  *report.mutable_calls(1)->mutable_report()->add_calls() =
      UnansweredCall("Stuck/Stuck", 10, 330);
  EXPECT_EQ(Sent(report, limits).calls(0).service(), "shop.v1.Blamed");
}

TEST(ReportTest, TheTimeOfCallsThatAreLeftOutIsNotTheHopsOwn) {
  ReportLimits limits;
  limits.max_calls = 1;
  v1::BudgetReport report = Hop(1'000);
  *report.add_calls() = AnsweredCall("A/A", 0, 600);
  *report.add_calls() = AnsweredCall("B/B", 600, 300);
  EXPECT_EQ(SelfTimeUs(report), 100);
  const v1::BudgetReport read = Sent(report, limits);
  EXPECT_EQ(read.calls_size(), 1);
  EXPECT_EQ(SelfTimeUs(read), 100);
  // Sent on once more, it stays so.
  EXPECT_EQ(SelfTimeUs(Sent(read, limits)), 100);
  limits.max_calls = 0;
  EXPECT_EQ(Sent(read, limits).calls_left_out(), 2);
  EXPECT_EQ(SelfTimeUs(Sent(read, limits)), 100);
}

TEST(ReportTest, WhatDoesNotFitIsLeftOutTheLeastFirst) {
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

TEST(ReportTest, InAChainTheDeepestGoFirst) {
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

TEST(ReportTest, OfCallsThatMatterTheSameTheDeepestGoFirst) {
  // An unanswered call at the end makes all of them matter as much as itself.
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

TEST(ReportTest, WhatCannotFitIsNotSent) {
  ReportLimits limits;
  for (limits.max_bytes = 0; limits.max_bytes < 200; ++limits.max_bytes) {
    const std::string bytes = EncodeReport(ReportOf(StuckInventory()), limits);
    EXPECT_LE(bytes.size(), limits.max_bytes);
    EXPECT_TRUE(bytes.empty() || ParseReport(bytes, limits));
  }
  EXPECT_EQ(EncodeReport(ReportOf(StuckInventory()), ReportLimits{40}), "");
  EXPECT_NE(EncodeReport(ReportOf(StuckInventory()), ReportLimits{100}), "");
}

TEST(ReportTest, SeventeenFullHopsFit) {
  // A chain as services have it, to the default depth and one more.
  v1::BudgetReport report = ReportOf(Chain(17));
  const v1::BudgetReport read = Sent(report);
  EXPECT_EQ(DepthOf(read), 16);
}

// ---- Reading: hostile ------------------------------------------------------

TEST(ReportTest, TenMegabytesAreNotLookedAt) {
  v1::BudgetReport report = Hop(10);
  for (int i = 0; i < 200'000; ++i) {
    *report.add_calls() = AnsweredCall("Inventory/GetStock", i, 1);
  }
  const std::string bytes = report.SerializeAsString();
  ASSERT_GT(bytes.size(), 8'000'000);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1'000; ++i) EXPECT_FALSE(ParseReport(bytes));
  // Looked at, they take a hundred milliseconds each.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(ReportTest, OneByteTooManyIsTooMany) {
  ReportLimits limits;
  const std::string bytes = EncodeReport(ReportOf(StuckInventory()));
  limits.max_bytes = bytes.size();
  EXPECT_TRUE(ParseReport(bytes, limits));
  limits.max_bytes = bytes.size() - 1;
  EXPECT_FALSE(ParseReport(bytes, limits));
}

TEST(ReportTest, OneHopTooDeepIsTooDeep) {
  ReportLimits limits;
  for (const int depth : {1, 2, 16}) {
    limits.max_depth = depth;
    v1::BudgetReport report = ReportOf(Chain(depth));
    EXPECT_TRUE(ParseReport(report.SerializeAsString(), limits)) << depth;
    report = ReportOf(Chain(depth + 1));
    EXPECT_FALSE(ParseReport(report.SerializeAsString(), limits)) << depth;
    report = ReportOf(Chain(depth));
    v1::BudgetReport* last = &report;
    while (last->calls_size() > 0) {
      last = last->mutable_calls(0)->mutable_report();
    }
    *last->add_calls() = UnansweredCall("Hop/Go", 0, 1);
    EXPECT_TRUE(ParseReport(report.SerializeAsString(), limits)) << depth;
  }
}

TEST(ReportTest, ABottomlessReportIsRejected) {
  // Groups, which need no lengths: 4 KB hold thousands of them. Then the same
  // with messages.
  EXPECT_FALSE(ParseReport(std::string(4'096, '\x0b')));
  std::string bytes;
  for (int i = 0; i < 1'000; ++i) {
    v1::BudgetReport outer;
    outer.GetReflection()->MutableUnknownFields(&outer)->AddLengthDelimited(
        i % 2 == 0 ? 10 : 9, bytes);
    bytes = outer.SerializeAsString();
  }
  ASSERT_LE(bytes.size(), 4'096);
  EXPECT_FALSE(ParseReport(bytes));
}

TEST(ReportTest, OneCallTooManyIsTooMany) {
  v1::BudgetReport report = Hop(10);
  for (int i = 0; i < 16; ++i)
    *report.add_calls() = UnansweredCall("A/B", 0, 1);
  EXPECT_FALSE(IsRejected(report));
  *report.add_calls() = UnansweredCall("A/B", 0, 1);
  EXPECT_TRUE(IsRejected(report));
  v1::BudgetReport outer = Hop(10);
  *outer.add_calls() = UnansweredCall("A/B", 0, 1);
  *outer.mutable_calls(0)->mutable_report() = report;
  EXPECT_TRUE(IsRejected(outer));
}

TEST(ReportTest, BytesThatAreNoReportAreRejected) {
  const std::string good = EncodeReport(ReportOf(StuckInventory()));
  for (size_t size = 0; size < good.size(); ++size) {
    // Cut between two fields it is a shorter report, and good.
    const auto read = ParseReport(good.substr(0, size));
    EXPECT_TRUE(!read || read->calls_size() == 0) << size;
  }
  for (const std::string bytes :
       {"\xff\xff\xff\xff", "GET / HTTP/1.1\r\n", "{\"service\": 1}",
        "\x0a\xff\xff\xff\xff\x0f", "\x00", "\x0c", "\x04\x04"}) {
    EXPECT_FALSE(ParseReport(bytes)) << bytes;
  }
}

// A field by its number, as another type than ours.
template <class Message>
void AddWrongType(int number, Message& message) {
  const auto type =
      Message::descriptor()->FindFieldByNumber(number)->cpp_type();
  auto& fields = *message.GetReflection()->MutableUnknownFields(&message);
  using Field = google::protobuf::FieldDescriptor;
  if (type == Field::CPPTYPE_STRING || type == Field::CPPTYPE_MESSAGE) {
    fields.AddVarint(number, 1);
  } else {
    fields.AddFixed64(number, 1);
  }
}

TEST(ReportTest, AFieldOfAnotherTypeIsRejected) {
  for (int number = 1; number <= 10; ++number) {
    v1::BudgetReport report = Hop(10);
    AddWrongType(number, report);
    EXPECT_TRUE(IsRejected(report)) << number;

    report = Hop(10);
    *report.add_calls() = UnansweredCall("A/B", 0, 1);
    EXPECT_FALSE(IsRejected(report)) << number;
    AddWrongType(number, *report.mutable_calls(0));
    EXPECT_TRUE(IsRejected(report)) << number;
  }
}

TEST(ReportTest, NegativeAndAbsurdNumbersAreRejected) {
  using Change = void (*)(v1::BudgetReport&, int64_t);
  const Change times[] = {
      [](v1::BudgetReport& r, int64_t t) { r.set_time_left_us(t); },
      [](v1::BudgetReport& r, int64_t t) { r.set_total_us(t); },
      [](v1::BudgetReport& r, int64_t t) { r.set_self_us(t); },
      [](v1::BudgetReport& r, int64_t t) {
        r.mutable_calls(0)->set_time_left_us(t);
      },
      [](v1::BudgetReport& r, int64_t t) {
        r.mutable_calls(0)->set_start_us(t);
      },
      [](v1::BudgetReport& r, int64_t t) {
        r.mutable_calls(0)->set_duration_us(t);
      },
      [](v1::BudgetReport& r, int64_t t) {
        r.mutable_calls(0)->mutable_report()->set_total_us(t);
      },
  };
  const Change counts[] = {
      [](v1::BudgetReport& r, int64_t n) {
        r.set_previous_attempts(static_cast<int>(n));
      },
      [](v1::BudgetReport& r, int64_t n) {
        r.set_calls_left_out(static_cast<int>(n));
      },
      [](v1::BudgetReport& r, int64_t n) {
        r.set_outcome(static_cast<int>(n));
      },
      [](v1::BudgetReport& r, int64_t n) {
        r.mutable_calls(0)->set_outcome(static_cast<int>(n));
      },
  };
  v1::BudgetReport good = Hop(10);
  *good.add_calls() = UnansweredCall("A/B", 0, 1);
  const auto is_rejected = [&good](Change change, int64_t number) {
    v1::BudgetReport report = good;
    change(report, number);
    return IsRejected(report);
  };
  for (const Change change : times) {
    EXPECT_FALSE(is_rejected(change, kMaxReportTimeUs));
    EXPECT_TRUE(is_rejected(change, kMaxReportTimeUs + 1));
    EXPECT_TRUE(is_rejected(change, std::numeric_limits<int64_t>::max()));
    EXPECT_TRUE(is_rejected(change, -1));
    EXPECT_TRUE(is_rejected(change, std::numeric_limits<int64_t>::min()));
  }
  for (const Change change : counts) {
    EXPECT_FALSE(is_rejected(change, 16));
    EXPECT_TRUE(is_rejected(change, -1));
    EXPECT_TRUE(is_rejected(change, 2'000'000));
  }
  EXPECT_TRUE(is_rejected(counts[2], 17));
  EXPECT_TRUE(is_rejected(counts[3], 17));
}

TEST(ReportTest, NamesInOtherCharactersAreRejected) {
  const std::string bad[] = {
      std::string("\0", 1), "a\nb",     "a b",      "\x1b[31m", "\x7f",
      "caf\xc3\xa9",        "\xff\xfe", "<script>", "a\"b",     "a&b",
      std::string(129, 'a')};
  for (const std::string& name : bad) {
    v1::BudgetReport report = Hop(10);
    report.set_service(name);
    EXPECT_TRUE(IsRejected(report)) << name;
    report = Hop(10);
    report.set_method(name);
    EXPECT_TRUE(IsRejected(report)) << name;
    report = Hop(10);
    *report.add_calls() = UnansweredCall("A/B", 0, 1);
    EXPECT_FALSE(IsRejected(report));
    report.mutable_calls(0)->set_method(name);
    EXPECT_TRUE(IsRejected(report)) << name;
    report.mutable_calls(0)->set_method("");
    report.mutable_calls(0)->mutable_report()->set_service(name);
    EXPECT_TRUE(IsRejected(report)) << name;
  }
  v1::BudgetReport report = Hop(10);
  report.set_service(std::string(128, 'a'));
  report.set_method("a-B_9./");
  EXPECT_FALSE(IsRejected(report));
}

TEST(ReportTest, ANewerPeerIsUnderstoodAsFarAsItCanBe) {
  v1::BudgetReport report = Hop(10);
  *report.add_calls() = AnsweredCall("A/B", 0, 1);
  report.set_reason(static_cast<v1::EndReason>(99));
  v1::BudgetReport newer = report;
  google::protobuf::Message* const messages[] = {
      &newer, newer.mutable_calls(0), newer.mutable_calls(0)->mutable_report()};
  for (google::protobuf::Message* message : messages) {
    auto& fields = *message->GetReflection()->MutableUnknownFields(message);
    fields.AddLengthDelimited(1000, "news");
    fields.AddGroup(1001)->AddVarint(1, 2);
  }
  const auto read = ParseReport(newer.SerializeAsString());
  ASSERT_TRUE(read);
  // And not sent on.
  EXPECT_TRUE(MessageDifferencer::Equals(*read, report));
  EXPECT_EQ(EncodeReport(newer), EncodeReport(report));
}

TEST(ReportTest, TimesThatDoNotFitIntoOneAnotherAreClamped) {
  v1::BudgetReport report = Hop(100);
  report.set_self_us(101);
  *report.add_calls() = AnsweredCall("A/A", 20, 90);   // ends after its hop
  *report.add_calls() = AnsweredCall("B/B", 200, 50);  // begins after its end
  *report.add_calls() = AnsweredCall("C/C", 0, 30);
  report.mutable_calls(2)->mutable_report()->set_total_us(60);  // outlasts it
  const auto read = ParseReport(report.SerializeAsString());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->self_us(), 100);
  EXPECT_EQ(read->calls(0).start_us(), 20);
  EXPECT_EQ(read->calls(0).duration_us(), 80);
  EXPECT_EQ(read->calls(1).start_us(), 100);
  EXPECT_EQ(read->calls(1).duration_us(), 0);
  EXPECT_EQ(read->calls(2).report().total_us(), 30);
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

// ---- Any report ------------------------------------------------------------

TEST(ReportPropertyTest, WhateverIsWrittenKeepsTheLimitsAndCanBeRead) {
  for (int seed = 0; seed < 1'000; ++seed) {
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    SCOPED_TRACE(seed);
    ReportLimits limits;
    if (seed % 2 == 0) {
      limits.max_bytes = 30 + random() % 1'000;
      limits.max_depth = 1 + static_cast<int>(random() % 10);
      limits.max_calls = static_cast<int>(random() % 10);
      limits.max_name_bytes = random() % 40;
    }
    const v1::BudgetReport report = RandomReport(random, seed % 4 != 1);
    const std::string bytes = EncodeReport(report, limits);
    ASSERT_LE(bytes.size(), limits.max_bytes);
    if (bytes.empty()) continue;
    const auto read = ParseReport(bytes, limits);
    ASSERT_TRUE(read) << report.ShortDebugString();
    ASSERT_LE(DepthOf(*read), limits.max_depth);
    ASSERT_LE(WidthOf(*read), limits.max_calls);
    // What was written is as it should be: reading and writing change no more.
    ASSERT_EQ(read->SerializeAsString(), bytes);
    ASSERT_EQ(EncodeReport(*read, limits), bytes);
    ASSERT_LE(SelfTimeUs(*read), read->total_us());
  }
}

TEST(ReportPropertyTest, WithoutLimitsNothingIsLost) {
  for (int seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    SCOPED_TRACE(seed);
    const v1::BudgetReport report = RandomReport(random, false);
    const v1::BudgetReport read = Sent(report, kNoLimits);
    ASSERT_EQ(DepthOf(read), DepthOf(report));
    ASSERT_EQ(WidthOf(read), WidthOf(report));
    ASSERT_EQ(SelfTimeUs(read), SelfTimeUs(report));
  }
}

TEST(ReportPropertyTest, BrokenBytesAreRejectedOrGood) {
  int rejected = 0;
  int good = 0;
  for (int seed = 0; seed < 2'000; ++seed) {
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    SCOPED_TRACE(seed);
    std::string bytes = EncodeReport(RandomReport(random, false));
    if (bytes.empty()) continue;
    bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto read = ParseReport(bytes);
    if (!read) {
      ++rejected;
      continue;
    }
    ++good;
    const std::string again = EncodeReport(*read);
    ASSERT_TRUE(again.empty() || ParseReport(again));
  }
  EXPECT_GT(rejected, 100);
  EXPECT_GT(good, 100);
}

}  // namespace
}  // namespace tether
