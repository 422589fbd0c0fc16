// SPDX-License-Identifier: Apache-2.0
//
// Servers that shut down, handlers that throw or never finish, and threads that
// belong to gRPC.

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "testing/tcp_proxy.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/live_counts.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

// "At once", with slack for a busy machine.
constexpr absl::Duration kPrompt = absl::Seconds(1);

inline constexpr Key<int> kNumber{"number"};

std::chrono::system_clock::time_point In(absl::Duration d) {
  return absl::ToChronoTime(absl::Now() + d);
}

class ServerLifeTest : public testing::GrpcLeakCheckedTest {};

struct RunningServer {
  RunningServer(grpc::ServerBuilder& builder, ServerOptions options = {}) {
    InstallServer(builder, std::move(options));
    testing::LoopbackServer started = testing::ListenOnLoopback(builder);
    server = std::move(started.server);
    stub = testing::ProbeStub(started.address);
  }

  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<Probe::Stub> stub;
};

// ---- Shutdown ----

TEST_F(ServerLifeTest, ShutdownServerTellsHandlersAndCallersWhy) {
  auto [base_context, cancel_base_context] =
      WithCancel(WithValue(Background(), kNumber, 7));
  ServerOptions options;
  options.base_context = base_context;
  ProbeServer server({/*callback_api=*/false, options});
  absl::Notification waiting;
  absl::Status cause;
  EndReason reason = EndReason::kNone;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    const Context ctx = ContextOf(sc);
    EXPECT_EQ(*ctx.Value(kNumber), 7);
    waiting.Notify();
    ctx.WaitFor(kGiveUp);
    cause = ctx.Cause();
    reason = EndReasonOf(ctx);
    return StatusOf(ctx);
  };
  auto stub = server.Stub();
  grpc::Status status;
  std::thread caller([&] {
    grpc::ClientContext call;
    Pong pong;
    status = stub->Unary(&call, Ping(), &pong);
  });
  EXPECT_TRUE(waiting.WaitForNotificationWithTimeout(kGiveUp));
  const absl::Time start = absl::Now();
  ShutdownServer(server.server(), cancel_base_context, absl::Milliseconds(20),
                 kGiveUp);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(19));
  EXPECT_LT(absl::Now() - start, kPrompt);
  caller.join();
  EXPECT_TRUE(absl::IsUnavailable(cause));
  EXPECT_EQ(cause.message(), "the server is shutting down");
  EXPECT_EQ(reason, EndReason::kServerShutdown);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(),
            "context canceled: the server is shutting down");
}

TEST_F(ServerLifeTest, ShutdownServerLetsARequestFinishWithinTheGrace) {
  auto [base_context, cancel_base_context] = WithCancel(Background());
  ServerOptions options;
  options.base_context = base_context;
  ProbeServer server({/*callback_api=*/false, options});
  absl::Notification waiting;
  absl::Notification go_on;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    waiting.Notify();
    go_on.WaitForNotificationWithTimeout(kGiveUp);
    return StatusOf(ContextOf(sc));
  };
  auto stub = server.Stub();
  grpc::Status status(grpc::StatusCode::UNKNOWN, "");
  std::thread caller([&] {
    grpc::ClientContext call;
    Pong pong;
    status = stub->Unary(&call, Ping(), &pong);
  });
  EXPECT_TRUE(waiting.WaitForNotificationWithTimeout(kGiveUp));
  std::thread later([&] {
    absl::SleepFor(absl::Milliseconds(20));
    EXPECT_FALSE(options.base_context.Done());
    go_on.Notify();
  });
  const absl::Time start = absl::Now();
  ShutdownServer(server.server(), cancel_base_context, kGiveUp);
  EXPECT_LT(absl::Now() - start, kPrompt);
  caller.join();
  later.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(base_context.Done());
}

// ---- Connections that close ----

class ConnectionTest
    : public testing::GrpcLeakCheckedTest,
      public ::testing::WithParamInterface<testing::TcpProxy::How> {};

TEST_P(ConnectionTest, OneThatGoesEndsItsRequests) {
  ProbeServer server({});
  testing::TcpProxy proxy(server.address());
  absl::Notification waiting;
  absl::Notification ended;
  absl::Status err;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    const Context ctx = ContextOf(sc);
    waiting.Notify();
    ctx.WaitFor(kGiveUp);
    err = ctx.Err();
    ended.Notify();
    return StatusOf(ctx);
  };
  auto stub = testing::ProbeStub(proxy.address());
  std::thread cutter([&] {
    EXPECT_TRUE(waiting.WaitForNotificationWithTimeout(kGiveUp));
    proxy.Cut(GetParam());
    EXPECT_TRUE(ended.WaitForNotificationWithTimeout(kPrompt));
  });
  grpc::ClientContext call;
  // gRPC can miss a reset (docs/reliability.md).
  call.set_deadline(absl::ToChronoTime(absl::Now() + kGiveUp));
  Pong pong;
  const grpc::Status status = stub->Unary(&call, Ping(), &pong);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE)
      << status.error_message();
  cutter.join();
  EXPECT_EQ(err, absl::CancelledError("context canceled"));
}

INSTANTIATE_TEST_SUITE_P(How, ConnectionTest,
                         ::testing::Values(testing::TcpProxy::How::kReset,
                                           testing::TcpProxy::How::kClose,
                                           testing::TcpProxy::How::kHalfClose),
                         [](const auto& param_info) {
                           switch (param_info.param) {
                             case testing::TcpProxy::How::kReset:
                               return "Reset";
                             case testing::TcpProxy::How::kClose:
                               return "Closed";
                             case testing::TcpProxy::How::kHalfClose:
                               return "HalfClosed";
                           }
                           return "";
                         });

// GOAWAY, and the end of the connection a moment later.
TEST_F(ServerLifeTest, AConnectionThatIsTooOldEndsItsRequests) {
  struct Service final : Probe::Service {
    grpc::Status Unary(grpc::ServerContext* sc, const Ping*, Pong*) override {
      const Context ctx = ContextOf(*sc);
      ctx.WaitFor(kGiveUp);
      err = ctx.Err();
      return StatusOf(ctx);
    }
    absl::Status err;
  };
  Service service;
  grpc::ServerBuilder builder;
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 100);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 50);
  builder.RegisterService(&service);
  RunningServer running(builder);
  const absl::Time start = absl::Now();
  {
    grpc::ClientContext call;
    Pong pong;
    EXPECT_EQ(running.stub->Unary(&call, Ping(), &pong).error_code(),
              grpc::StatusCode::UNAVAILABLE);
  }
  running.server->Shutdown();
  EXPECT_LT(absl::Now() - start, 2 * kPrompt);
  EXPECT_EQ(service.err, absl::CancelledError("context canceled"));
}

// ---- gRPC's threads ----

// Counts reactions that find an ambient context, although none has been set.
class WatchfulChat final : public grpc::ServerBidiReactor<Ping, Pong> {
 public:
  WatchfulChat(Context ctx, std::atomic<int>& reactions,
               std::atomic<int>& strays, absl::Notification& done)
      : ctx_(std::move(ctx)),
        reactions_(reactions),
        strays_(strays),
        done_(done),
        // Runs where the context ends: on the timer's thread, in the hook of
        // the RPC's end, or in Finish.
        at_end_(ctx_, [this] { Look(); }) {
    StartSendInitialMetadata();
    StartRead(&ping_);
  }
  void OnSendInitialMetadataDone(bool) override { Look(); }
  void OnReadDone(bool ok) override {
    Look();
    // Bind carries the context to the other thread, and leaves none there.
    Bind(ctx_, [this] { EXPECT_EQ(Current(), ctx_); })();
    Look();
    if (ok) {
      StartWrite(&pong_);
    } else {
      Finish(grpc::Status::OK);
    }
  }
  void OnWriteDone(bool) override {
    Look();
    StartRead(&ping_);
  }
  void OnCancel() override { Look(); }
  void OnDone() override {
    Look();
    absl::Notification& done = done_;
    delete this;
    done.Notify();
  }

 private:
  void Look() {
    ++reactions_;
    if (Current() != Background()) ++strays_;
  }

  const Context ctx_;
  std::atomic<int>& reactions_;
  std::atomic<int>& strays_;
  absl::Notification& done_;
  Ping ping_;
  Pong pong_;
  Registration at_end_;
};

class ChatService final : public Probe::CallbackService {
 public:
  grpc::ServerBidiReactor<Ping, Pong>* Chat(
      grpc::CallbackServerContext* sc) override {
    EXPECT_EQ(Current(), ContextOf(*sc));
    auto* reactor = new WatchfulChat(ContextOf(*sc), reactions, strays, done);
    EXPECT_EQ(Current(), ContextOf(*sc));
    return reactor;
  }
  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* sc, const Ping*,
                                  Pong*) override {
    kept = ContextOf(*sc);
    throw std::runtime_error("handler");
  }

  std::atomic<int> reactions{0};
  std::atomic<int> strays{0};
  absl::Notification done;
  Context kept;
};

TEST_F(ServerLifeTest, NoReactionOfACallbackServerFindsALeftContext) {
  for (const bool cancelled : {false, true}) {
    ChatService service;
    grpc::ServerBuilder builder;
    builder.RegisterService(&service);
    RunningServer running(builder);
    {
      grpc::ClientContext call;
      auto stream = running.stub->Chat(&call);
      Pong pong;
      for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(stream->Write(Ping()));
        EXPECT_TRUE(stream->Read(&pong));
      }
      if (cancelled) {
        call.TryCancel();
      } else {
        stream->WritesDone();
      }
      EXPECT_EQ(stream->Finish().ok(), !cancelled);
    }
    EXPECT_TRUE(service.done.WaitForNotificationWithTimeout(kGiveUp));
    EXPECT_GT(service.reactions, 60);
    EXPECT_EQ(service.strays, 0);
    running.server->Shutdown();
  }
}

TEST_F(ServerLifeTest, AnExceptionInACallbackHandlerEndsItsContext) {
  ChatService service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  RunningServer running(builder);
  {
    grpc::ClientContext call;
    Pong pong;
    EXPECT_FALSE(running.stub->Unary(&call, Ping(), &pong).ok());
  }
  EXPECT_TRUE(service.kept.WaitFor(kPrompt));
  EXPECT_EQ(Current(), Background());
  running.server->Shutdown();
  service.kept = Context();
}

// A client that makes one unary call on its own thread.
struct Caller {
  explicit Caller(Probe::Stub& stub)
      : thread([this, &stub] {
          status = stub.Unary(&call, Ping(), &pong);
          returned.Notify();
        }) {}
  ~Caller() {
    if (thread.joinable()) thread.join();
  }
  grpc::ClientContext call;
  Pong pong;
  grpc::Status status;
  absl::Notification returned;
  std::thread thread;
};

// ---- Who reads from the sockets ----

// A sync server that has no thread left to poll refuses the request, so tether
// need not poll for it.
TEST_F(ServerLifeTest, ASyncServerWhoseThreadsAllWaitLearnsThatACallerLeft) {
  grpc::ServerBuilder builder;
  builder.SetResourceQuota(grpc::ResourceQuota().SetMaxThreads(4));
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
  struct Service final : Probe::Service {
    grpc::Status Unary(grpc::ServerContext* sc, const Ping*, Pong*) override {
      ++waiting;
      EXPECT_TRUE(ContextOf(*sc).WaitFor(kGiveUp));
      ++told;
      return grpc::Status::OK;
    }
    std::atomic<int> waiting{0};
    std::atomic<int> told{0};
  } service;
  builder.RegisterService(&service);
  RunningServer running(builder);
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 8; ++i) {
    callers.push_back(std::make_unique<Caller>(*running.stub));
  }
  const absl::Time give_up = absl::Now() + kGiveUp;
  const auto refused = [&] {
    return std::count_if(callers.begin(), callers.end(), [](const auto& c) {
      return c->returned.HasBeenNotified();
    });
  };
  while (service.waiting + refused() < 8 && absl::Now() < give_up) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_GT(service.waiting, 0);
  EXPECT_GT(refused(), 0);  // all threads are in use
  while (GetGrpcStats().watches < service.waiting && absl::Now() < give_up) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  const absl::Time start = absl::Now();
  for (const auto& caller : callers) caller->call.TryCancel();
  while (service.told < service.waiting && absl::Now() < give_up) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_LT(absl::Now() - start, kPrompt);
  callers.clear();
  running.server->Shutdown();
}

// ---- Async servers ----

// A server with a queue that the test serves itself.
struct AsyncServer {
  explicit AsyncServer(bool generic = false) {
    grpc::ServerBuilder builder;
    if (generic) {
      builder.RegisterAsyncGenericService(&generic_service);
    } else {
      builder.RegisterService(&service);
    }
    queue = builder.AddCompletionQueue();
    running.emplace(builder);
  }

  // Shuts the server down, and drains the queue.
  ~AsyncServer() {
    std::thread drain([this] {
      void* tag;
      bool ok;
      while (queue->Next(&tag, &ok)) {
      }
    });
    running->server->Shutdown(In(absl::ZeroDuration()));
    queue->Shutdown();
    drain.join();
  }

  // The next event's tag; null if it failed.
  void* Next() {
    void* tag = nullptr;
    bool ok = false;
    if (queue->AsyncNext(&tag, &ok, In(kGiveUp)) !=
        grpc::CompletionQueue::GOT_EVENT) {
      ADD_FAILURE() << "no event";
      return nullptr;
    }
    return ok ? tag : nullptr;
  }

  Probe::AsyncService service;
  grpc::AsyncGenericService generic_service;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  std::optional<RunningServer> running;
};

struct AsyncUnary {
  explicit AsyncUnary(AsyncServer& server) {
    server.service.RequestUnary(&sc, &ping, &writer, server.queue.get(),
                                server.queue.get(), this);
  }
  grpc::ServerContext sc;
  Ping ping;
  grpc::ServerAsyncResponseWriter<Pong> writer{&sc};
};

TEST_F(ServerLifeTest, AnAsyncServersThreadKeepsItsOwnContext) {
  AsyncServer server;
  const Context mine = WithValue(Background(), kNumber, 1);
  AsyncUnary rpc(server);
  EXPECT_EQ(ContextOf(rpc.sc), Background());  // no request has arrived yet
  Caller caller(*server.running->stub);
  {
    ScopedContext scope(mine);
    ASSERT_EQ(server.Next(), &rpc);
    EXPECT_EQ(Current(), mine);
    EXPECT_NE(ContextOf(rpc.sc), Background());
    rpc.writer.Finish(Pong(), grpc::Status::OK, nullptr);
    EXPECT_EQ(Current(), mine);
    server.Next();
    EXPECT_EQ(Current(), mine);
  }
  EXPECT_EQ(Current(), Background());
  caller.thread.join();
  EXPECT_TRUE(caller.status.ok());
}

// gRPC makes interceptors for such requests, and never calls them.
TEST_F(ServerLifeTest, RequestsThatAnAsyncServerStillWaitsForLeaveNothing) {
  {
    std::vector<std::unique_ptr<AsyncUnary>> pending;
    AsyncServer server;
    for (int i = 0; i < 8; ++i) {
      pending.push_back(std::make_unique<AsyncUnary>(server));
    }
    std::thread drain([&] {
      for (int i = 0; i < 8; ++i) EXPECT_EQ(server.Next(), nullptr);
    });
    server.running->server->Shutdown(In(absl::ZeroDuration()));
    drain.join();
  }
  std::vector<std::unique_ptr<grpc::GenericServerContext>> contexts;
  std::vector<std::unique_ptr<grpc::GenericServerAsyncReaderWriter>> streams;
  AsyncServer server(/*generic=*/true);
  for (int i = 0; i < 8; ++i) {
    contexts.push_back(std::make_unique<grpc::GenericServerContext>());
    streams.push_back(std::make_unique<grpc::GenericServerAsyncReaderWriter>(
        contexts.back().get()));
    server.generic_service.RequestCall(contexts.back().get(),
                                       streams.back().get(), server.queue.get(),
                                       server.queue.get(), nullptr);
  }
  std::thread drain([&] {
    for (int i = 0; i < 8; ++i) EXPECT_EQ(server.Next(), nullptr);
  });
  server.running->server->Shutdown(In(absl::ZeroDuration()));
  drain.join();
}

TEST_F(ServerLifeTest, ShutdownEndsTheContextsOfPendingAsyncCalls) {
  AsyncServer server;
  auto rpc = std::make_unique<AsyncUnary>(server);
  Caller caller(*server.running->stub);
  ASSERT_EQ(server.Next(), rpc.get());
  const Context ctx = ContextOf(rpc->sc);
  EXPECT_FALSE(ctx.Done());
  std::thread shutdown(
      [&] { server.running->server->Shutdown(In(absl::Milliseconds(10))); });
  EXPECT_TRUE(ctx.WaitFor(kPrompt));
  EXPECT_EQ(ctx.Err(), absl::CancelledError("context canceled"));
  rpc->writer.FinishWithError(StatusOf(ctx), rpc.get());
  shutdown.join();
  server.Next();
  caller.thread.join();
  EXPECT_EQ(caller.status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

// The context outlives gRPC's objects for the call.
TEST_F(ServerLifeTest, AnAsyncCallThatIsNeverFinishedEndsWithItsCaller) {
  AsyncServer server;
  auto rpc = std::make_unique<AsyncUnary>(server);
  Caller caller(*server.running->stub);
  ASSERT_EQ(server.Next(), rpc.get());
  const Context ctx = ContextOf(rpc->sc);
  EXPECT_FALSE(ctx.Done());
  rpc.reset();
  caller.call.TryCancel();
  caller.thread.join();
  EXPECT_EQ(caller.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(ctx.WaitFor(kPrompt));
  EXPECT_EQ(ctx.Cause().message(), "the caller cancelled the call or is gone");
}

// The context isn't observed, so no watch is made, and none is needed.
TEST_F(ServerLifeTest, AnAsyncCallThatIsDroppedUnobservedLeavesNothing) {
  AsyncServer server;
  auto rpc = std::make_unique<AsyncUnary>(server);
  Caller caller(*server.running->stub);
  ASSERT_EQ(server.Next(), rpc.get());
  EXPECT_EQ(GetGrpcStats().watches, 0);
  EXPECT_EQ(internal::LiveCount(internal::Live::kCallback), 0);
  rpc.reset();
  caller.call.TryCancel();
  caller.thread.join();
  EXPECT_EQ(GetGrpcStats().watches, 0);
}

}  // namespace
}  // namespace tether
