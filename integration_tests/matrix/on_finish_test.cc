// SPDX-License-Identifier: Apache-2.0
//
// ServerOptions::on_finish in every style, for every kind of RPC and the events
// that can end it: it is called once for each request, and says how it went.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/client.h"
#include "integration_tests/matrix/request.h"
#include "integration_tests/matrix/server.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/request_summary.h"
#include "tether/grpc/server_options.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/propagation/log_fields.h"
#include "tether/propagation/request_id.h"
#include "tether/testing/give_up.h"

namespace tether::matrix {
namespace {

using ::testing::HasSubstr;
using testing::kGiveUp;

class OnFinishTest
    : public testing::GrpcLeakCheckedTest,
      public ::testing::WithParamInterface<std::tuple<ServerStyle, Kind>> {
 protected:
  OnFinishTest() : base_(WithCancel(Background())) {
    options_.base_context = base_.ctx;
    options_.on_finish = [this](const RequestSummary& request) {
      EXPECT_TRUE(request.context.Done());
      absl::MutexLock lock(&mutex_);
      finished_.push_back(request);
    };
  }

  void TearDown() override {
    finished_.clear();
    options_ = ServerOptions();
    seen_.reset();
    base_ = Cancellable();
    GrpcLeakCheckedTest::TearDown();
  }

  static Kind kind() { return std::get<1>(GetParam()); }

  using AtWork = std::function<void(Server&, ClientCall&)>;

  // Makes one call to a new server. `at_work` runs once the handler waits.
  // Returns the client's status when the server has shut down. The one summary
  // is finished() then.
  grpc::Status Run(const Context& ctx, Request request,
                   const AtWork& at_work = nullptr) {
    const auto server = StartServer(std::get<0>(GetParam()), seen_, options_);
    const auto channel =
        CreateChannel(server->address(), grpc::InsecureChannelCredentials(), {},
                      testing::OwnConnection());
    // Connect first, so that connecting uses none of the deadline.
    EXPECT_TRUE(
        channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kGiveUp)));
    grpc::Status status;
    {
      ClientCall call(ctx);
      std::thread other;
      if (at_work != nullptr) {
        other = std::thread([&] {
          EXPECT_TRUE(seen_->waiting.WaitForNotificationWithTimeout(kGiveUp));
          at_work(*server, call);
        });
      }
      status = Call(ClientStyle::kSync, kind(), channel, &call, request).status;
      if (other.joinable()) other.join();
    }
    server->Shutdown(kGiveUp);
    return status;
  }

  // Makes a call that ends at its deadline. Returns false if the machine was
  // too busy: the handler waits too late, or never.
  bool RunOutOfTime(absl::Duration timeout) {
    seen_ = std::make_shared<Observation>();
    {
      absl::MutexLock lock(&mutex_);
      finished_.clear();
    }
    const auto [ctx, cancel] = WithTimeout(Background(), timeout);
    EXPECT_EQ(Run(ctx, Request::kWait).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
    return seen_->waiting.HasBeenNotified() &&
           seen_->deadline - ctx.Deadline() <= absl::Milliseconds(4) &&
           finished().time_left > absl::ZeroDuration();
  }

  RequestSummary finished() {
    absl::MutexLock lock(&mutex_);
    EXPECT_EQ(finished_.size(), 1u);
    return finished_.empty() ? RequestSummary() : finished_.front();
  }

  Cancellable base_;
  ServerOptions options_;
  std::shared_ptr<Observation> seen_ = std::make_shared<Observation>();
  absl::Mutex mutex_;
  std::vector<RequestSummary> finished_ ABSL_GUARDED_BY(mutex_);
};

TEST_P(OnFinishTest, ARequestThatIsAnswered) {
  const Context ctx = WithRequestId(Background(), "4711");
  EXPECT_TRUE(Run(ctx, Request::kAnswer).ok());
  const RequestSummary request = finished();
  EXPECT_EQ(request.method, MethodPath(kind()));
  EXPECT_THAT(request.peer, HasSubstr("127.0.0.1"));
  EXPECT_TRUE(request.answered);
  EXPECT_EQ(request.code, grpc::StatusCode::OK);
  EXPECT_EQ(request.reason, EndReason::kCompleted);
  EXPECT_EQ(request.time_left, absl::InfiniteDuration());
  EXPECT_GT(request.spent, absl::ZeroDuration());
  EXPECT_LT(request.spent, kGiveUp);
  ASSERT_NE(RequestIdOf(request.context), nullptr);
  EXPECT_EQ(*RequestIdOf(request.context), "4711");
  EXPECT_FALSE(request.report.has_value());
  EXPECT_EQ(LogFields(request.context),
            "method=" + MethodPath(kind()) + " request_id=4711");
}

TEST_P(OnFinishTest, ARequestThatFails) {
  EXPECT_EQ(Run(Background(), Request::kFail).error_code(),
            grpc::StatusCode::NOT_FOUND);
  const RequestSummary request = finished();
  EXPECT_TRUE(request.answered);
  EXPECT_EQ(request.code, grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(request.reason, EndReason::kCompleted);
  ASSERT_TRUE(request.report.has_value());
  EXPECT_EQ(request.report->outcome(),
            static_cast<int>(grpc::StatusCode::NOT_FOUND));
}

TEST_P(OnFinishTest, ARequestWhoseTimeRunsOut) {
  absl::Duration timeout = absl::Milliseconds(200);
  while (!RunOutOfTime(timeout) && timeout < kGiveUp) timeout *= 2;
  const RequestSummary request = finished();
  EXPECT_TRUE(request.answered);
  EXPECT_EQ(request.code, grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(request.reason, EndReason::kInheritedDeadline);
  EXPECT_GT(request.time_left, absl::ZeroDuration());
  EXPECT_LE(request.time_left, timeout);
  // A client whose timer fires first ends the call a little before.
  EXPECT_GT(request.spent, request.time_left / 2);
  ASSERT_TRUE(request.report.has_value());
  EXPECT_EQ(request.report->reason(), v1::END_REASON_INHERITED_DEADLINE);
}

TEST_P(OnFinishTest, ARequestWhoseCallerLeaves) {
  EXPECT_EQ(Run(Background(), Request::kWait,
                [](Server&, ClientCall& call) { call.TryCancel(); })
                .error_code(),
            grpc::StatusCode::CANCELLED);
  const RequestSummary request = finished();
  EXPECT_TRUE(request.answered);
  EXPECT_EQ(request.code, grpc::StatusCode::CANCELLED);
  EXPECT_EQ(request.reason, EndReason::kCallerLeft);
}

TEST_P(OnFinishTest, ARequestThatADrainingServerEnds) {
  EXPECT_EQ(
      Run(Background(), Request::kWait,
          [this](Server& server, ClientCall&) { server.Drain(base_.cancel); })
          .error_code(),
      grpc::StatusCode::UNAVAILABLE);
  const RequestSummary request = finished();
  EXPECT_EQ(request.code, grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(request.reason, EndReason::kServerShutdown);
}

// The handler runs nevertheless (gRPC can't prevent it), and answers OK.
TEST_P(OnFinishTest, ARequestThatIsTurnedAway) {
  options_.time.min_budget = absl::Hours(1);
  options_.shed_fraction = 1;
  const auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  EXPECT_EQ(Run(ctx, Request::kAnswer).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  const RequestSummary request = finished();
  EXPECT_EQ(request.method, MethodPath(kind()));
  EXPECT_EQ(request.code, grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(request.reason, EndReason::kTooLittleTime);
  EXPECT_GT(request.time_left, absl::ZeroDuration());
}

INSTANTIATE_TEST_SUITE_P(Styles, OnFinishTest,
                         ::testing::Combine(::testing::ValuesIn(kServerStyles),
                                            ::testing::ValuesIn(kKinds)),
                         [](const auto& param_info) {
                           return std::string(
                                      Name(std::get<0>(param_info.param))) +
                                  "_" + Name(std::get<1>(param_info.param));
                         });

}  // namespace
}  // namespace tether::matrix
