// SPDX-License-Identifier: Apache-2.0
//
// The attributes and the status of RPC spans.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/shutdown.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/live_counts.h"
#include "tether/opentelemetry/testing/fixture.h"
#include "tether/propagation/testing/fake_propagators.h"
#include "tether/propagation/trace_context.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

namespace trace = testing::trace;
using testing::ActiveSpan;
using testing::Exported;
using testing::Hook;
using testing::kGiveUp;
using testing::kToConnect;
using testing::Methods;
using testing::OpenTelemetryFixture;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;
using testing::Receiver;

class SpanContentTest : public OpenTelemetryFixture {};

TEST_F(SpanContentTest, SpansHaveTheAttributesOfTheConventions) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  auto stub = Stub(server);
  grpc::ClientContext call;
  EXPECT_TRUE(Call(*stub, call).ok());
  const auto [client_span, server_span] = ClientAndServer();
  for (const Exported& span : {client_span, server_span}) {
    EXPECT_EQ(span.name, "tether.testing.Probe/Unary");
    EXPECT_EQ(span.texts, (std::map<std::string, std::string>{
                              {"rpc.system", "grpc"},
                              {"rpc.service", "tether.testing.Probe"},
                              {"rpc.method", "Unary"},
                              {"network.peer.address", "127.0.0.1"}}));
    EXPECT_EQ(span.numbers.size(), 2u);  // no deadline
    EXPECT_EQ(span.code(), 0);
    EXPECT_EQ(span.status, trace::StatusCode::kUnset);
    EXPECT_EQ(span.description, "");
  }
  EXPECT_EQ("127.0.0.1:" +
                std::to_string(client_span.numbers.at("network.peer.port")),
            server.address());
  EXPECT_GT(server_span.numbers.at("network.peer.port"), 0);
}

TEST_F(SpanContentTest, AServerSpanSaysHowMuchTimeWasLeft) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  auto stub = Stub(server);
  auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  ClientCall call(ctx);
  EXPECT_TRUE(Call(*stub, call).ok());
  const Exported span = ClientAndServer().server;
  const int64_t left = span.numbers.at("tether.budget.remaining_us");
  EXPECT_GT(left, absl::ToInt64Microseconds(kGiveUp / 2));
  EXPECT_LE(left, absl::ToInt64Microseconds(kGiveUp));
  EXPECT_EQ(span.cause(), "");
}

TEST_F(SpanContentTest, ErrorsAreThoseOfTheConventions) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext&, const Ping& ping, Pong*) {
    return grpc::Status(static_cast<grpc::StatusCode>(ping.number()), "why");
  };
  auto stub = Stub(server);
  const std::set<int> the_servers_fault = {2, 4, 12, 13, 14, 15};
  for (int code = 1; code <= 16; ++code) {
    grpc::ClientContext call;
    EXPECT_EQ(Call(*stub, call, code).error_code(), code);
    const auto [client_span, server_span] = ClientAndServer();
    EXPECT_EQ(client_span.code(), code);
    EXPECT_EQ(server_span.code(), code);
    EXPECT_EQ(client_span.status, trace::StatusCode::kError) << code;
    EXPECT_EQ(client_span.description, "why");
    const bool error = the_servers_fault.count(code) != 0;
    EXPECT_EQ(server_span.status == trace::StatusCode::kError, error) << code;
    EXPECT_EQ(server_span.description, error ? "why" : "");
  }
}

TEST_F(SpanContentTest, AnExceptionInAHandlerIsAnErrorOfItsSpan) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) -> grpc::Status {
    throw std::runtime_error("oops");
  };
  auto stub = Stub(server);
  grpc::ClientContext call;
  EXPECT_EQ(Call(*stub, call).error_code(), grpc::StatusCode::UNKNOWN);
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(server_span.code(), 2);
  EXPECT_EQ(server_span.status, trace::StatusCode::kError);
  EXPECT_EQ(client_span.code(), 2);
}

TEST_F(SpanContentTest, BothSidesSayWhyACallWasCancelled) {
  for (const bool callback_api : {false, true}) {
    ProbeServer server(callback_api ? BridgedCallback() : Bridged());
    absl::Notification entered;
    server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
      entered.Notify();
      ContextOf(sc).WaitFor(kGiveUp);
      return StatusOf(ContextOf(sc));
    };
    std::thread waiter;
    server.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                                Pong*) {
      auto* reactor = sc->DefaultReactor();
      waiter = std::thread([&, reactor, ctx = ContextOf(*sc)] {
        entered.Notify();
        ctx.WaitFor(kGiveUp);
        reactor->Finish(StatusOf(ctx));
      });
      return reactor;
    };
    auto stub = Stub(server);
    auto [ctx, cancel] = WithCancel(Background());
    std::thread leaver([&, &cancel = cancel] {
      entered.WaitForNotification();
      cancel(absl::CancelledError("the user left"));
    });
    {
      ClientCall call(ctx);
      EXPECT_EQ(Call(*stub, call).error_code(), grpc::StatusCode::CANCELLED);
    }
    leaver.join();
    const auto [client_span, server_span] = ClientAndServer();
    EXPECT_EQ(client_span.code(), 1);
    EXPECT_EQ(client_span.cause(), "CANCELLED: the user left");
    EXPECT_EQ(client_span.status, trace::StatusCode::kError);
    EXPECT_EQ(server_span.code(), 1);
    EXPECT_EQ(server_span.cause(),
              "CANCELLED: the caller cancelled the call or is gone");
    EXPECT_EQ(server_span.status, trace::StatusCode::kUnset);
    if (waiter.joinable()) waiter.join();
  }
}

TEST_F(SpanContentTest, ADeadlineThatPassedIsTheCause) {
  ProbeServer server(Bridged());
  absl::Notification client_gave_up;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    // The handler has a little less time, so without this it would answer
    // first.
    client_gave_up.WaitForNotification();
    // The handler's time began when the request arrived. Observing the context
    // now would report the caller's cancellation.
    while (ContextOf(sc).Remaining() > absl::ZeroDuration()) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    return StatusOf(ContextOf(sc));
  };
  auto stub = Stub(server);
  auto [ctx, cancel] = WithTimeout(Background(), kToConnect,
                                   absl::DeadlineExceededError("out of time"));
  ClientCall call(ctx);
  EXPECT_EQ(Call(*stub, call).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  client_gave_up.Notify();
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(client_span.code(), 4);
  // Core's timer may fire a millisecond before the context ends. The cause is
  // the same.
  EXPECT_EQ(client_span.cause(), "DEADLINE_EXCEEDED: out of time");
  EXPECT_EQ(server_span.code(), 4);
  EXPECT_EQ(server_span.cause().substr(0, 17), "DEADLINE_EXCEEDED");
}

TEST_F(SpanContentTest, ADeadlineThatTheCalleeNoticedFirstIsTheCauseToo) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    ContextOf(sc).WaitFor(kGiveUp);
    return StatusOf(ContextOf(sc));
  };
  auto stub = Stub(server);
  // The callee gives up half a second before the caller.
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(2),
                                   absl::DeadlineExceededError("out of time"));
  CallOptions options;
  options.reserve = Reserve{absl::Milliseconds(500), 0, absl::Seconds(1)};
  ClientCall call(ctx, options);
  EXPECT_EQ(Call(*stub, call).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_FALSE(ctx.Done());
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(client_span.cause(), "DEADLINE_EXCEEDED: out of time");
  EXPECT_EQ(server_span.cause(),
            "DEADLINE_EXCEEDED: the caller's deadline has passed");
}

// In these two, tether sends another status than the handler's.
TEST_F(SpanContentTest, ARequestThatADrainingServerEndsIsUnavailable) {
  Cancellable base = WithCancel(Background());
  {
    ServerOptions options;
    options.base_context = base.ctx;
    ProbeServer server(Bridged(options));
    absl::Notification entered;
    server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
      entered.Notify();
      const Context ctx = ContextOf(sc);
      ctx.WaitFor(kGiveUp);
      return ToGrpcStatus(ctx.Err());  // CANCELLED
    };
    auto stub = Stub(server);
    std::thread drain([&] {
      entered.WaitForNotification();
      ShutdownServer(server.server(), base.cancel, absl::ZeroDuration(),
                     /*cancel_grace=*/kGiveUp);
    });
    grpc::ClientContext call;
    EXPECT_EQ(Call(*stub, call).error_code(), grpc::StatusCode::UNAVAILABLE);
    drain.join();
  }
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(client_span.code(), 14);
  EXPECT_EQ(server_span.code(), 14);
  EXPECT_EQ(server_span.status, trace::StatusCode::kError);
  base = Cancellable();
}

TEST_F(SpanContentTest, ARequestThatIsTurnedAwayIsDeadlineExceeded) {
  ServerOptions options;
  options.time.min_budget = absl::Hours(1);
  options.shed_fraction = 1;
  ProbeServer server(Bridged(options));
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  auto stub = Stub(server);
  auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  ClientCall call(ctx);
  EXPECT_EQ(Call(*stub, call).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(client_span.code(), 4);
  EXPECT_EQ(server_span.code(), 4);
  EXPECT_EQ(server_span.status, trace::StatusCode::kError);
}

TEST_F(SpanContentTest, AnApplicationsDeadlineExceededHasNoCause) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "row lock");
  };
  auto stub = Stub(server);
  auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  ClientCall call(ctx);
  EXPECT_EQ(Call(*stub, call).error_message(), "row lock");
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(client_span.cause(), "");
  EXPECT_EQ(server_span.cause(), "");
}

TEST_F(SpanContentTest, ACallOfAnEndedContextHasASpanThoughNothingIsSent) {
  Receiver receiver;
  auto stub = Stub(receiver.server());
  auto [ctx, cancel] = WithCancel(Background());
  cancel(absl::CancelledError("too late"));
  ClientCall call(ctx);
  EXPECT_EQ(Call(*stub, call).error_code(), grpc::StatusCode::CANCELLED);
  const Exported span = Spans(1).at(0);
  EXPECT_EQ(span.code(), 1);
  EXPECT_EQ(span.cause(), "CANCELLED: too late");
}

// The span doesn't observe the context either, because each call would then
// cost a watch.
TEST_F(SpanContentTest, AHandlerThatNeverLooksMakesNoWatch) {
  int64_t watches = -1;
  const auto after = [&](Methods* methods, auto*) {
    // This runs after the bridge, which has ended the span by now. A watch
    // would live until the status has been sent.
    if (methods->QueryInterceptionHookPoint(Hook::PRE_SEND_STATUS)) {
      // A watch that has not started yet waits in a callback.
      watches = GetGrpcStats().watches +
                internal::LiveCount(internal::Live::kCallback);
    }
    methods->Proceed();
  };
  ProbeServer server(BridgedBetween(nullptr, after));
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  EXPECT_TRUE(Call(*stub, call).ok());
  EXPECT_EQ(Spans(1).at(0).cause(), "");
  EXPECT_EQ(watches, 0);
}

TEST_F(SpanContentTest, AThrowingPropagatorCostsNoSpan) {
  const int64_t before = GetGrpcStats().exceptions;
  ServerOptions server_options;
  server_options.propagator = std::make_shared<testing::ThrowingPropagator>();
  ProbeServer server(Bridged(server_options));
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_EQ(TraceOf(ContextOf(sc))->SpanIdHex(), ActiveSpan());
    return grpc::Status::OK;
  };
  ClientOptions client_options;
  client_options.propagator = std::make_shared<testing::ThrowingPropagator>();
  auto stub = Stub(server, client_options);
  grpc::ClientContext call;
  EXPECT_TRUE(Call(*stub, call).ok());
  EXPECT_EQ(GetGrpcStats().exceptions, before + 2);
  ClientAndServer();
}

}  // namespace
}  // namespace tether
