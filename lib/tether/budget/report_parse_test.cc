// SPDX-License-Identifier: Apache-2.0
//
// Tests ParseReport: which of a peer's reports are accepted.

#include <google/protobuf/util/message_differencer.h>

#include <chrono>
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
using testing::ReportOf;
using testing::StuckInventory;
using testing::UnansweredCall;

v1::BudgetReport Hop(int64_t total_us) {
  return ReportOf(AnsweredCall("Orders/GetOrder", 0, total_us));
}

bool IsRejected(const v1::BudgetReport& report) {
  return !ParseReport(report.SerializeAsString()).has_value();
}

TEST(ParseReportTest, TenMegabytesAreNotLookedAt) {
  v1::BudgetReport report = Hop(10);
  for (int i = 0; i < 200'000; ++i) {
    *report.add_calls() = AnsweredCall("Inventory/GetStock", i, 1);
  }
  const std::string bytes = report.SerializeAsString();
  ASSERT_GT(bytes.size(), 8'000'000);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1'000; ++i) EXPECT_FALSE(ParseReport(bytes));
  // Parsing each would take a hundred milliseconds.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(ParseReportTest, OneByteTooManyIsTooMany) {
  ReportLimits limits;
  const std::string bytes = EncodeReport(ReportOf(StuckInventory()));
  limits.max_bytes = bytes.size();
  EXPECT_TRUE(ParseReport(bytes, limits));
  limits.max_bytes = bytes.size() - 1;
  EXPECT_FALSE(ParseReport(bytes, limits));
}

TEST(ParseReportTest, OneHopTooDeepIsTooDeep) {
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

TEST(ParseReportTest, ABottomlessReportIsRejected) {
  // Groups have no length prefix, so 4 KB hold thousands of them. Then the same
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

TEST(ParseReportTest, OneCallTooManyIsTooMany) {
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

TEST(ParseReportTest, BytesThatAreNoReportAreRejected) {
  const std::string good = EncodeReport(ReportOf(StuckInventory()));
  for (size_t size = 0; size < good.size(); ++size) {
    // A cut between two fields leaves a shorter, valid report.
    const auto read = ParseReport(good.substr(0, size));
    EXPECT_TRUE(!read || read->calls_size() == 0) << size;
  }
  for (const std::string bytes :
       {"\xff\xff\xff\xff", "GET / HTTP/1.1\r\n", "{\"service\": 1}",
        "\x0a\xff\xff\xff\xff\x0f", "\x00", "\x0c", "\x04\x04"}) {
    EXPECT_FALSE(ParseReport(bytes)) << bytes;
  }
}

// Adds a field with the number of one of ours, but with another type.
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

TEST(ParseReportTest, AFieldOfAnotherTypeIsRejected) {
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

TEST(ParseReportTest, NegativeAndAbsurdNumbersAreRejected) {
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

TEST(ParseReportTest, NamesInOtherCharactersAreRejected) {
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

TEST(ParseReportTest, LabelsAndAddressesInOtherCharactersAreRejected) {
  const auto is_valid = [](const std::string& text) {
    v1::BudgetReport with_label = ReportOf(StuckInventory());
    with_label.mutable_calls(0)->set_label(text);
    v1::BudgetReport with_address = ReportOf(StuckInventory());
    with_address.mutable_calls(0)
        ->mutable_report()
        ->mutable_calls(0)
        ->set_address(text);
    const bool valid = ParseReport(with_label.SerializeAsString()).has_value();
    EXPECT_EQ(ParseReport(with_address.SerializeAsString()).has_value(), valid);
    return valid;
  };
  for (const char* text : {"", "shard 2", "[fd00::7%eth0]:50051",
                           "unix:/run/index", "k=v #3 +@"}) {
    EXPECT_TRUE(is_valid(text)) << text;
  }
  EXPECT_TRUE(is_valid(std::string(64, 'a')));
  EXPECT_FALSE(is_valid(std::string(65, 'a')));
  for (const char* text :
       {"a\nb", "\x1b[31m", "<b>", "a,b", "(a)", "\"", "\xc3\xa9", "\x7f"}) {
    EXPECT_FALSE(is_valid(text)) << text;
  }
}

TEST(ParseReportTest, ANewerPeerIsUnderstoodAsFarAsItCanBe) {
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
  // Unknown fields are not forwarded.
  EXPECT_TRUE(MessageDifferencer::Equals(*read, report));
  EXPECT_EQ(EncodeReport(newer), EncodeReport(report));
}

TEST(ParseReportTest, TimesThatDoNotFitIntoOneAnotherAreClamped) {
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

}  // namespace
}  // namespace tether
