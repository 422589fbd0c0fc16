// SPDX-License-Identifier: Apache-2.0
//
// Spans are active at the right time, and end exactly once, whatever happens to
// their call.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/notification.h"
#include "opentelemetry/trace/provider.h"
#include "opentelemetry/trace/scope.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/mutex.h"
#include "tether/opentelemetry/span.h"
#include "tether/opentelemetry/testing/fixture.h"
#include "tether/propagation/trace_context.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

namespace nostd = testing::nostd;
namespace trace = testing::trace;
using testing::ActiveSpan;
using testing::Hook;
using testing::kGiveUp;
using testing::kNoSpan;
using testing::Methods;
using testing::OpenTelemetryFixture;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;
using testing::Receiver;

class SpanLifeTest : public OpenTelemetryFixture {};

// --- streams ---

TEST_F(SpanLifeTest, AStreamHasOneSpanOnEachSide) {
  ProbeServer server(Bridged());
  server.download = [](grpc::ServerContext& sc, const Ping&,
                       grpc::ServerWriter<Pong>* writer) {
    EXPECT_EQ(TraceOf(ContextOf(sc))->SpanIdHex(), ActiveSpan());
    for (int i = 0; i < 10; ++i) writer->Write(Pong());
    return grpc::Status::OK;
  };
  auto stub = Stub(server);
  {
    grpc::ClientContext call;
    auto reader = stub->Download(&call, Ping());
    Pong pong;
    while (reader->Read(&pong)) {
    }
    EXPECT_TRUE(reader->Finish().ok());
  }
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(client_span.name, "tether.testing.Probe/Download");
  EXPECT_EQ(client_span.code(), 0);
  EXPECT_EQ(server_span.code(), 0);
  EXPECT_EQ(server_span.parent_id, client_span.id);
}

TEST_F(SpanLifeTest, AnAbandonedStreamsSpansEndToo) {
  ProbeServer server(Bridged());
  server.download = [](grpc::ServerContext& sc, const Ping&,
                       grpc::ServerWriter<Pong>* writer) {
    writer->Write(Pong());
    ContextOf(sc).WaitFor(kGiveUp);
    return StatusOf(ContextOf(sc));
  };
  auto stub = Stub(server);
  {
    grpc::ClientContext call;
    auto reader = stub->Download(&call, Ping());
    Pong pong;
    EXPECT_TRUE(reader->Read(&pong));
  }  // not read to its end, and not finished
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(client_span.code(), -1);
  EXPECT_EQ(client_span.status, trace::StatusCode::kError);
  EXPECT_EQ(client_span.description, "the call ended without a status");
  EXPECT_EQ(server_span.code(), 1);
  EXPECT_EQ(server_span.cause(),
            "CANCELLED: the caller cancelled the call or is gone");
}

// --- the callback and async APIs, and shutdown ---

TEST_F(SpanLifeTest, TheSpanIsActiveInACallbackHandlersMethodOnly) {
  ProbeServer server(BridgedCallback());
  std::thread worker;
  server.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                              Pong*) {
    const Context ctx = ContextOf(*sc);
    EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), ActiveSpan());
    auto* reactor = sc->DefaultReactor();
    worker = std::thread([ctx, reactor] {
      EXPECT_EQ(ActiveSpan(), kNoSpan);
      {
        const auto active = ActivateSpan(ctx);
        EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), ActiveSpan());
      }
      EXPECT_EQ(ActiveSpan(), kNoSpan);
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  };
  auto stub = Stub(server);
  {
    grpc::ClientContext call;
    EXPECT_TRUE(Call(*stub, call).ok());
  }
  worker.join();
  EXPECT_EQ(ClientAndServer().server.code(), 0);
}

// A list that several threads add to.
class Seen {
 public:
  void Add(std::string what) {
    internal::MutexLock lock(mutex_);
    all_.push_back(std::move(what));
    added_.NotifyAll();
  }

  // Returns when there are `n`, or after kGiveUp.
  std::vector<std::string> WaitFor(size_t n) {
    internal::MutexLock lock(mutex_);
    const auto latest =
        std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(kGiveUp);
    while (all_.size() < n && std::chrono::steady_clock::now() < latest) {
      added_.WaitUntil(mutex_, latest);
    }
    return all_;
  }

 private:
  internal::Mutex mutex_;
  internal::CondVar added_;
  std::vector<std::string> all_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(SpanLifeTest, NothingStaysActiveOnThreadsOfGrpc) {
  for (const bool callback_api : {false, true}) {
    // Records the active span on gRPC's own threads before and after everything
    // else. It is listed after the bridge, so it is the first to see a request
    // and the last to run on its thread: maybe after the call has ended, and
    // concurrently with the next call.
    const auto seen = std::make_shared<Seen>();
    const auto outermost = [seen](Methods* methods, auto*) {
      const std::shared_ptr<Seen> kept = seen;  // `this` may be destroyed
      const bool request =
          methods->QueryInterceptionHookPoint(Hook::POST_RECV_INITIAL_METADATA);
      if (request) kept->Add(ActiveSpan());
      methods->Proceed();  // this also runs the handler
      if (request) kept->Add(ActiveSpan());
    };
    ProbeServer::Options options = BridgedBetween(nullptr, outermost);
    options.callback_api = callback_api;
    // Scopes that handlers forget to end. Another thread destroys them, which
    // changes nothing on the handlers' threads.
    std::vector<std::unique_ptr<trace::Scope>> forgotten;
    std::vector<nostd::unique_ptr<opentelemetry::context::Token>> tokens;
    const auto forget = [&](const grpc::ServerContextBase& sc) {
      forgotten.push_back(
          std::make_unique<trace::Scope>(SpanOf(ContextOf(sc))));
      tokens.push_back(ActivateSpan(ContextOf(sc)));
      forgotten.push_back(
          std::make_unique<trace::Scope>(SpanOf(ContextOf(sc))));
    };
    ProbeServer server(options);
    server.unary = [&](grpc::ServerContext& sc, const Ping& ping, Pong*) {
      EXPECT_NE(ActiveSpan(), kNoSpan);
      forget(sc);
      if (ping.number() == 1) throw std::runtime_error("oops");
      return grpc::Status::OK;
    };
    server.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                                Pong*) {
      EXPECT_NE(ActiveSpan(), kNoSpan);
      forget(*sc);
      auto* reactor = sc->DefaultReactor();
      reactor->Finish(grpc::Status::OK);
      return reactor;
    };
    auto stub = server.Stub(std::nullopt);
    for (int number : {0, 1, 0}) {
      grpc::ClientContext call;
      Call(*stub, call, number);
    }
    EXPECT_EQ(seen->WaitFor(6), std::vector<std::string>(6, kNoSpan));
    EXPECT_EQ(forgotten.size(), 6u);
    Spans(3);
  }
}

TEST_F(SpanLifeTest, HooksOfOtherInterceptorsRunInTheSpan) {
  std::string seen;
  const auto before = [&](Methods* methods,
                          grpc::experimental::ServerRpcInfo* info) {
    if (methods->QueryInterceptionHookPoint(Hook::POST_RECV_INITIAL_METADATA)) {
      const Context ctx = ContextOf(*info->server_context());
      EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), ActiveSpan());
      seen = ActiveSpan();
    }
    methods->Proceed();
  };
  ProbeServer server(BridgedBetween(before, nullptr));
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  EXPECT_TRUE(Call(*stub, call).ok());
  EXPECT_EQ(Spans(1).at(0).id, seen);
}

TEST_F(SpanLifeTest, AShutdownThatCutsACallOffEndsItsSpans) {
  ProbeServer server(Bridged());
  absl::Notification entered;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    entered.Notify();
    ContextOf(sc).WaitFor(kGiveUp);
    return StatusOf(ContextOf(sc));
  };
  auto stub = Stub(server);
  std::thread caller([&] {
    grpc::ClientContext call;
    EXPECT_FALSE(Call(*stub, call).ok());
  });
  entered.WaitForNotification();
  server.server().Shutdown(std::chrono::system_clock::now());
  caller.join();
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_NE(client_span.code(), 0);
  EXPECT_NE(server_span.cause(), "");
}

// If an async server is shut down while it waits for requests, gRPC destroys
// interceptors that have seen no hook.
TEST_F(SpanLifeTest, AnAsyncServersSpansEndWithItsCalls) {
  Probe::AsyncService service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  InstallServerWithOpenTelemetry(builder, {}, telemetry_);
  auto queue = builder.AddCompletionQueue();
  const testing::LoopbackServer started = testing::ListenOnLoopback(builder);
  grpc::Server* const server = started.server.get();
  auto stub = Probe::NewStub(CreateChannelWithOpenTelemetry(
      started.address, grpc::InsecureChannelCredentials(), {},
      testing::OwnConnection(), telemetry_));
  struct Request {
    grpc::ServerContext context;
    Ping ping;
    grpc::ServerAsyncResponseWriter<Pong> responder{&context};
  };
  auto answered = std::make_unique<Request>();
  auto dropped = std::make_unique<Request>();
  auto never_came = std::make_unique<Request>();
  const auto ask = [&](Request& request) {
    service.RequestUnary(&request.context, &request.ping, &request.responder,
                         queue.get(), queue.get(), &request);
  };
  void* tag = nullptr;
  bool ok = false;

  ask(*answered);
  std::thread caller([&] {
    grpc::ClientContext call;
    EXPECT_TRUE(Call(*stub, call).ok());
  });
  ASSERT_TRUE(queue->Next(&tag, &ok) && ok);
  EXPECT_EQ(ActiveSpan(), kNoSpan);  // the handler doesn't run in a hook
  EXPECT_TRUE(SpanOf(ContextOf(answered->context))->IsRecording());
  answered->responder.Finish(Pong(), grpc::Status::OK, answered.get());
  ASSERT_TRUE(queue->Next(&tag, &ok) && ok);
  caller.join();
  {
    const auto [client_span, server_span] = ClientAndServer();
    EXPECT_EQ(server_span.code(), 0);
    EXPECT_EQ(server_span.parent_id, client_span.id);
  }
  answered.reset();

  ask(*dropped);
  std::thread second_caller([&] {
    auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
    ClientCall call(ctx);
    EXPECT_FALSE(Call(*stub, call).ok());
  });
  ASSERT_TRUE(queue->Next(&tag, &ok) && ok);
  ask(*never_came);
  server->Shutdown(std::chrono::system_clock::now());
  second_caller.join();
  dropped.reset();
  queue->Shutdown();
  while (queue->Next(&tag, &ok)) EXPECT_FALSE(ok);
  never_came.reset();
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_NE(client_span.code(), 0);
  EXPECT_EQ(server_span.code(), -1);
  EXPECT_EQ(server_span.status, trace::StatusCode::kError);
}

// --- without the SDK ---

TEST_F(SpanLifeTest, WithoutAnSdkTheTraceGoesOnAsWithoutTheBridge) {
  telemetry_.tracer_provider = trace::Provider::GetTracerProvider();
  Receiver receiver;
  auto next = Stub(receiver.server());
  ProbeServer server(Bridged());
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    const Context ctx = ContextOf(sc);
    EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), "00f067aa0ba902b7");
    EXPECT_FALSE(SpanOf(ctx)->IsRecording());
    EXPECT_EQ(ActiveSpan(), "00f067aa0ba902b7");
    ClientCall call(ctx);
    return Call(*next, call);
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  call.AddMetadata("traceparent",
                   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  call.AddMetadata("tracestate", "acme=p:3");
  EXPECT_TRUE(Call(*stub, call).ok());
  const auto sent = ParseTraceParent(receiver.Get("traceparent"));
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(sent->TraceIdHex(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_NE(sent->SpanIdHex(), "00f067aa0ba902b7");
  EXPECT_TRUE(sent->sampled());
  EXPECT_EQ(receiver.Get("tracestate"), "acme=p:3");
}

}  // namespace
}  // namespace tether
