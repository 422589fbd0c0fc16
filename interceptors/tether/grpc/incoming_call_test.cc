// SPDX-License-Identifier: Apache-2.0
//
// IncomingCall gives the requests of a server without interceptors what
// InstallServer gives.

#include "tether/grpc/incoming_call.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/inspect.h"
#include "tether/grpc/report_options.h"
#include "tether/grpc/request_summary.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/generic_server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/propagation/request_id.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::GenericClient;
using testing::GenericServer;
using testing::kGiveUp;
using testing::kProbeMethod;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;
using testing::ProbeStub;

using Answer = std::optional<grpc::Status>;

// A status with a message of the application's.
grpc::Status Aborted() {
  return grpc::Status(grpc::StatusCode::ABORTED, "not now");
}

// A generic service of the callback API.
class CallbackServer final : public grpc::CallbackGenericService {
 public:
  CallbackServer() {
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(this);
    server_ = testing::ListenOnLoopback(builder);
  }
  ~CallbackServer() override { server_.server->Shutdown(); }

  const std::string& address() const { return server_.address; }

  absl::Notification began, ended;
  InFlight seen;
  absl::Duration left;
  EndReason reason = EndReason::kNone;

 private:
  // Answers when its context has ended.
  class Reactor final : public grpc::ServerGenericBidiReactor {
   public:
    Reactor(CallbackServer& server, grpc::GenericCallbackServerContext& sc)
        : server_(server), call_(server.shared_, sc, sc.method()) {
      server_.seen = Inspect();
      server_.left = call_.context().Remaining();
      after_.emplace(call_.context(), [this] {
        server_.reason = EndReasonOf(call_.context());
        testing::Headers trailing;
        Finish(call_.Answer(call_.StatusOfEnd(), false, trailing));
      });
      server_.began.Notify();
    }

    void OnCancel() override { call_.OnCallEnded(); }
    void OnDone() override {
      CallbackServer& server = server_;
      delete this;
      server.ended.Notify();
    }

   private:
    CallbackServer& server_;
    IncomingCall call_;
    std::optional<Registration> after_;
  };

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* sc) override {
    return new Reactor(*this, *sc);
  }

  const CallServer shared_;
  testing::LoopbackServer server_;
};

class IncomingCallTest : public testing::GrpcLeakCheckedTest {
 protected:
  void TearDown() override {
    server_.reset();
    leaf_.reset();
    finished_.clear();
    GrpcLeakCheckedTest::TearDown();
  }

  void Serve(GenericServer::Handler handler, ServerOptions options = {}) {
    server_.emplace(std::move(options), std::move(handler));
  }

  // A reserve that lets the leaf's report arrive in time on a loaded machine.
  static ClientOptions KeepingMuch() {
    ClientOptions options;
    options.reserve = Reserve::Fixed(absl::Milliseconds(400));
    return options;
  }

  // A leaf that waits for the end of its context.
  void ServeLeaf() {
    leaf_.emplace(ProbeServer::Options());
    leaf_->unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
      const Context ctx = ContextOf(sc);
      ctx.Wait();
      return StatusOf(ctx);
    };
    to_leaf_.emplace(leaf_->address(), KeepingMuch());
  }

  // A call with tether's interceptor.
  std::pair<grpc::Status, v1::CallReport> Call(
      const Context& ctx, const testing::Headers& headers = {},
      const ClientOptions& options = {}) {
    const auto stub = ProbeStub(server_->address(), options);
    ClientCall call(ctx);
    for (const auto& [key, value] : headers) call.AddMetadata(key, value);
    Pong pong;
    const grpc::Status status = stub->Unary(&call, Ping(), &pong);
    return {status, call.report()};
  }

  std::pair<grpc::Status, v1::CallReport> CallFor(absl::Duration timeout) {
    auto [ctx, cancel] = WithTimeout(Background(), timeout);
    return Call(ctx);
  }

  // Options of a server whose summaries are in finished_.
  ServerOptions Observed() {
    ServerOptions options;
    options.on_finish = [this](const RequestSummary& request) {
      finished_.push_back(request);
    };
    return options;
  }

  std::optional<ProbeServer> leaf_;
  std::optional<GenericClient> to_leaf_;
  std::optional<GenericServer> server_;
  std::vector<RequestSummary> finished_;  // read it when server_ is gone
};

TEST_F(IncomingCallTest, ContextOfFindsTheContextWhileTheCallLives) {
  Serve([](GenericServer::Call& call) -> Answer {
    EXPECT_EQ(ContextOf(call.sc), call.ctx());
    EXPECT_TRUE(IsInstalled(call.sc));
    EXPECT_FALSE(call.incoming->turned_away());
    EXPECT_TRUE(call.incoming->StatusOfEnd().ok());
    const Context ctx = call.ctx();
    call.Drop();
    EXPECT_FALSE(IsInstalled(call.sc));
    EXPECT_EQ(EndReasonOf(ctx), EndReason::kCompleted);
    return std::nullopt;
  });
  EXPECT_EQ(Call(Background()).first.error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(IncomingCallTest, TheDeadlineIsTethersAndNotGrpcs) {
  absl::Duration left;
  Serve([&left](GenericServer::Call& call) {
    left = call.ctx().Remaining();
    return grpc::Status::OK;
  });
  EXPECT_TRUE(CallFor(absl::Seconds(61.5)).first.ok());
  // A reserve of 50 ms is off.
  EXPECT_LE(left, absl::Seconds(61.5) - absl::Milliseconds(50));
  EXPECT_GT(left, absl::Seconds(40));

  // Control: gRPC rounds its own up, to 62 s.
  const auto stub = ProbeStub(server_->address(), std::nullopt);
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() +
                    std::chrono::milliseconds(61'500));
  Pong pong;
  EXPECT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
  EXPECT_GT(left, absl::Seconds(40));
}

TEST_F(IncomingCallTest, ValuesArrive) {
  std::string id;
  Serve([&id](GenericServer::Call& call) {
    if (const std::string* found = RequestIdOf(call.ctx())) id = *found;
    return grpc::Status::OK;
  });
  EXPECT_TRUE(Call(WithRequestId(Background(), "id-1")).first.ok());
  EXPECT_EQ(id, "id-1");
}

TEST_F(IncomingCallTest, ACallerThatLeavesEndsTheContext) {
  absl::Notification began;
  EndReason reason = EndReason::kNone;
  Serve([&](GenericServer::Call& call) {
    EXPECT_FALSE(call.ctx().Done());
    began.Notify();
    EXPECT_TRUE(call.ctx().WaitFor(kGiveUp));
    reason = EndReasonOf(call.ctx());
    EXPECT_EQ(call.incoming->StatusOfEnd().error_code(),
              grpc::StatusCode::CANCELLED);
    return StatusOf(call.ctx());
  });
  auto [ctx, cancel] = WithCancel(Background());
  std::thread leaver([&began, &cancel = cancel] {
    began.WaitForNotification();
    cancel();
  });
  EXPECT_EQ(Call(ctx).first.error_code(), grpc::StatusCode::CANCELLED);
  leaver.join();
  server_.reset();
  EXPECT_EQ(reason, EndReason::kCallerLeft);
}

TEST_F(IncomingCallTest, InTheCallbackApiOnCancelEndsTheContext) {
  CallbackServer server;
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(40));
  GenericClient client(server.address());
  GenericClient::CallSettings settings;
  settings.during = [&server, &cancel = cancel](OutgoingCall&) {
    EXPECT_TRUE(server.began.WaitForNotificationWithTimeout(kGiveUp));
    cancel();
  };
  client.Call(ctx, settings);
  ASSERT_TRUE(server.ended.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_EQ(server.reason, EndReason::kCallerLeft);
  EXPECT_LE(server.left, absl::Seconds(40) - absl::Milliseconds(50));
  ASSERT_EQ(server.seen.requests.size(), 1u);
  EXPECT_EQ(server.seen.requests[0].style, ApiStyle::kCallback);
  EXPECT_EQ(server.seen.requests[0].ended_by, EndReason::kNone);
}

TEST_F(IncomingCallTest, TheReportOfBothHopsReachesTheCaller) {
  ServeLeaf();
  std::string message;
  Serve([&](GenericServer::Call& call) -> Answer {
    GenericClient::CallSettings settings;
    settings.options.call.label = "leaf";
    const auto leaf = to_leaf_->Call(call.ctx(), settings);
    EXPECT_EQ(leaf.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
    EXPECT_TRUE(call.ctx().WaitFor(kGiveUp));
    message = call.incoming->StatusOfEnd().error_message();
    return call.incoming->StatusOfEnd();
  });
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(2));
  const auto [status, report] = Call(ctx, {}, KeepingMuch());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_NE(status.error_message().find("probe.Unary[leaf]"), std::string::npos)
      << status.error_message();
  ASSERT_EQ(report.report().calls_size(), 1);
  const v1::CallReport& leaf = report.report().calls(0);
  EXPECT_EQ(leaf.report().reason(), v1::END_REASON_INHERITED_DEADLINE);
  server_.reset();
  EXPECT_EQ(message.rfind("context deadline exceeded: ", 0), 0) << message;
  EXPECT_NE(message.find(", of which probe.Unary[leaf]"), std::string::npos)
      << message;
}

TEST_F(IncomingCallTest, AReportThatIsThereAlreadyIsLeftAlone) {
  std::vector<std::string> reports;
  Serve([&reports](GenericServer::Call& call) -> Answer {
    testing::Headers trailing = {{std::string(kReportHeader), "theirs"}};
    const grpc::Status sent =
        call.incoming->Answer(Aborted(), /*after_messages=*/false, trailing);
    for (const auto& [key, value] : trailing) {
      EXPECT_EQ(key, kReportHeader);
      reports.push_back(value);
    }
    EXPECT_EQ(sent.error_code(), grpc::StatusCode::ABORTED);
    EXPECT_EQ(EndReasonOf(call.ctx()), EndReason::kCompleted);
    return std::nullopt;
  });
  Call(Background());
  server_.reset();
  EXPECT_EQ(reports, std::vector<std::string>{"theirs"});
}

TEST_F(IncomingCallTest, AfterMessagesTheReportHasMoreRoom) {
  // Headers have 4,000 bytes, trailers 7 KiB.
  const testing::Headers large = {{"large", std::string(4500, 'x')}};
  testing::Headers with_headers = large, with_trailers = large;
  ServerOptions options;
  options.report.when = ReportOptions::When::kAlways;
  Serve(
      [&](GenericServer::Call& call) -> Answer {
        call.incoming->Answer(
            grpc::Status::OK, /*after_messages=*/call.Header("x") == "1",
            call.Header("x") == "1" ? with_trailers : with_headers);
        return std::nullopt;
      },
      options);
  Call(Background(), {{"x", "0"}});
  Call(Background(), {{"x", "1"}});
  server_.reset();
  EXPECT_EQ(with_headers.count(std::string(kReportHeader)), 0u);
  EXPECT_EQ(with_trailers.count(std::string(kReportHeader)), 1u);
}

TEST_F(IncomingCallTest, ARequestWithTooLittleTimeIsTurnedAway) {
  const int64_t shed = GetGrpcStats().shed;
  bool turned_away = false;
  ServerOptions options = Observed();
  options.time.min_budget = absl::Seconds(30);
  options.shed_fraction = 1;
  Serve(
      [&turned_away](GenericServer::Call& call) {
        turned_away = call.incoming->turned_away();
        EXPECT_TRUE(call.ctx().Done());
        EXPECT_EQ(EndReasonOf(call.ctx()), EndReason::kTooLittleTime);
        return call.incoming->StatusOfEnd();
      },
      options);
  const auto [status, report] = CallFor(absl::Seconds(20));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_NE(status.error_message().find("min_budget"), std::string::npos)
      << status.error_message();
  server_.reset();
  EXPECT_TRUE(turned_away);
  EXPECT_EQ(GetGrpcStats().shed, shed + 1);
  ASSERT_EQ(finished_.size(), 1u);
  EXPECT_EQ(finished_[0].reason, EndReason::kTooLittleTime);
}

TEST_F(IncomingCallTest, AnEdgeHidesTheNamesOfTheHops) {
  ServeLeaf();
  ServerOptions options;
  options.edge.emplace();
  options.time.max_timeout = absl::Milliseconds(100);
  Serve(
      [this](GenericServer::Call& call) -> Answer {
        to_leaf_->Call(call.ctx());
        EXPECT_TRUE(call.ctx().WaitFor(kGiveUp));
        const grpc::Status status = call.incoming->StatusOfEnd();
        testing::Headers trailing;
        const grpc::Status sent =
            call.incoming->Answer(status, /*after_messages=*/false, trailing);
        EXPECT_EQ(sent.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
        EXPECT_EQ(sent.error_message(), "context deadline exceeded");
        EXPECT_TRUE(trailing.empty());
        return std::nullopt;
      },
      options);
  Call(Background());
}

TEST_F(IncomingCallTest, PackedHeadersAreUnpackedIfTheServerSaysSo) {
  ServerOptions options;
  options.packed = true;
  std::string packed, plain, id;
  absl::Duration left;
  Serve(
      [&](GenericServer::Call& call) {
        packed = call.Header("tether");
        plain = call.Header("x-request-id");
        id = *RequestIdOf(call.ctx());
        left = call.ctx().Remaining();
        return grpc::Status::OK;
      },
      options);
  ClientOptions packs;
  packs.packed = true;
  const auto stub = ProbeStub(server_->address(), packs);
  auto [ctx, cancel] =
      WithTimeout(WithRequestId(Background(), "id-1"), absl::Seconds(61.5));
  const auto call = [&, &ctx = ctx] {
    ClientCall rpc(ctx);
    Pong pong;
    EXPECT_TRUE(stub->Unary(&rpc, Ping(), &pong).ok());
  };
  call();
  EXPECT_EQ(packed, "1") << "the question";
  EXPECT_EQ(plain, "id-1");
  call();
  EXPECT_NE(packed.find("id-1"), std::string::npos) << packed;
  EXPECT_EQ(plain, "");
  EXPECT_EQ(id, "id-1");
  EXPECT_LE(left, absl::Seconds(61.5) - absl::Milliseconds(50));
}

TEST_F(IncomingCallTest, InspectListsTheRequestAndTheCallsItWaitsFor) {
  ServeLeaf();
  InFlight seen;
  Serve([&](GenericServer::Call& call) {
    GenericClient::CallSettings settings;
    settings.during = [&seen](OutgoingCall& outgoing) {
      seen = Inspect();
      outgoing.TryCancel();
    };
    to_leaf_->Call(call.ctx(), settings);
    return grpc::Status::OK;
  });
  EXPECT_TRUE(CallFor(absl::Seconds(40)).first.ok());
  server_.reset();
  const InFlightRequest* found = nullptr;
  for (const InFlightRequest& request : seen.requests) {
    if (!request.waits_for.empty()) found = &request;
  }
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->method, kProbeMethod);
  EXPECT_EQ(found->style, ApiStyle::kAsync);
  EXPECT_EQ(found->deadline_owner, DeadlineOwner::kCaller);
  EXPECT_NE(found->peer, "");
  ASSERT_EQ(found->waits_for.size(), 1u);
  EXPECT_EQ(found->waits_for[0].target, leaf_->address());
}

TEST_F(IncomingCallTest, OnFinishIsToldOnceOfAnAnswer) {
  Serve([](GenericServer::Call&) { return Aborted(); }, Observed());
  Call(Background());
  server_.reset();
  ASSERT_EQ(finished_.size(), 1u);
  EXPECT_EQ(finished_[0].method, kProbeMethod);
  EXPECT_EQ(finished_[0].code, grpc::StatusCode::ABORTED);
  EXPECT_TRUE(finished_[0].answered);
  EXPECT_EQ(finished_[0].reason, EndReason::kCompleted);
}

TEST_F(IncomingCallTest, OnFinishIsToldOnceOfACallWithoutAnAnswer) {
  Serve([](GenericServer::Call&) { return Answer(); }, Observed());
  Call(Background());
  server_.reset();
  ASSERT_EQ(finished_.size(), 1u);
  EXPECT_EQ(finished_[0].code, grpc::StatusCode::CANCELLED);
  EXPECT_FALSE(finished_[0].answered);
}

TEST_F(IncomingCallTest, AFailedOperationEndsTheContextAndItsCallbacksWait) {
  bool ran = false;
  Serve([&ran](GenericServer::Call& call) -> Answer {
    const Registration after(call.ctx(), [&ran] { ran = true; });
    call.incoming->OnOperationFailed();
    EXPECT_TRUE(call.ctx().Done());
    EXPECT_FALSE(ran);
    testing::Headers trailing;
    call.incoming->Answer(Aborted(), false, trailing);
    EXPECT_TRUE(ran);
    EXPECT_EQ(EndReasonOf(call.ctx()), EndReason::kCallerLeft);
    return std::nullopt;
  });
  Call(Background());
}

TEST_F(IncomingCallTest, MalformedHeadersAreDroppedAndCounted) {
  const int64_t bad = GetGrpcStats().bad_timeouts;
  const int64_t bad_packed = GetGrpcStats().bad_packed;
  absl::Duration left;
  bool has_id = true;
  ServerOptions options;
  options.packed = true;
  Serve(
      [&](GenericServer::Call& call) {
        left = call.ctx().Remaining();
        has_id = RequestIdOf(call.ctx()) != nullptr;
        return grpc::Status::OK;
      },
      options);
  const auto stub = ProbeStub(server_->address(), std::nullopt);
  grpc::ClientContext call;
  call.AddMetadata("tether-timeout", "-1");
  call.AddMetadata("tether-reserve", "x");
  call.AddMetadata("tether", "1;t=999:1");
  call.AddMetadata("x-request-id", std::string(2000, 'x'));
  Pong pong;
  EXPECT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
  server_.reset();
  EXPECT_EQ(left, absl::InfiniteDuration());
  EXPECT_FALSE(has_id);
  EXPECT_EQ(GetGrpcStats().bad_timeouts, bad + 2);
  EXPECT_EQ(GetGrpcStats().bad_packed, bad_packed + 1);
}

TEST_F(IncomingCallTest, ADrainedServerSaysThatItIsUnavailable) {
  auto [base, cancel_base] = WithCancel(Background());
  ServerOptions options;
  options.base_context = base;
  Serve(
      [&cancel_base = cancel_base](GenericServer::Call& call) {
        cancel_base(WithEndReason(absl::UnavailableError("going away"),
                                  EndReason::kServerShutdown));
        EXPECT_TRUE(call.ctx().Done());
        return grpc::Status(grpc::StatusCode::CANCELLED, "stopped");
      },
      options);
  const grpc::Status status = Call(Background()).first;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "stopped");
}

TEST_F(IncomingCallTest, ACallThatIsNotAnsweredIsCutOffAfterTheGrace) {
  ServerOptions options = Observed();
  options.time.max_timeout = absl::Milliseconds(20);
  options.answer_grace = absl::Milliseconds(1);
  Serve(
      [](GenericServer::Call& call) -> Answer {
        call.ctx().Wait();
        // The tag of the call's end comes when it has been cut off.
        EXPECT_TRUE(call.ended.WaitForNotificationWithTimeout(kGiveUp));
        return std::nullopt;
      },
      options);
  const grpc::Status status = Call(Background()).first;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_NE(status.error_message().find("max_timeout"), std::string::npos)
      << status.error_message();
}

}  // namespace
}  // namespace tether
