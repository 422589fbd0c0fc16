// SPDX-License-Identifier: Apache-2.0
//
// Labels and addresses tell calls to one method apart, in messages and in
// reports. They don't leave through an edge.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tether/budget/explain.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/front_and_leaf.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using ::testing::HasSubstr;
using testing::kGiveUp;
using ::testing::Not;
using testing::Ping;
using testing::Pong;

CallOptions Labelled(std::string label) {
  CallOptions options;
  options.label = std::move(label);
  return options;
}

// The front calls three shards. The first two answer at once, and the last one
// when its time is up. (One server plays all three.)
class CallLabelTest : public testing::FrontAndLeaf {
 protected:
  CallLabelTest() {
    at_leaf_ = [](grpc::ServerContext& sc) {
      if (sc.client_metadata().count("slow") == 0) return grpc::Status::OK;
      const Context ctx = ContextOf(sc);
      ctx.WaitFor(kGiveUp);
      return StatusOf(ctx);
    };
    at_front_ = [this](grpc::ServerContext& sc) {
      grpc::Status status;
      for (int shard = 0; shard < 3; ++shard) {
        ClientCall call(ContextOf(sc), Labelled(absl::StrCat("shard ", shard)));
        if (shard == 2) call.AddMetadata("slow", "");
        Pong pong;
        status = to_leaf_->Unary(&call, Ping(), &pong);
      }
      return status;
    };
  }
  ~CallLabelTest() override { Stop(); }
};

TEST_F(CallLabelTest, TheMessageAndExplainNameTheSlowOne) {
  Start(Reporting(ReportOptions::When::kAlways, LongReserve()));
  const auto [status, report] = Call(absl::Seconds(2));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(),
              HasSubstr("of which probe.Unary[shard 2] "));
  EXPECT_THAT(status.error_message(), Not(HasSubstr("calls)")));
  const std::string text = Explain(report);
  for (int shard = 0; shard < 3; ++shard) {
    EXPECT_THAT(text,
                HasSubstr(absl::StrCat("  probe.Unary[shard ", shard, "] ")));
  }
  ASSERT_EQ(report.report().calls_size(), 3);
  EXPECT_EQ(report.report().calls(1).label(), "shard 1");
}

TEST_F(CallLabelTest, AReportHasTheAddressesOfTheServers) {
  Start(Reporting(ReportOptions::When::kAlways, LongReserve()));
  const auto [status, report] = Call(absl::Seconds(2));
  EXPECT_EQ(report.address(), front_->address());
  for (const v1::CallReport& call : report.report().calls()) {
    EXPECT_EQ(call.address(), leaf_->address());
  }
}

TEST_F(CallLabelTest, NeitherLeavesThroughAnEdge) {
  Options options = Reporting(ReportOptions::When::kAlways, LongReserve());
  options.front->edge.emplace();
  Start(options);
  const auto [status, report] = Call(absl::Seconds(2));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  ASSERT_EQ(report.report().calls_size(), 3);
  for (const v1::CallReport& call : report.report().calls()) {
    EXPECT_EQ(call.label(), "");
    EXPECT_EQ(call.address(), "");
  }
  // What the client itself knows stays.
  EXPECT_EQ(report.address(), front_->address());
}

TEST_F(CallLabelTest, NeitherIsReportedWithoutLeave) {
  Options options = Reporting(ReportOptions::When::kAlways, LongReserve());
  options.front->report.limits.has_labels_and_addresses = false;
  Start(options);
  const auto [status, report] = Call(absl::Seconds(2));
  ASSERT_EQ(report.report().calls_size(), 3);
  EXPECT_EQ(report.report().calls(2).label(), "");
  EXPECT_EQ(report.report().calls(2).address(), "");
}

// Without a report, the caller's own measure tells.
TEST_F(CallLabelTest, ASlowAnswerWithoutAReportHasAnAddress) {
  Start(Reporting(ReportOptions::When::kNever));
  at_leaf_ = [](grpc::ServerContext& sc) {
    ContextOf(sc).WaitFor(absl::Milliseconds(400));
    return grpc::Status::OK;
  };
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(3));
  ClientCall call(ctx, Labelled("shard 7"));
  const auto [status, report] = Call(*to_leaf_, call);
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(report.address(), leaf_->address());
  EXPECT_EQ(report.label(), "shard 7");
}

TEST_F(CallLabelTest, ALabelIsCutAndCleaned) {
  Start();
  ClientCall call(Background(), Labelled("<b>\n" + std::string(100, 'x')));
  const auto [status, report] = Call(*to_leaf_, call);
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(report.label(), "_b__" + std::string(60, 'x'));
}

}  // namespace
}  // namespace tether
