// SPDX-License-Identifier: Apache-2.0
//
// gRPC keeps a server's core call until it has destroyed the interceptors of
// the RPC. ServerCall relies on that instead of a reference of its own.

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe.grpc.pb.h"
#include "tether/grpc/testing/probe_server.h"

namespace tether {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::ServerInterceptorFactoryInterface;
using grpc::experimental::ServerRpcInfo;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

struct Seen {
  std::atomic<int> destroyed{0};  // interceptors that had seen headers
  std::atomic<int> named{0};      // those whose core call could name its peer
};

// Uses the core call in its destructor. With --config=asan, a call that is gone
// is reported.
class Witness final : public grpc::experimental::Interceptor {
 public:
  Witness(ServerRpcInfo* info, Seen* seen) : info_(info), seen_(seen) {}
  ~Witness() override {
    if (call_ == nullptr) return;
    first_byte_ = *reinterpret_cast<const volatile char*>(call_);
    grpc_call_ref(call_);
    char* peer = grpc_call_get_peer(call_);
    if (std::string(peer).find("127.0.0.1") != std::string::npos) {
      ++seen_->named;
    }
    gpr_free(peer);
    grpc_call_unref(call_);
    ++seen_->destroyed;
  }

  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      call_ = info_->server_context()->c_call();
    }
    methods->Proceed();
  }

 private:
  ServerRpcInfo* const info_;
  Seen* const seen_;
  grpc_call* call_ = nullptr;
  volatile char first_byte_ = 0;
};

class WitnessFactory final : public ServerInterceptorFactoryInterface {
 public:
  explicit WitnessFactory(Seen* seen) : seen_(seen) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      ServerRpcInfo* info) override {
    return new Witness(info, seen_);
  }

 private:
  Seen* const seen_;
};

class CoreCallLifeTest : public testing::GrpcLeakCheckedTest {
 protected:
  void Install(grpc::ServerBuilder& builder) {
    std::vector<std::unique_ptr<ServerInterceptorFactoryInterface>> list;
    list.push_back(std::make_unique<WitnessFactory>(&seen_));
    list.push_back(std::make_unique<ServerInterceptorFactory>());
    builder.experimental().SetInterceptorCreators(std::move(list));
  }

  ProbeServer::Options OptionsOf(bool callback_api) {
    ProbeServer::Options options;
    options.callback_api = callback_api;
    options.install = [this](grpc::ServerBuilder& builder) {
      Install(builder);
    };
    return options;
  }

  // The server must be gone. gRPC may forget the peer of a call that has been
  // cancelled, so only the calls that were answered must have named theirs.
  void ExpectWitnesses(int count, int answered) const {
    EXPECT_EQ(seen_.destroyed, count);
    EXPECT_GE(seen_.named, answered);
  }

  Seen seen_;
};

TEST_F(CoreCallLifeTest, OfASyncHandlerThatAnswersOrWhoseCallerLeaves) {
  {
    ProbeServer server(OptionsOf(/*callback_api=*/false));
    const Cancellable cancellable = WithCancel(Background());
    server.unary = [&](grpc::ServerContext& sc, const Ping& ping, Pong*) {
      if (ping.number() == 0) return grpc::Status::OK;
      cancellable.cancel();
      ContextOf(sc).Wait();
      return StatusOf(ContextOf(sc));
    };
    const auto stub = server.Stub();
    for (const int number : {0, 1}) {
      ClientCall call(cancellable.ctx);
      Ping ping;
      ping.set_number(number);
      Pong pong;
      EXPECT_EQ(stub->Unary(&call, ping, &pong).ok(), number == 0);
    }
  }
  ExpectWitnesses(2, /*answered=*/1);
}

TEST_F(CoreCallLifeTest, OfACallbackHandler) {
  {
    ProbeServer server(OptionsOf(/*callback_api=*/true));
    server.callback_unary = [](grpc::CallbackServerContext* sc, const Ping*,
                               Pong*) {
      auto* reactor = sc->DefaultReactor();
      reactor->Finish(grpc::Status::OK);
      return reactor;
    };
    ClientCall call(Background());
    Pong pong;
    EXPECT_TRUE(server.Stub()->Unary(&call, Ping(), &pong).ok());
  }
  ExpectWitnesses(1, /*answered=*/1);
}

// An async server, whose request answers or is dropped at the shutdown.
class AsyncServer {
 public:
  explicit AsyncServer(grpc::ServerBuilder& builder)
      : queue_(builder.AddCompletionQueue()) {
    builder.RegisterService(&service_);
    server_ = testing::ListenOnLoopback(builder);
    service_.RequestUnary(context_.get(), &ping_, &responder_, queue_.get(),
                          queue_.get(), this);
  }
  ~AsyncServer() {
    server_.server->Shutdown(std::chrono::system_clock::now());
    queue_->Shutdown();
    while (Next()) {
    }
  }

  bool Next() {
    void* tag;
    bool ok;
    return queue_->Next(&tag, &ok);
  }
  void Answer() { responder_.Finish(Pong(), grpc::Status::OK, this); }
  // As many servers do, before the queue is drained.
  void DropContext() { context_.reset(); }
  const std::string& address() const { return server_.address; }

 private:
  Probe::AsyncService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  testing::LoopbackServer server_;
  std::unique_ptr<grpc::ServerContext> context_ =
      std::make_unique<grpc::ServerContext>();
  Ping ping_;
  grpc::ServerAsyncResponseWriter<Pong> responder_{context_.get()};
};

TEST_F(CoreCallLifeTest, OfAnAsyncServersRequest) {
  for (const bool answers : {true, false}) {
    grpc::ServerBuilder builder;
    Install(builder);
    auto server = std::make_unique<AsyncServer>(builder);
    const auto stub = testing::ProbeStub(server->address());
    const Cancellable cancellable = WithCancel(Background());
    std::thread caller([&] {
      ClientCall call(cancellable.ctx);
      call.set_wait_for_ready(true);  // see ProbeServer::Stub
      Pong pong;
      EXPECT_EQ(stub->Unary(&call, Ping(), &pong).ok(), answers);
    });
    ASSERT_TRUE(server->Next());
    if (answers) {
      server->Answer();
      ASSERT_TRUE(server->Next());
      server->DropContext();
    } else {
      cancellable.cancel();
    }
    caller.join();
    server.reset();
  }
  ExpectWitnesses(2, /*answered=*/1);
}

}  // namespace
}  // namespace tether
