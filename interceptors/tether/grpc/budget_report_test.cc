// SPDX-License-Identifier: Apache-2.0
//
// Budget reports over real connections: when a server sends one, and what its
// caller does with it.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/budget/explain.h"
#include "tether/budget/report.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/front_and_leaf.h"
#include "tether/grpc/testing/probe_server.h"

namespace tether {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::Ping;
using testing::Pong;
using ::testing::SizeIs;
using ::testing::StartsWith;

using When = ReportOptions::When;

class BudgetReportTest : public testing::FrontAndLeaf {
 protected:
  void StartReporting(When when, const ClientOptions& client = {}) {
    Options options = Reporting(when);
    options.to_front = options.to_leaf = client;
    Start(std::move(options));
  }
};

TEST_F(BudgetReportTest, TellsOfEachHop) {
  StartReporting(When::kAlways);
  const auto [status, report] = Call(absl::Seconds(20));
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(report.service(), "tether.testing.Probe");
  EXPECT_EQ(report.method(), "Unary");
  EXPECT_TRUE(report.answered());
  EXPECT_EQ(report.reason(), v1::END_REASON_COMPLETED);
  EXPECT_GT(report.time_left_us(), 19'000'000);
  ASSERT_TRUE(report.has_report());
  const v1::BudgetReport& front = report.report();
  EXPECT_EQ(front.outcome(), 0);
  EXPECT_EQ(front.reason(), v1::END_REASON_COMPLETED);
  EXPECT_LE(front.total_us(), report.duration_us());
  EXPECT_LT(front.time_left_us(), report.time_left_us());
  ASSERT_THAT(front.calls(), SizeIs(1));
  const v1::CallReport& call = front.calls(0);
  EXPECT_EQ(call.method(), "Unary");
  EXPECT_TRUE(call.answered());
  EXPECT_LE(call.start_us() + call.duration_us(), front.total_us());
  EXPECT_LT(call.time_left_us(), front.time_left_us());
  ASSERT_TRUE(call.has_report());
  EXPECT_THAT(call.report().calls(), SizeIs(0));
  EXPECT_LE(call.report().total_us(), call.duration_us());
}

TEST_F(BudgetReportTest, AQuickCallThatWentWellHasNothingToTell) {
  StartReporting(When::kWhenItMatters);
  const auto [status, report] = Call(absl::Seconds(20));
  ASSERT_TRUE(status.ok());
  EXPECT_FALSE(report.has_report());
  // The client's own observations are there.
  EXPECT_EQ(report.method(), "Unary");
  EXPECT_GT(report.duration_us(), 0);
  EXPECT_TRUE(report.answered());
}

TEST_F(BudgetReportTest, WhatTookATenthOfItsTimeMatters) {
  at_leaf_ = [](grpc::ServerContext&) {
    absl::SleepFor(absl::Milliseconds(300));
    return grpc::Status::OK;
  };
  StartReporting(When::kWhenItMatters);
  const auto [status, report] = Call(absl::Seconds(2));
  ASSERT_TRUE(status.ok());
  ASSERT_TRUE(report.has_report());
  ASSERT_THAT(report.report().calls(), SizeIs(1));
  EXPECT_GE(report.report().calls(0).report().total_us(), 300'000);
}

TEST_F(BudgetReportTest, AnErrorMatters) {
  at_leaf_ = [](grpc::ServerContext&) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such thing");
  };
  StartReporting(When::kWhenItMatters);
  const auto [status, report] = Call(absl::Seconds(20));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no such thing");
  ASSERT_TRUE(report.has_report());
  EXPECT_EQ(report.report().outcome(), 5);
  EXPECT_EQ(report.report().calls(0).report().outcome(), 5);
}

TEST_F(BudgetReportTest, OffByOption) {
  at_leaf_ = [](grpc::ServerContext&) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "");
  };
  StartReporting(When::kNever);
  const auto [status, report] = Call(absl::Seconds(20));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_FALSE(report.has_report());
}

// The leaf waits for the end of its context, so it answers within the reserves
// of the hops before it. Its share of the time reaches the client.
TEST_F(BudgetReportTest, ASlowLeafIsNamedByTheClient) {
  at_leaf_ = [](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    ctx.Wait();
    return StatusOf(ctx);
  };
  // Reserves that suffice on a loaded machine: one second, and a quarter of the
  // front's three.
  ClientOptions options;
  options.reserve = Reserve::Fixed(absl::Seconds(1));
  StartReporting(When::kWhenItMatters, options);
  const auto [status, report] = Call(absl::Seconds(4));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(),
              StartsWith("context deadline exceeded: "));
  ASSERT_TRUE(report.has_report()) << status.error_message();
  EXPECT_EQ(report.report().reason(), v1::END_REASON_COMPLETED)
      << "the front still had its reserve";
  ASSERT_THAT(report.report().calls(), SizeIs(1));
  const v1::BudgetReport& leaf = report.report().calls(0).report();
  EXPECT_EQ(leaf.reason(), v1::END_REASON_INHERITED_DEADLINE);
  EXPECT_GT(SelfTimeUs(leaf), SelfTimeUs(report.report()));
}

// The leaf never observes its context, and answers long after its callers have
// left.
TEST_F(BudgetReportTest, ALeafThatNeverAnswersIsNamedByItsCaller) {
  absl::Time until = absl::Now();
  at_leaf_ = [&](grpc::ServerContext&) {
    absl::SleepFor(until - absl::Now());
    return grpc::Status::OK;
  };
  // The front has a reserve that suffices on a loaded machine. The leaf has the
  // default: with a longer one, its server would answer for it (answer_grace).
  Options options = Reporting(When::kWhenItMatters);
  options.to_front->reserve = LongReserve();
  Start(std::move(options));
  until = absl::Now() + absl::Milliseconds(2500);
  const auto [status, report] = Call(absl::Seconds(2));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("did not answer)"));
  ASSERT_TRUE(report.has_report()) << status.error_message();
  ASSERT_THAT(report.report().calls(), SizeIs(1));
  EXPECT_FALSE(report.report().calls(0).answered());
}

TEST_F(BudgetReportTest, ParallelCallsAreToldFromCallsInARow) {
  at_leaf_ = [](grpc::ServerContext&) {
    absl::SleepFor(absl::Milliseconds(100));
    return grpc::Status::OK;
  };
  bool parallel = false;
  at_front_ = [&](grpc::ServerContext& sc) {
    std::thread other;
    if (parallel) {
      other = std::thread([&] { CallLeaf(ContextOf(sc)); });
    } else {
      CallLeaf(ContextOf(sc));
    }
    CallLeaf(ContextOf(sc));
    if (other.joinable()) other.join();
    return grpc::Status::OK;
  };
  StartReporting(When::kAlways);
  for (bool both : {false, true}) {
    parallel = both;
    const auto [status, report] = Call(absl::Seconds(20));
    ASSERT_TRUE(status.ok());
    ASSERT_THAT(report.report().calls(), SizeIs(2));
    const v1::CallReport& first = report.report().calls(0);
    const v1::CallReport& second = report.report().calls(1);
    EXPECT_EQ(second.start_us() < first.start_us() + first.duration_us(), both);
  }
}

TEST_F(BudgetReportTest, ACallThatStillRunsIsToldOf) {
  std::thread straggler;
  at_leaf_ = [](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    ctx.Wait();
    return StatusOf(ctx);
  };
  at_front_ = [&](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    straggler = std::thread([this, ctx] {
      ClientCall call(ctx);
      Pong pong;
      to_leaf_->Unary(&call, Ping(), &pong);
    });
    absl::SleepFor(absl::Milliseconds(200));
    return grpc::Status::OK;
  };
  StartReporting(When::kAlways);
  const auto [status, report] = Call(absl::Seconds(20));
  straggler.join();
  ASSERT_TRUE(status.ok());
  ASSERT_THAT(report.report().calls(), SizeIs(1));
  EXPECT_FALSE(report.report().calls(0).answered());
}

TEST_F(BudgetReportTest, ManyCallsAreCountedNotKept) {
  at_front_ = [&](grpc::ServerContext& sc) {
    for (int i = 0; i < 100; ++i) CallLeaf(ContextOf(sc));
    return grpc::Status::OK;
  };
  StartReporting(When::kAlways);
  const auto [status, report] = Call(absl::Seconds(20));
  ASSERT_TRUE(status.ok());
  ASSERT_TRUE(report.has_report());
  EXPECT_LE(report.report().calls_size(), ReportLimits().max_calls);
  EXPECT_EQ(report.report().calls_size() + report.report().calls_left_out(),
            100);
  EXPECT_LE(SelfTimeUs(report.report()), report.report().total_us() / 2);
}

// gRPC accepts 8 KiB of metadata, and the application's own comes first.
TEST_F(BudgetReportTest, LeavesTheApplicationsOwnMetadataItsRoom) {
  at_front_ = [&](grpc::ServerContext& sc) {
    for (int i = 0; i < 16; ++i) CallLeaf(ContextOf(sc));
    sc.AddTrailingMetadata("x-large", std::string(7000, 'x'));
    return grpc::Status::OK;
  };
  StartReporting(When::kAlways);
  const auto [status, report] = Call(absl::Seconds(20));
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(BudgetReportTest, AHostileReportIsCountedAndFailsNothing) {
  StartReporting(When::kNever);
  const std::vector<std::string> reports = {
      "", "\xff\xff\xff", std::string(5000, '\x0a'), "plain text",
      // total_us: -1
      std::string("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11)};
  for (const std::string& bytes : reports) {
    at_front_ = [&](grpc::ServerContext& sc) {
      sc.AddTrailingMetadata("tether-report-bin", bytes);
      return grpc::Status(grpc::StatusCode::DATA_LOSS, "really");
    };
    const int64_t dropped = GetGrpcStats().bad_reports;
    const auto [status, report] = Call(absl::Seconds(20));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
    EXPECT_EQ(status.error_message(), "really");
    EXPECT_FALSE(report.has_report());
    EXPECT_EQ(GetGrpcStats().bad_reports, dropped + 1) << bytes.size();
  }
}

TEST_F(BudgetReportTest, ARepeatedReportIsAsGoodAsNone) {
  StartReporting(When::kNever);
  v1::BudgetReport report;
  report.set_total_us(1);
  const std::string bytes = EncodeReport(report);
  report.set_total_us(2);
  const std::string other = EncodeReport(report);
  std::string second = bytes;
  at_front_ = [&](grpc::ServerContext& sc) {
    sc.AddTrailingMetadata("tether-report-bin", bytes);
    sc.AddTrailingMetadata("tether-report-bin", second);
    return grpc::Status::OK;
  };
  const int64_t dropped = GetGrpcStats().bad_reports;
  EXPECT_TRUE(Call(absl::Seconds(20)).second.has_report());  // equal copies
  EXPECT_EQ(GetGrpcStats().bad_reports, dropped);
  second = other;
  EXPECT_FALSE(Call(absl::Seconds(20)).second.has_report());
  EXPECT_EQ(GetGrpcStats().bad_reports, dropped + 1);
}

TEST_F(BudgetReportTest, ExplainShowsAllHops) {
  StartReporting(When::kAlways);
  const auto [status, report] = Call(absl::Seconds(20));
  ASSERT_TRUE(status.ok());
  const std::string text = Explain(report);
  EXPECT_THAT(text, HasSubstr("\n  probe.Unary")) << text;
}

// What ended the request, as the handler's context shows it.
class EndReasonAtServerTest : public BudgetReportTest {
 protected:
  EndReason ReasonAtLeaf(const std::function<void(ClientCall&)>& during,
                         absl::Duration timeout) {
    EndReason seen = EndReason::kNone;
    at_front_ = [&](grpc::ServerContext& sc) {
      const Context ctx = ContextOf(sc);
      ctx.WaitFor(absl::Seconds(20));
      seen = EndReasonOf(ctx);
      return StatusOf(ctx);
    };
    StartReporting(When::kNever);
    auto [ctx, cancel] = WithTimeout(Background(), timeout);
    ClientCall call(ctx);
    std::thread other([&] { during(call); });
    Pong pong;
    to_front_->Unary(&call, Ping(), &pong);
    other.join();
    Stop();  // when its handler has returned
    return seen;
  }
};

TEST_F(EndReasonAtServerTest, TheCallersDeadline) {
  EXPECT_EQ(ReasonAtLeaf([](ClientCall&) {}, absl::Milliseconds(100)),
            EndReason::kInheritedDeadline);
}

TEST_F(EndReasonAtServerTest, TheCallerLeft) {
  EXPECT_EQ(ReasonAtLeaf(
                [](ClientCall& call) {
                  absl::SleepFor(absl::Milliseconds(100));
                  call.TryCancel();
                },
                absl::Seconds(60)),
            EndReason::kCallerLeft);
}

}  // namespace
}  // namespace tether
