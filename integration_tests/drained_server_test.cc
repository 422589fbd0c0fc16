// SPDX-License-Identifier: Apache-2.0
//
// A server that is drained (ShutdownServer) while its handler works for a
// request: what the caller gets from handlers of all manners, and what it can
// do next. matrix/drain_test.cc does the same in all styles of the API.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/shutdown.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/front_and_leaf.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

// The front is drained. The leaf serves until the front's call to it ends.
class DrainedServerTest : public testing::FrontAndLeaf {
 protected:
  DrainedServerTest() : base_(WithCancel(Background())) {
    options_.front->base_context = base_.ctx;
    at_leaf_ = [this](grpc::ServerContext& sc) {
      const Context ctx = ContextOf(sc);
      at_work_.Notify();
      ctx.WaitFor(kGiveUp);
      return StatusOf(ctx);
    };
  }
  ~DrainedServerTest() override { Stop(); }

  void TearDown() override {
    Stop();
    options_ = Options();
    base_ = Cancellable();
    FrontAndLeaf::TearDown();
  }

  // Calls the front, and drains it once at_work_ is notified.
  std::pair<grpc::Status, v1::CallReport> CallAndDrain(
      grpc::StatusCode code = grpc::StatusCode::UNAVAILABLE) {
    Start(options_);
    std::thread drain([this, code] {
      EXPECT_TRUE(at_work_.WaitForNotificationWithTimeout(kGiveUp));
      ShutdownServer(front_->server(), base_.cancel, absl::ZeroDuration(),
                     kGiveUp, code);
    });
    ClientCall call{Background()};
    auto result = Call(*to_front_, call);
    over_.Notify();
    drain.join();
    return result;
  }

  Cancellable base_;
  Options options_;
  absl::Notification at_work_;
  absl::Notification over_;  // the caller has its status
};

TEST_F(DrainedServerTest, AStatusThatTheHandlerPassesOnIsUnavailable) {
  grpc::Status of_leaf;
  EndReason reason = EndReason::kNone;
  at_front_ = [&](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    of_leaf = CallLeaf(ctx);
    reason = EndReasonOf(ctx);
    return of_leaf;
  };
  const auto [status, report] = CallAndDrain();
  // The leaf isn't unavailable: the call to it was cancelled.
  EXPECT_EQ(of_leaf.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(of_leaf.error_message(),
            "context canceled: the server is shutting down");
  EXPECT_EQ(reason, EndReason::kServerShutdown);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), of_leaf.error_message());
  EXPECT_TRUE(report.answered());
  EXPECT_EQ(report.report().outcome(),
            static_cast<int>(grpc::StatusCode::UNAVAILABLE));
  EXPECT_EQ(report.report().reason(), v1::END_REASON_SERVER_SHUTDOWN);
  ASSERT_EQ(report.report().calls_size(), 1);
  EXPECT_EQ(report.report().calls(0).reason(), v1::END_REASON_SERVER_SHUTDOWN);
  EXPECT_EQ(report.report().calls(0).outcome(),
            static_cast<int>(grpc::StatusCode::CANCELLED));
}

TEST_F(DrainedServerTest, OtherStatusesOfTheHandlerStay) {
  at_front_ = [&](grpc::ServerContext& sc) {
    EXPECT_FALSE(CallLeaf(ContextOf(sc)).ok());
    return grpc::Status(grpc::StatusCode::DATA_LOSS, "half done");
  };
  const grpc::Status status = CallAndDrain().first;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(status.error_message(), "half done");
}

TEST_F(DrainedServerTest, AHandlerThatDoesNotAnswerIsCutOffAsUnavailable) {
  at_front_ = [&](grpc::ServerContext&) {
    at_work_.Notify();
    over_.WaitForNotificationWithTimeout(kGiveUp);
    return grpc::Status::OK;
  };
  // gRPC closes the connection with its last request, and may discard tether's
  // status. Its own has the same code.
  EXPECT_EQ(CallAndDrain().first.error_code(), grpc::StatusCode::UNAVAILABLE);
}

// Without the shutdown, the connection stays, and tether's status arrives.
TEST_F(DrainedServerTest, ARequestThatIsCutOffIsNoLostConnection) {
  at_front_ = [&](grpc::ServerContext&) {
    at_work_.Notify();
    over_.WaitForNotificationWithTimeout(kGiveUp);
    return grpc::Status::OK;
  };
  Start(options_);
  std::thread canceller([this] {
    EXPECT_TRUE(at_work_.WaitForNotificationWithTimeout(kGiveUp));
    base_.cancel(WithEndReason(absl::UnavailableError("draining"),
                               EndReason::kServerShutdown));
  });
  ClientCall call{Background()};
  const auto [status, report] = Call(*to_front_, call);
  over_.Notify();
  canceller.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "context canceled: draining");
  EXPECT_TRUE(report.answered());
  EXPECT_EQ(EndReasonOf(call), EndReason::kCompleted);
}

TEST_F(DrainedServerTest, TheCodeIsAnOption) {
  std::optional<grpc::StatusCode> of_context;
  at_front_ = [&](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    const grpc::Status status = CallLeaf(ctx);
    of_context = StatusOf(ctx).error_code();
    return status;
  };
  const grpc::Status status = CallAndDrain(grpc::StatusCode::ABORTED).first;
  EXPECT_EQ(of_context, grpc::StatusCode::ABORTED);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
}

TEST_F(DrainedServerTest, TheCodeOkCountsAsUnavailable) {
  EXPECT_EQ(CallAndDrain(grpc::StatusCode::OK).first.error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

// A base context that ends without a drain is no drain.
TEST_F(DrainedServerTest, ABaseContextThatIsCancelledOtherwiseIsCancelled) {
  Start(options_);
  std::thread canceller([this] {
    EXPECT_TRUE(at_work_.WaitForNotificationWithTimeout(kGiveUp));
    base_.cancel(absl::UnavailableError("out of order"));
  });
  const grpc::Status status = Call(kGiveUp).first;
  canceller.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
}

// gRPC's own retries (a service config) move a request from a drained server to
// another one. The control is a drain with CANCELLED, for which no policy
// retries.
class RetriedElsewhereTest
    : public testing::GrpcLeakCheckedTest,
      public ::testing::WithParamInterface<grpc::StatusCode> {};

TEST_P(RetriedElsewhereTest, OnlyIfTheCodeSaysSo) {
  grpc::Status status;
  Pong pong;
  {
    const Cancellable base = WithCancel(Background());
    ServerOptions options;
    options.base_context = base.ctx;
    ProbeServer first({/*callback_api=*/false, options});
    ProbeServer second({});
    absl::Notification at_work;
    first.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
      const Context ctx = ContextOf(sc);
      at_work.Notify();
      ctx.WaitFor(kGiveUp);
      return StatusOf(ctx);
    };
    second.unary = [](grpc::ServerContext&, const Ping&, Pong* reply) {
      reply->set_number(2);
      return grpc::Status::OK;
    };
    grpc::ChannelArguments arguments = testing::OwnConnection();
    arguments.SetServiceConfigJSON(R"json({"methodConfig": [{
      "name": [{}],
      "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.01s",
                      "maxBackoff": "0.1s", "backoffMultiplier": 2,
                      "retryableStatusCodes": ["UNAVAILABLE"]}}]})json");
    // gRPC's default policy takes the first address that works.
    auto stub = testing::ProbeStub(
        absl::StrCat("ipv4:", first.address(), ",", second.address()),
        ClientOptions(), arguments);
    std::thread drain([&] {
      EXPECT_TRUE(at_work.WaitForNotificationWithTimeout(kGiveUp));
      ShutdownServer(first.server(), base.cancel, absl::ZeroDuration(), kGiveUp,
                     GetParam());
    });
    ClientCall call{Background()};
    call.set_wait_for_ready(true);
    status = stub->Unary(&call, Ping(), &pong);
    drain.join();
  }
  if (GetParam() == grpc::StatusCode::UNAVAILABLE) {
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(pong.number(), 2);
  } else {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  }
}

INSTANTIATE_TEST_SUITE_P(Code, RetriedElsewhereTest,
                         ::testing::Values(grpc::StatusCode::UNAVAILABLE,
                                           grpc::StatusCode::CANCELLED),
                         [](const auto& param_info) {
                           return param_info.param ==
                                          grpc::StatusCode::UNAVAILABLE
                                      ? "Unavailable"
                                      : "Cancelled";
                         });

}  // namespace
}  // namespace tether
