// SPDX-License-Identifier: Apache-2.0
//
// Inspect() and the metrics in every style, for every kind of RPC: a request is
// seen while it is served, and is counted once, as on_finish tells of it.

#include "tether/grpc/inspect.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>

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
#include "tether/observability/metrics.h"
#include "tether/testing/give_up.h"

namespace tether::matrix {
namespace {

using testing::kGiveUp;

ApiStyle ExpectedStyle(ServerStyle style) {
  switch (style) {
    case ServerStyle::kSync:
      return ApiStyle::kSync;
    case ServerStyle::kCallback:
    case ServerStyle::kGenericCallback:
      return ApiStyle::kCallback;
    case ServerStyle::kAsync:
    case ServerStyle::kGenericAsync:
      break;
  }
  return ApiStyle::kAsync;
}

class InspectTest
    : public testing::GrpcLeakCheckedTest,
      public ::testing::WithParamInterface<std::tuple<ServerStyle, Kind>> {
 protected:
  InspectTest() {
    StartMetrics();
    options_.on_finish = [this](const RequestSummary& request) {
      absl::MutexLock lock(&mutex_);
      finished_ = request;
    };
  }

  void TearDown() override {
    finished_.reset();
    seen_.reset();
    GrpcLeakCheckedTest::TearDown();
  }

  static Kind kind() { return std::get<1>(GetParam()); }

  // Makes one call to a new server, and runs `at_work` once the handler waits.
  void Run(Request request,
           const std::function<void(ClientCall&)>& at_work = nullptr) {
    const auto server = StartServer(std::get<0>(GetParam()), seen_, options_);
    target_ = server->address();
    const auto channel =
        CreateChannel(target_, grpc::InsecureChannelCredentials(), {},
                      testing::OwnConnection());
    EXPECT_TRUE(
        channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kGiveUp)));
    {
      const auto [ctx, cancel] = WithTimeout(Background(), absl::Hours(1));
      ClientCall call(ctx);
      std::thread other;
      if (at_work != nullptr) {
        other = std::thread([&] {
          EXPECT_TRUE(seen_->waiting.WaitForNotificationWithTimeout(kGiveUp));
          at_work(call);
        });
      }
      Call(ClientStyle::kSync, kind(), channel, &call, request);
      if (other.joinable()) other.join();
    }
    server->Shutdown(kGiveUp);
  }

  static uint64_t CountOf(const RequestSummary& request) {
    const ServerMetrics server = ReadMetrics().servers[request.method];
    for (const OutcomeCount& outcome : server.outcomes) {
      if (outcome.code == request.code && outcome.reason == request.reason) {
        return outcome.count;
      }
    }
    return 0;
  }

  RequestSummary finished() {
    absl::MutexLock lock(&mutex_);
    EXPECT_TRUE(finished_.has_value());
    return finished_.value_or(RequestSummary());
  }

  ServerOptions options_;
  std::string target_;
  std::shared_ptr<Observation> seen_ = std::make_shared<Observation>();
  absl::Mutex mutex_;
  std::optional<RequestSummary> finished_ ABSL_GUARDED_BY(mutex_);
};

TEST_P(InspectTest, ARequestIsInFlightWhileItsHandlerWaits) {
  Run(Request::kWait, [this](ClientCall& call) {
    // The handler says that it waits a moment before it does.
    InFlight now;
    const absl::Time give_up = absl::Now() + kGiveUp;
    do {
      now = Inspect();
    } while (now.requests.size() == 1 && !now.requests[0].observed &&
             absl::Now() < give_up);
    EXPECT_EQ(now.requests_in_flight, 1);
    EXPECT_EQ(now.calls_in_flight, 1);
    if (now.requests.size() == 1) {
      const InFlightRequest& request = now.requests[0];
      EXPECT_EQ(request.method, MethodPath(kind()));
      EXPECT_EQ(request.style, ExpectedStyle(std::get<0>(GetParam())));
      EXPECT_NE(request.peer.find("127.0.0.1"), std::string::npos);
      EXPECT_EQ(request.ended_by, EndReason::kNone);
      EXPECT_GT(request.time_left, absl::Minutes(50));
      EXPECT_TRUE(request.observed);
    }
    EXPECT_EQ(now.other_calls.size(), 1u);
    if (now.other_calls.size() == 1) {
      EXPECT_EQ(now.other_calls[0].method, MethodPath(kind()));
      // Newer gRPC writes "dns:///" before it.
      EXPECT_NE(now.other_calls[0].target.find(target_), std::string::npos)
          << now.other_calls[0].target;
    }
    call.TryCancel();
  });
  EXPECT_EQ(Inspect().requests_in_flight, 0);
  EXPECT_EQ(Inspect().calls_in_flight, 0);
}

TEST_P(InspectTest, ARequestIsCountedOnceAsOnFinishTells) {
  const std::string method = MethodPath(kind());
  const uint64_t before = ReadMetrics().servers[method].total;
  uint64_t ends = 0;
  for (const Request request :
       {Request::kAnswer, Request::kFail, Request::kWait}) {
    seen_ = std::make_shared<Observation>();
    std::function<void(ClientCall&)> at_work;
    if (request == Request::kWait) {
      at_work = [](ClientCall& call) { call.TryCancel(); };
    }
    Run(request, at_work);
    const RequestSummary summary = finished();
    EXPECT_EQ(summary.method, method);
    EXPECT_EQ(ReadMetrics().servers[method].total, before + ++ends);
    EXPECT_GE(CountOf(summary), 1u)
        << summary.code << " " << EndReasonName(summary.reason);
  }
}

INSTANTIATE_TEST_SUITE_P(Styles, InspectTest,
                         ::testing::Combine(::testing::ValuesIn(kServerStyles),
                                            ::testing::ValuesIn(kKinds)),
                         [](const auto& param_info) {
                           return std::string(
                                      Name(std::get<0>(param_info.param))) +
                                  "_" + Name(std::get<1>(param_info.param));
                         });

}  // namespace
}  // namespace tether::matrix
