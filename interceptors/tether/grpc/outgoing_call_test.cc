// SPDX-License-Identifier: Apache-2.0
//
// OutgoingCall gives calls on a channel without interceptors what CreateChannel
// and ClientCall give.

#include "tether/grpc/outgoing_call.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/inspect.h"
#include "tether/grpc/internal/call_observer.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/generic_server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/propagator.h"
#include "tether/propagation/request_id.h"
#include "tether/testing/give_up.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

using testing::GenericClient;
using testing::GenericServer;
using testing::Headers;
using testing::kGiveUp;
using testing::kProbeMethod;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;
using Settings = GenericClient::CallSettings;

// The leaf is an ordinary server with tether.
class OutgoingCallTest : public testing::GrpcLeakCheckedTest {
 protected:
  void SetUp() override {
    leaf_.emplace(ProbeServer::Options());
    leaf_->unary = [this](grpc::ServerContext& sc, const Ping&, Pong*) {
      ++requests_;
      headers_.clear();
      for (const auto& [key, value] : sc.client_metadata()) {
        headers_.emplace(std::string(key.data(), key.size()),
                         std::string(value.data(), value.size()));
      }
      left_ = ContextOf(sc).Remaining();
      return handler_(sc);
    };
    client_.emplace(leaf_->address());
  }

  void TearDown() override {
    Stop();
    GrpcLeakCheckedTest::TearDown();
  }

  // Returns when the leaf's handler has returned.
  void Stop() {
    client_.reset();
    leaf_.reset();
  }

  // The leaf answers with the end of its context.
  void WaitAtLeaf() {
    handler_ = [this](grpc::ServerContext& sc) {
      const Context ctx = ContextOf(sc);
      began_.Notify();
      EXPECT_TRUE(ctx.WaitFor(kGiveUp));
      reason_at_leaf_ = EndReasonOf(ctx);
      return StatusOf(ctx);
    };
  }

  // Settings of a call during which `action` runs, once the leaf has it.
  Settings During(std::function<void(OutgoingCall&)> action) {
    Settings settings;
    settings.during = [this, action](OutgoingCall& call) {
      EXPECT_TRUE(began_.WaitForNotificationWithTimeout(kGiveUp));
      action(call);
    };
    return settings;
  }

  std::string Header(const std::string& key) const {
    const auto it = headers_.find(key);
    return it == headers_.end() ? "" : it->second;
  }

  std::function<grpc::Status(grpc::ServerContext&)> handler_ =
      [](grpc::ServerContext&) { return grpc::Status::OK; };
  std::atomic<int> requests_{0};
  Headers headers_;  // of the last request
  absl::Duration left_;
  absl::Notification began_;
  EndReason reason_at_leaf_ = EndReason::kNone;
  std::optional<ProbeServer> leaf_;
  std::optional<GenericClient> client_;
};

TEST_F(OutgoingCallTest, ACancelledContextEndsTheCallWithItsReason) {
  WaitAtLeaf();
  auto [ctx, cancel] = WithCancel(Background());
  const auto result = client_->Call(
      ctx, During([&cancel = cancel](OutgoingCall& call) {
        EXPECT_EQ(call.reason(), EndReason::kNone);
        cancel(WithEndReason(absl::CancelledError("no longer needed"),
                             EndReason::kSiblingFailed));
      }));
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(result.status.error_message(),
            "context canceled: no longer needed");
  EXPECT_EQ(result.reason, EndReason::kSiblingFailed);
  Stop();
  EXPECT_EQ(reason_at_leaf_, EndReason::kCallerLeft);
}

TEST_F(OutgoingCallTest, ADeadlineOnAnotherClockEndsACallThatHasStarted) {
  WaitAtLeaf();
  testing::SimulatedClock clock;
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(40));
  const auto result = client_->Call(ctx, During([&clock](OutgoingCall&) {
                                      clock.Advance(absl::Seconds(40));
                                    }));
  EXPECT_EQ(result.received.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(result.reason, EndReason::kOwnTimeout);
}

TEST_F(OutgoingCallTest, WithoutOnStartedACancellationEndsTheCallToo) {
  WaitAtLeaf();
  auto [ctx, cancel] = WithCancel(Background());
  Settings settings = During([&cancel = cancel](OutgoingCall&) { cancel(); });
  settings.tells_start = false;
  const auto result = client_->Call(ctx, settings);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(result.status.error_message(), "context canceled");
  EXPECT_EQ(result.reason, EndReason::kCancelled);
}

TEST_F(OutgoingCallTest, WithoutOnStartedGrpcsTimerEndsTheCallAtTheDeadline) {
  WaitAtLeaf();
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(200));
  Settings settings;
  settings.tells_start = false;
  settings.timeout = absl::Hours(1);
  const auto result = client_->Call(ctx, settings);
  EXPECT_EQ(result.received.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(result.reason, EndReason::kOwnTimeout);
}

TEST_F(OutgoingCallTest, ADeadlineEndsTheCallAndTheStatusNamesTheHops) {
  WaitAtLeaf();
  // So much that the leaf's report arrives in time on a loaded machine.
  ClientOptions options;
  options.reserve = Reserve::Fixed(absl::Milliseconds(400));
  client_.emplace(leaf_->address(), options);
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(1600));
  const auto result = client_->Call(ctx);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(
      result.status.error_message().rfind("context deadline exceeded: ", 0), 0)
      << result.status.error_message();
  EXPECT_NE(result.status.error_message().find(", of which probe.Unary"),
            std::string::npos)
      << result.status.error_message();
  EXPECT_EQ(result.reason, EndReason::kOwnTimeout);
  EXPECT_EQ(result.report.report().reason(), v1::END_REASON_INHERITED_DEADLINE);
  EXPECT_LE(left_, absl::Milliseconds(1600 - 400));
}

TEST_F(OutgoingCallTest, AnEarlierDeadlineOfTheRpcIsKept) {
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(50));
  Settings settings;
  settings.timeout = absl::Seconds(20);
  EXPECT_TRUE(client_->Call(ctx, settings).status.ok());
  EXPECT_LE(left_, absl::Seconds(20));
}

TEST_F(OutgoingCallTest, ALaterDeadlineOfTheRpcIsBroughtForward) {
  const auto now = std::chrono::system_clock::now();
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(20));
  const CallClient shared;
  for (const bool has_own : {false, true}) {
    grpc::ClientContext rpc;
    if (has_own) rpc.set_deadline(now + std::chrono::seconds(50));
    const OutgoingCall call(ctx, rpc, kProbeMethod, shared);
    EXPECT_LT(rpc.deadline(), now + std::chrono::seconds(40));
    EXPECT_GT(rpc.deadline(), now + std::chrono::seconds(10));
  }
}

TEST_F(OutgoingCallTest, WithoutADeadlineNoTimeIsSent) {
  EXPECT_TRUE(client_->Call(Background()).status.ok());
  EXPECT_EQ(Header("tether-timeout"), "");
  EXPECT_EQ(left_, absl::InfiniteDuration());

  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(20));
  EXPECT_TRUE(client_->Call(ctx).status.ok());
  EXPECT_NE(Header("tether-timeout"), "");

  Settings detached;
  detached.options.call.detached = true;
  EXPECT_TRUE(client_->Call(ctx, detached).status.ok());
  EXPECT_EQ(Header("tether-timeout"), "");
}

TEST_F(OutgoingCallTest, AContextThatHasEndedSendsNothing) {
  auto [cancelled, cancel] = WithCancel(Background());
  cancel(absl::CancelledError("before"));
  auto [late, cancel_late] = WithTimeout(Background(), absl::ZeroDuration());
  const auto first = client_->Call(cancelled);
  EXPECT_EQ(first.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(first.status.error_message(), "context canceled: before");
  const auto second = client_->Call(late);
  EXPECT_EQ(second.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  // Control: a live one does, and comes after those two.
  EXPECT_TRUE(client_->Call(Background()).status.ok());
  EXPECT_EQ(requests_, 1);
}

TEST_F(OutgoingCallTest, ValuesAreSentUnlessTheApplicationHasSetThem) {
  const Context ctx = WithRequestId(Background(), "id-1");
  EXPECT_TRUE(client_->Call(ctx).status.ok());
  EXPECT_EQ(Header("x-request-id"), "id-1");
  Settings settings;
  settings.metadata = {{"x-request-id", "own"},
                       {"a", "1"},
                       {"a", "2"},
                       {"tether-timeout", "5"},
                       {"tether-reserve", "5"},
                       {"tether", "1"}};
  EXPECT_TRUE(client_->Call(ctx, settings).status.ok());
  EXPECT_EQ(headers_.count("x-request-id"), 1u);
  EXPECT_EQ(Header("x-request-id"), "own");
  EXPECT_EQ(headers_.count("a"), 2u);
  EXPECT_EQ(headers_.count("tether-timeout"), 0u) << "another hop's";
  EXPECT_EQ(headers_.count("tether-reserve"), 0u);
  EXPECT_EQ(headers_.count("tether"), 0u);
  EXPECT_EQ(left_, absl::InfiniteDuration());
}

TEST_F(OutgoingCallTest, AnEmptyPropagatorSendsOnlyTheTime) {
  ClientOptions options;
  options.propagator = std::make_shared<CompositePropagator>(
      std::vector<std::shared_ptr<const Propagator>>());
  client_.emplace(leaf_->address(), options);
  auto [ctx, cancel] =
      WithTimeout(WithRequestId(Background(), "id-1"), absl::Seconds(20));
  EXPECT_TRUE(client_->Call(ctx).status.ok());
  EXPECT_NE(Header("x-request-id"), "id-1");
  EXPECT_NE(Header("tether-timeout"), "");
}

TEST_F(OutgoingCallTest, RedactedHeadersAreNotSent) {
  ClientOptions options;
  options.redact.headers = {"x-request-id"};
  client_.emplace(leaf_->address(), options);
  EXPECT_TRUE(client_->Call(WithRequestId(Background(), "id-1")).status.ok());
  EXPECT_EQ(Header("x-request-id"), "");
}

TEST_F(OutgoingCallTest, WhereTheApplicationLeavesNoRoomTetherWritesNothing) {
  const int64_t oversized = GetGrpcStats().oversized;
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(20));
  Settings settings;
  settings.metadata = {{"large", std::string(7300, 'x')}};
  EXPECT_TRUE(client_->Call(ctx, settings).status.ok());
  EXPECT_EQ(Header("large").size(), 7300u);
  EXPECT_EQ(Header("tether-timeout"), "");
  EXPECT_EQ(GetGrpcStats().oversized, oversized + 1);
}

TEST_F(OutgoingCallTest, TryCancelIsTheApplicationsReason) {
  WaitAtLeaf();
  const auto result = client_->Call(
      Background(), During([](OutgoingCall& call) { call.TryCancel(); }));
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(result.reason, EndReason::kCancelled);
}

TEST_F(OutgoingCallTest, AnErrorOfTheServerIsPassedOn) {
  handler_ = [](grpc::ServerContext&) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such", "details");
  };
  const auto result = client_->Call(Background());
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(result.status.error_message(), "no such");
  EXPECT_EQ(result.status.error_details(), "details");
  EXPECT_EQ(result.reason, EndReason::kCompleted);
  EXPECT_EQ(result.report.report().outcome(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(OutgoingCallTest, InspectListsTheCall) {
  WaitAtLeaf();
  InFlight seen;
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(40));
  Settings settings = During([&seen](OutgoingCall& call) {
    seen = Inspect();
    call.TryCancel();
  });
  settings.options.call.label = "shard 2";
  client_->Call(ctx, settings);
  ASSERT_EQ(seen.other_calls.size(), 1u);
  EXPECT_EQ(seen.other_calls[0].method, kProbeMethod);
  EXPECT_EQ(seen.other_calls[0].target, leaf_->address());
  EXPECT_EQ(seen.other_calls[0].label, "shard 2");
  EXPECT_LE(seen.other_calls[0].time_left, absl::Seconds(40));
  EXPECT_TRUE(Inspect().other_calls.empty());
}

TEST_F(OutgoingCallTest, ContextOfFindsTheContextOfTheRpc) {
  const CallClient shared;
  auto [ctx, cancel] = WithCancel(Background());
  grpc::ClientContext rpc;
  {
    const OutgoingCall call(ctx, rpc, kProbeMethod, shared);
    EXPECT_EQ(ContextOf(rpc), ctx);
    EXPECT_EQ(call.context(), ctx);
  }
  EXPECT_NE(ContextOf(rpc), ctx);
}

// A front whose handler is given, for a request with a context of its own.
TEST_F(OutgoingCallTest, OnlyCallsInTheReportAreInTheReport) {
  GenericServer front(ServerOptions(), [this](GenericServer::Call& call) {
    Settings settings;
    settings.options.call.label = "in";
    EXPECT_TRUE(client_->Call(call.ctx(), settings).status.ok());
    settings.options.call.label = "not in";
    settings.options.in_report = false;
    EXPECT_TRUE(client_->Call(call.ctx(), settings).status.ok());
    {
      grpc::ClientContext rpc;
      const CallClient shared;
      settings.options.call.label = "dropped";
      settings.options.in_report = true;
      const OutgoingCall dropped(call.ctx(), rpc, kProbeMethod, shared, {},
                                 settings.options);
    }
    return grpc::Status(grpc::StatusCode::ABORTED, "");
  });
  GenericClient client(front.address());
  const auto result = client.Call(Background());
  const v1::BudgetReport& report = result.report.report();
  ASSERT_EQ(report.calls_size(), 2);
  EXPECT_EQ(report.calls(0).label(), "in");
  EXPECT_TRUE(report.calls(0).answered());
  EXPECT_EQ(report.calls(1).label(), "dropped");
  EXPECT_EQ(report.calls(1).outcome(), grpc::StatusCode::CANCELLED);
}

TEST_F(OutgoingCallTest, OnAChannelWithTethersInterceptorNothingIsDoubled) {
  client_.emplace(leaf_->address(), ClientOptions(), /*interceptors=*/true);
  auto [ctx, cancel] =
      WithTimeout(WithRequestId(Background(), "id-1"), absl::Seconds(20));
  GenericServer front(ServerOptions(), [this](GenericServer::Call& call) {
    EXPECT_TRUE(client_->Call(call.ctx()).status.ok());
    return grpc::Status(grpc::StatusCode::ABORTED, "");
  });
  GenericClient client(front.address());
  const auto result = client.Call(ctx);
  EXPECT_EQ(result.report.report().calls_size(), 1);
  EXPECT_EQ(headers_.count("tether-timeout"), 1u);
  EXPECT_EQ(headers_.count("x-request-id"), 1u);
}

TEST_F(OutgoingCallTest, AChannelThatPacksAsksFirst) {
  ServerOptions packed;
  packed.packed = true;
  std::string header, id;
  GenericServer server(packed, [&](GenericServer::Call& call) {
    header = call.Header("tether");
    id = *RequestIdOf(call.ctx());
    return grpc::Status::OK;
  });
  ClientOptions options;
  options.packed = true;
  GenericClient client(server.address(), options);
  const Context ctx = WithRequestId(Background(), "id-1");
  EXPECT_TRUE(client.Call(ctx).status.ok());
  EXPECT_EQ(header, "1");
  EXPECT_TRUE(client.Call(ctx).status.ok());
  EXPECT_NE(header.find("id-1"), std::string::npos) << header;
  EXPECT_EQ(id, "id-1");
}

TEST_F(OutgoingCallTest, OnAColdChannelMoreTimeIsKept) {
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(20));
  EXPECT_TRUE(client_->Call(ctx).status.ok());
  EXPECT_NE(Header("tether-reserve"), "");
  EXPECT_TRUE(client_->Call(ctx).status.ok());
  EXPECT_EQ(Header("tether-reserve"), "") << "now it is connected";
}

// Lives as long as the process, as AddCallObserver requires.
class CountingObserver final : public internal::CallObserver {
 public:
  void OnRequestEnd(const internal::RequestEnd& request) noexcept override {
    if (request.method == "/Counted/Call") ++requests;
  }
  void OnCallBegin(const internal::CallBegin& call) noexcept override {
    if (call.method == "/Counted/Call") ++begun;
  }
  void OnCallEnd(const internal::CallEnd& call) noexcept override {
    if (call.method != "/Counted/Call") return;
    ++(call.sent ? ended : not_sent);
  }

  std::atomic<int> requests{0}, begun{0}, ended{0}, not_sent{0};
};

TEST_F(OutgoingCallTest, TheMetricsAreToldOnceOfEachCallAndRequest) {
  static auto& observer = *new CountingObserver;
  internal::AddCallObserver(&observer);
  std::optional<GenericServer> server;
  server.emplace(ServerOptions(),
                 [](GenericServer::Call&) { return grpc::Status::OK; });
  std::optional<GenericClient> client;
  client.emplace(server->address());
  Settings settings;
  settings.method = "/Counted/Call";
  EXPECT_TRUE(client->Call(Background(), settings).status.ok());
  auto [ctx, cancel] = WithCancel(Background());
  cancel();
  client->Call(ctx, settings);
  client.reset();
  server.reset();
  EXPECT_EQ(observer.begun, 2);
  EXPECT_EQ(observer.ended, 1);
  EXPECT_EQ(observer.not_sent, 1);
  EXPECT_EQ(observer.requests, 1);
}

TEST_F(OutgoingCallTest, TheContextMayEndAtAnyMoment) {
  for (int i = 0; i < 200; ++i) {
    auto [ctx, cancel] = WithCancel(Background());
    std::atomic<bool> go{false};
    std::thread canceller([&go, &cancel = cancel, i] {
      while (!go) {
      }
      for (volatile int spin = 0; spin < 200 * i; spin = spin + 1) {
      }
      cancel();
    });
    go = true;
    const auto result = client_->Call(ctx);
    if (!result.status.ok()) {
      EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
      EXPECT_EQ(result.status.error_message(), "context canceled");
    }
    canceller.join();
  }
}

}  // namespace
}  // namespace tether
