// SPDX-License-Identifier: Apache-2.0
//
// A server of every style that is drained (ShutdownServer) while it serves a
// request: the caller may try another server, and the handler knows why.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/client.h"
#include "integration_tests/matrix/request.h"
#include "integration_tests/matrix/server.h"
#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server_options.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/testing/give_up.h"

namespace tether::matrix {
namespace {

using testing::kGiveUp;

class DrainTest
    : public testing::GrpcLeakCheckedTest,
      public ::testing::WithParamInterface<std::tuple<ServerStyle, Kind>> {
 protected:
  DrainTest() { Start(); }

  void TearDown() override {
    Stop();
    GrpcLeakCheckedTest::TearDown();
  }

  void Start() {
    base_ = WithCancel(Background());
    seen_ = std::make_shared<Observation>();
    ServerOptions options;
    options.base_context = base_.ctx;
    server_ = StartServer(style(), seen_, std::move(options));
    channel_ =
        CreateChannel(server_->address(), grpc::InsecureChannelCredentials(),
                      {}, testing::OwnConnection());
    // Connect first, so that connecting uses none of a deadline.
    EXPECT_TRUE(
        channel_->WaitForConnected(absl::ToChronoTime(absl::Now() + kGiveUp)));
  }

  void Stop() {
    channel_.reset();
    server_.reset();
    seen_.reset();
    base_ = Cancellable();
  }

  static ServerStyle style() { return std::get<0>(GetParam()); }
  static Kind kind() { return std::get<1>(GetParam()); }

  // Makes `call`. `at_work` runs once the handler waits.
  template <typename AtWork>
  grpc::Status Wait(grpc::ClientContext& call, AtWork at_work) {
    std::thread other([&] {
      EXPECT_TRUE(seen_->waiting.WaitForNotificationWithTimeout(kGiveUp));
      at_work();
    });
    const grpc::Status status =
        Call(ClientStyle::kSync, kind(), channel_, &call, Request::kWait)
            .status;
    other.join();
    return status;
  }

  // Makes a call that ends at its deadline. Returns false if the machine was
  // too busy: the handler waits too late, or never.
  bool RunOutOfTime(absl::Duration timeout) {
    const auto [ctx, cancel] = WithTimeout(Background(), timeout);
    ClientCall call(ctx);
    EXPECT_EQ(Call(ClientStyle::kSync, kind(), channel_, &call, Request::kWait)
                  .status.error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
    return seen_->waiting.HasBeenNotified() &&
           seen_->deadline - ctx.Deadline() <= absl::Milliseconds(4);
  }

  Cancellable base_;
  std::shared_ptr<Observation> seen_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_P(DrainTest, ARequestThatADrainingServerEndsIsUnavailableToItsCaller) {
  ClientCall call{Background()};
  const grpc::Status status = Wait(call, [&] { server_->Drain(base_.cancel); });
  EXPECT_TRUE(seen_->ended.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(),
            "context canceled: the server is shutting down");
  // The handler knows why.
  EXPECT_TRUE(absl::IsCancelled(seen_->err)) << seen_->err;
  EXPECT_EQ(seen_->cause.message(), "the server is shutting down");
  EXPECT_EQ(seen_->reason, EndReason::kServerShutdown);
  // So does the caller.
  const v1::CallReport report = call.report();
  EXPECT_TRUE(report.answered());
  EXPECT_EQ(EndReasonOf(call), EndReason::kCompleted);  // it was answered
  EXPECT_EQ(report.outcome(), static_cast<int>(grpc::StatusCode::UNAVAILABLE));
  EXPECT_EQ(report.report().reason(), v1::END_REASON_SERVER_SHUTDOWN);
}

// Two controls: the server is drained only afterwards.
TEST_P(DrainTest, ARequestThatItsCallerCancelsStaysCancelled) {
  ClientCall call{Background()};
  const grpc::Status status = Wait(call, [&] { call.TryCancel(); });
  EXPECT_TRUE(seen_->ended.WaitForNotificationWithTimeout(kGiveUp));
  server_->Drain(base_.cancel);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(seen_->reason, EndReason::kCallerLeft);
}

TEST_P(DrainTest, ARequestThatRunsOutOfTimeStaysDeadlineExceeded) {
  absl::Duration timeout = absl::Milliseconds(200);
  while (!RunOutOfTime(timeout) && timeout < kGiveUp) {
    timeout *= 2;
    Stop();
    Start();
  }
  EXPECT_TRUE(seen_->ended.WaitForNotificationWithTimeout(kGiveUp));
  server_->Drain(base_.cancel);
  EXPECT_EQ(seen_->reason, EndReason::kInheritedDeadline);
}

INSTANTIATE_TEST_SUITE_P(Styles, DrainTest,
                         ::testing::Combine(::testing::ValuesIn(kServerStyles),
                                            ::testing::ValuesIn(kKinds)),
                         [](const auto& param_info) {
                           return std::string(
                                      Name(std::get<0>(param_info.param))) +
                                  "_" + Name(std::get<1>(param_info.param));
                         });

}  // namespace
}  // namespace tether::matrix
