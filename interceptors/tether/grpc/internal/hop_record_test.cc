// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/hop_record.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "tether/budget/report.h"
#include "tether/internal/nanos.h"

namespace tether::internal {
namespace {

constexpr char kMethod[] = "/shop.v1.Orders/GetOrder";
constexpr int64_t kArrival = 1'000'000;

// The tests count time from the request's arrival.
class HopRecordTest : public ::testing::Test {
 protected:
  uint64_t Begin(int64_t at_us) {
    return record_.BeginCall(kMethod, kArrival + at_us, kNever);
  }
  void End(uint64_t id, int64_t at_us, int32_t outcome = 0) {
    v1::CallReport call;
    call.set_answered(true);
    call.set_outcome(outcome);
    record_.EndCall(id, kArrival + at_us, std::move(call));
  }
  v1::BudgetReport ReportAt(int64_t at_us) {
    v1::BudgetReport report;
    record_.Fill(kArrival + at_us, report);
    return report;
  }

  HopRecord record_{kArrival};
};

TEST_F(HopRecordTest, ALabelStaysWithItsCallFromTheBegin) {
  const uint64_t id = record_.BeginCall(kMethod, kArrival, kNever, "shard 2");
  EXPECT_EQ(ReportAt(100).calls(0).label(), "shard 2");
  End(id, 200);
  EXPECT_EQ(ReportAt(300).calls(0).label(), "shard 2");
}

TEST_F(HopRecordTest, AHopWithoutCallsIsAllItsOwn) {
  const v1::BudgetReport report = ReportAt(500);
  EXPECT_EQ(report.total_us(), 500);
  EXPECT_EQ(report.calls_size(), 0);
  EXPECT_FALSE(report.has_self_us());
  EXPECT_EQ(SelfTimeUs(report), 500);
}

TEST_F(HopRecordTest, KeepsWhatTheCallerKnowsAndAddsTheTimes) {
  const uint64_t id = record_.BeginCall(kMethod, kArrival + 100, 7'000'000);
  v1::CallReport call;
  call.set_service("other");
  call.set_start_us(5);
  call.set_duration_us(6);
  call.set_time_left_us(1);
  call.set_answered(true);
  call.set_outcome(5);
  call.mutable_report()->set_total_us(50);
  record_.EndCall(id, kArrival + 300, call);
  const v1::BudgetReport report = ReportAt(1000);
  ASSERT_EQ(report.calls_size(), 1);
  const v1::CallReport& kept = report.calls(0);
  EXPECT_EQ(kept.service(), "shop.v1.Orders");
  EXPECT_EQ(kept.method(), "GetOrder");
  EXPECT_EQ(kept.start_us(), 100);
  EXPECT_EQ(kept.duration_us(), 200);
  EXPECT_EQ(kept.time_left_us(), 7000);
  EXPECT_EQ(kept.outcome(), 5);
  EXPECT_TRUE(kept.answered());
  EXPECT_EQ(kept.report().total_us(), 50);
  EXPECT_EQ(SelfTimeUs(report), 800);
}

TEST_F(HopRecordTest, AGoodCallIsAnsweredAndCompleted) {
  const uint64_t id = record_.BeginCall("no slash", kArrival + 100, 7'000'000);
  record_.EndGoodCall(id, kArrival + 300);
  const v1::BudgetReport report = ReportAt(1000);
  ASSERT_EQ(report.calls_size(), 1);
  const v1::CallReport& kept = report.calls(0);
  EXPECT_EQ(kept.service(), "no slash");
  EXPECT_EQ(kept.method(), "");
  EXPECT_EQ(kept.start_us(), 100);
  EXPECT_EQ(kept.duration_us(), 200);
  EXPECT_EQ(kept.time_left_us(), 7000);
  EXPECT_TRUE(kept.answered());
  EXPECT_EQ(kept.outcome(), 0);
  EXPECT_EQ(kept.reason(), v1::END_REASON_COMPLETED);
  EXPECT_FALSE(kept.has_report());
}

TEST_F(HopRecordTest, ControlACallUnderWayIsNot) {
  Begin(100);
  const v1::BudgetReport report = ReportAt(1000);
  ASSERT_EQ(report.calls_size(), 1);
  EXPECT_FALSE(report.calls(0).answered());
  EXPECT_EQ(report.calls(0).reason(), v1::END_REASON_UNSPECIFIED);
  EXPECT_FALSE(report.calls(0).has_time_left_us());
}

TEST_F(HopRecordTest, ACallUnderWayCountsUpToNow) {
  Begin(100);
  const v1::BudgetReport report = ReportAt(1000);
  ASSERT_EQ(report.calls_size(), 1);
  EXPECT_EQ(report.calls(0).duration_us(), 900);
  EXPECT_FALSE(report.calls(0).answered());
  EXPECT_EQ(SelfTimeUs(report), 100);
}

// Another thread may have read the clock earlier.
TEST_F(HopRecordTest, NoTimeIsNegative) {
  const uint64_t id = record_.BeginCall(kMethod, 0, -5000);
  End(id, -10);
  const v1::BudgetReport report = ReportAt(-20);
  EXPECT_EQ(report.total_us(), 0);
  EXPECT_EQ(report.calls(0).start_us(), 0);
  EXPECT_EQ(report.calls(0).duration_us(), 0);
  EXPECT_EQ(report.calls(0).time_left_us(), 0);
}

TEST_F(HopRecordTest, OnlyTheFirstEndCounts) {
  const uint64_t id = Begin(0);
  End(id, 10, 1);
  End(id, 20, 2);
  EXPECT_EQ(ReportAt(30).calls(0).outcome(), 1);
  EXPECT_EQ(ReportAt(30).calls(0).duration_us(), 10);
}

TEST_F(HopRecordTest, OfManyCallsTheLongestStay) {
  for (int i = 0; i < 1000; ++i) {
    const int64_t start = i * 100;
    End(Begin(start), start + (i == 7 ? 90 : i == 500 ? 80 : 1), i);
  }
  const v1::BudgetReport report = ReportAt(100'000);
  EXPECT_EQ(report.calls_size(), 64);
  EXPECT_EQ(report.calls_left_out(), 1000 - 64);
  EXPECT_EQ(report.calls(0).outcome(), 7);
  EXPECT_EQ(report.calls(1).outcome(), 500);
  EXPECT_EQ(SelfTimeUs(report), 100'000 - 998 - 90 - 80);
}

// A hundred calls start together. The one that hangs is among the first.
TEST_F(HopRecordTest, ACallUnderWayIsNotForgottenForNewOnes) {
  std::vector<uint64_t> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(Begin(i));
  for (size_t i = 1; i < ids.size(); ++i) End(ids[i], 200);
  const v1::BudgetReport report = ReportAt(10'000);
  EXPECT_EQ(report.calls_size(), 64);
  EXPECT_EQ(report.calls_left_out(), 36);
  EXPECT_EQ(report.calls(0).start_us(), 0);
  EXPECT_FALSE(report.calls(0).answered());
  EXPECT_EQ(report.calls(0).duration_us(), 10'000);
  // When other calls have ended, there is room again.
  Begin(300);
  EXPECT_EQ(ReportAt(10'000).calls(63).start_us(), 300);
}

// Calls that are left out may have overlapped, so the sum of their times
// doesn't show how much time the hop had for itself.
TEST_F(HopRecordTest, CallsThatAreLeftOutDoNotTakeTheHopsOwnTime) {
  for (int round = 0; round < 20; ++round) {
    std::vector<uint64_t> ids;
    for (int i = 0; i < 10; ++i) ids.push_back(Begin(round * 100));
    for (const uint64_t id : ids) End(id, round * 100 + 100);
  }
  const v1::BudgetReport report = ReportAt(10'000);
  EXPECT_EQ(report.calls_left_out(), 200 - 64);
  EXPECT_EQ(SelfTimeUs(report), 8000);
}

TEST_F(HopRecordTest, CallsThatAreLeftOutAndUnderWayCountToo) {
  std::vector<uint64_t> ids;
  for (int i = 0; i < 70; ++i) ids.push_back(Begin(100));
  for (size_t i = 0; i < 64; ++i) End(ids[i], 150);
  EXPECT_EQ(ReportAt(500).calls_left_out(), 6);
  EXPECT_EQ(SelfTimeUs(ReportAt(500)), 100);
  for (size_t i = 64; i < 70; ++i) End(ids[i], 1000);
  EXPECT_EQ(SelfTimeUs(ReportAt(3000)), 2100);
}

TEST_F(HopRecordTest, ThreadsMayCallAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 500; ++i) {
        const uint64_t id = Begin(i);
        if (i % 50 == 0) ReportAt(1000);
        End(id, i + 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const v1::BudgetReport report = ReportAt(1000);
  EXPECT_EQ(report.calls_size() + report.calls_left_out(), 2000);
}

}  // namespace
}  // namespace tether::internal
