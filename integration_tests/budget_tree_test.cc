// SPDX-License-Identifier: Apache-2.0
//
// Reports of large trees. A deep tree reaches the client completely. A wide
// tree is cut to the limits, and the rest is counted.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "tether/budget/explain.h"
#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/task_group.h"
#include "tether/testing/give_up.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {
namespace {

using ::testing::HasSubstr;
using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

struct Result {
  grpc::Status status;
  v1::CallReport report;
};

// A chain of servers. Each calls the next one, and calls the last one `width`
// times.
class TreeTest : public testing::GrpcLeakCheckedTest {
 protected:
  ~TreeTest() override {
    stubs_.clear();
    // Destroys the first hop first, so that no hop calls a server that is gone.
    for (auto& server : servers_) server.reset();
  }

  void Build(int depth, int width) {
    for (int i = 0; i < depth; ++i) {
      ServerOptions options;
      options.report.when = ReportOptions::When::kAlways;
      servers_.push_back(std::make_unique<ProbeServer>(
          ProbeServer::Options{/*callback_api=*/false, options}));
      stubs_.push_back(servers_.back()->Stub());
    }
    for (int i = 0; i < depth; ++i) {
      servers_[static_cast<size_t>(i)]->unary =
          [this, i, depth, width](grpc::ServerContext& sc, const Ping&, Pong*) {
            if (i + 1 == depth) return grpc::Status::OK;
            TaskGroup group(ContextOf(sc));
            for (int j = 0; j <= width; ++j) {
              const int callee = j == 0 ? i + 1 : depth - 1;
              group.Go([this, callee](const Context& ctx) {
                return FromGrpcStatus(Call(ctx, callee).status);
              });
            }
            return ToGrpcStatus(group.Wait());
          };
    }
  }

  Result Call(const Context& ctx, int server) {
    ClientCall call(ctx);
    Pong pong;
    Result result;
    result.status =
        stubs_[static_cast<size_t>(server)]->Unary(&call, Ping(), &pong);
    result.report = call.report();
    return result;
  }

  Result Call() {
    const auto [ctx, cancel] = WithTimeout(Background(), 2 * kGiveUp);
    return Call(ctx, 0);
  }

 private:
  std::vector<std::unique_ptr<ProbeServer>> servers_;
  std::vector<std::unique_ptr<Probe::Stub>> stubs_;
};

TEST_F(TreeTest, EightHopsDeepAllAreThere) {
  Build(8, 0);
  const Result result = Call();
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  const v1::CallReport* call = &result.report;
  for (int depth = 1; depth < 8; ++depth) {
    ASSERT_TRUE(call->has_report()) << depth;
    ASSERT_EQ(call->report().calls_size(), 1) << depth;
    call = &call->report().calls(0);
  }
  EXPECT_TRUE(call->has_report());
}

TEST_F(TreeTest, ThirtyCallsAreWithinTheLimits) {
  Build(2, 29);
  const Result result = Call();
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  ASSERT_TRUE(result.report.has_report());
  EXPECT_EQ(result.report.report().calls_size(), ReportLimits().max_calls);
  EXPECT_EQ(result.report.report().calls_left_out(),
            30 - ReportLimits().max_calls);
  EXPECT_THAT(Explain(result.report), HasSubstr("14 more calls"));
}

// More calls than fit. The omitted calls are counted, and nothing fails.
TEST_F(TreeTest, DeepAndWideIsCutDown) {
  Build(8, 12);
  const Result result = Call();
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  ASSERT_TRUE(result.report.has_report());
  EXPECT_LE(result.report.report().ByteSizeLong(), ReportLimits().max_bytes);
  const v1::BudgetReport& front = result.report.report();
  EXPECT_GT(front.calls_size(), 0);
  int left_out = 0;
  const std::function<void(const v1::BudgetReport&)> count =
      [&](const v1::BudgetReport& hop) {
        left_out += hop.calls_left_out();
        for (const v1::CallReport& call : hop.calls()) count(call.report());
      };
  count(front);
  EXPECT_GT(left_out, 0);
}

}  // namespace
}  // namespace tether
