// SPDX-License-Identifier: Apache-2.0
//
// Unusual calls: never started, with relative deadlines, with credentials,
// through a GenericStub, with propagators that break their contract.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/front_and_leaf.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/testing/fake_propagators.h"
#include "tether/propagation/trace_context.h"
#include "tether/task_group.h"

namespace tether {
namespace {

using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

class UnusualCallsTest : public testing::FrontAndLeaf {};

// A GenericStub passes the method's name as a string of the caller's.
TEST_F(UnusualCallsTest, TheNameOfAGenericCallMayGoBeforeItEnds) {
  ProbeServer server(ProbeServer::Options{});
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  auto channel = tether::CreateChannel(server.address(),
                                       grpc::InsecureChannelCredentials());
  grpc::TemplatedGenericStub<Ping, Pong> stub(channel);
  grpc::CompletionQueue cq;
  {
    ClientCall call(Background());
    Ping ping;
    Pong pong;
    grpc::Status status;
    auto method = std::make_unique<std::string>("/tether.testing.Probe/Unary");
    auto rpc = stub.PrepareUnaryCall(&call, *method, ping, &cq);
    rpc->StartCall();
    method->assign(method->size(), 'Z');  // the caller reuses its buffer
    method.reset();
    rpc->Finish(&pong, &status, reinterpret_cast<void*>(1));
    void* tag;
    bool ok;
    ASSERT_TRUE(cq.Next(&tag, &ok));
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(call.report().service(), "tether.testing.Probe");
    EXPECT_EQ(call.report().method(), "Unary");
  }
  cq.Shutdown();
}

// Core accepts relative deadlines, so they must not end the process.
TEST_F(UnusualCallsTest, ARelativeDeadlineIsOne) {
  ProbeServer server(ProbeServer::Options{});
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  for (bool with : {false, true}) {
    auto stub = with ? server.Stub() : server.Stub(std::nullopt);
    grpc::ClientContext call;
    call.set_deadline(gpr_time_from_seconds(5, GPR_TIMESPAN));
    Pong pong;
    grpc::Status s = stub->Unary(&call, Ping(), &pong);
    EXPECT_TRUE(s.ok());
  }
}

class Token : public grpc::MetadataCredentialsPlugin {
 public:
  explicit Token(size_t n) : n_(n) {}
  grpc::Status GetMetadata(
      grpc::string_ref, grpc::string_ref, const grpc::AuthContext&,
      std::multimap<grpc::string, grpc::string>* m) override {
    m->emplace("authorization", "Bearer " + std::string(n_, 'j'));
    return grpc::Status::OK;
  }

 private:
  size_t n_;
};

// Core adds credentials below the interceptors, and they count toward the 8
// KiB.
TEST_F(UnusualCallsTest, ValuesLeaveRoomForCredentials) {
  // A server with local credentials.
  class Service final : public testing::Probe::Service {
    grpc::Status Unary(grpc::ServerContext*, const Ping*, Pong*) override {
      return grpc::Status::OK;
    }
  } service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const testing::LoopbackServer started = testing::ListenOnLoopback(
      builder, grpc::experimental::LocalServerCredentials(LOCAL_TCP));
  auto creds = grpc::experimental::LocalCredentials(LOCAL_TCP);
  Context values = WithTrace(Background(), NewTrace());
  values = WithBaggage(values, Baggage().With("cart", std::string(3200, 'b')));
  for (bool with : {false, true}) {
    auto channel = with ? tether::CreateChannel(started.address, creds)
                        : grpc::CreateChannel(started.address, creds);
    auto stub = testing::Probe::NewStub(channel);
    ClientCall call(values);
    call.AddMetadata("x-own", std::string(2500, 'x'));
    call.set_credentials(grpc::MetadataCredentialsFromPlugin(
        std::unique_ptr<grpc::MetadataCredentialsPlugin>(new Token(2000))));
    Pong pong;
    grpc::Status s = stub->Unary(&call, Ping(), &pong);
    EXPECT_TRUE(s.ok());
  }
  started.server->Shutdown();
}

// Only messages of tether and core are replaced.
TEST_F(UnusualCallsTest, TheServersOwnWordsStay) {
  ProbeServer server(ProbeServer::Options{});
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    ContextOf(sc).Wait();
    return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED,
                        "shard 7 of table orders is rebuilding", "details");
  };
  auto stub = server.Stub();
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(2));
  CallOptions options;  // half a second, for a loaded machine
  options.reserve = Reserve{absl::Seconds(1), 0, absl::Seconds(1)};
  ClientCall call(ctx, options);
  Pong pong;
  grpc::Status s = stub->Unary(&call, Ping(), &pong);
  EXPECT_NE(s.error_message().find("shard 7"), std::string::npos);
}

// This also holds if the propagator returns a context that isn't the request's.
TEST_F(UnusualCallsTest, ARequestThatIsTurnedAwayEndsItsOwnContextOnly) {
  auto [life, end] = WithCancel(Background());
  {
    ServerOptions options;
    options.base_context = life;
    options.time.min_budget = absl::Seconds(5);
    options.shed_fraction = 1;
    options.propagator = std::make_shared<testing::FakePropagator>(
        [base = life](const Carrier&, const Context&) { return base; });
    ProbeServer server({false, options});
    server.unary = [&](grpc::ServerContext&, const Ping&, Pong*) {
      return grpc::Status::OK;
    };
    auto stub = server.Stub();
    auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(1));
    ClientCall call(ctx);
    Pong pong;
    (void)stub->Unary(&call, Ping(), &pong);
  }
  EXPECT_FALSE(life.Done()) << "one request ended the server's lifetime";
}

// The cause equals the error although it is marked (end_reason.h).
TEST_F(UnusualCallsTest, ACauseThatIsTheErrorIsSaidOnce) {
  TaskGroup group(Background());
  group.Go(
      [](const Context&) { return absl::CancelledError("context canceled"); });
  (void)group.Wait();
  EXPECT_EQ(StatusOf(group.context()).error_message(), "context canceled");
}

TEST_F(UnusualCallsTest, APreparedCallHasNotBegun) {
  ProbeServer server(ProbeServer::Options{});
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  auto stub = server.Stub();
  grpc::CompletionQueue cq;
  {
    auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(20));
    ClientCall call(ctx);
    Pong pong;
    grpc::Status status;
    auto rpc = stub->PrepareAsyncUnary(&call, Ping(), &cq);
    absl::SleepFor(absl::Milliseconds(300));
    rpc->StartCall();
    rpc->Finish(&pong, &status, reinterpret_cast<void*>(1));
    void* tag;
    bool ok;
    ASSERT_TRUE(cq.Next(&tag, &ok));
    ASSERT_TRUE(status.ok());
    EXPECT_LT(call.report().duration_us(), 250000);
  }
  cq.Shutdown();
}

// gRPC itself leaks 320 bytes of a call that is prepared and never started,
// even without interceptors. LeakSanitizer must not report them here.
auto Prepare(testing::Probe::Stub& stub, grpc::ClientContext* call,
             grpc::CompletionQueue* cq) {
#ifdef __SANITIZE_ADDRESS__
  __lsan::ScopedDisabler disabler;
#endif
  return stub.PrepareAsyncUnary(call, Ping(), cq);
}

TEST_F(UnusualCallsTest, ACallThatWasNeverStartedIsNotBlamed) {
  grpc::CompletionQueue cq;
  at_front_ = [&](grpc::ServerContext& sc) {
    ClientCall spare(ContextOf(sc));
    const auto rpc = Prepare(*to_leaf_, &spare, &cq);  // never started
    ContextOf(sc).Wait();
    return StatusOf(ContextOf(sc));
  };
  Start();
  {
    auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(2));
    CallOptions options;  // half a second, for a loaded machine
    options.reserve = Reserve{absl::Seconds(1), 0, absl::Seconds(1)};
    ClientCall call(ctx, options);
    const grpc::Status s = Call(*to_front_, call).first;
    EXPECT_EQ(s.error_message().find("did not answer"), std::string::npos);
  }
  Stop();  // the handler uses `cq`
  cq.Shutdown();
}

}  // namespace
}  // namespace tether

// Applications may write `using namespace tether`. gRPC has a CreateChannel
// with the same argument types.
namespace others {

using namespace tether;  // NOLINT

TEST(UsingNamespaceTest, CreateChannelIsTethers) {
  tether::testing::ProbeServer server({});
  std::string id;
  server.unary = [&](grpc::ServerContext& sc, const tether::testing::Ping&,
                     tether::testing::Pong*) {
    if (const std::string* it = RequestIdOf(ContextOf(sc))) id = *it;
    return grpc::Status::OK;
  };
  for (const auto& channel :
       {CreateChannel(server.address(), grpc::InsecureChannelCredentials()),
        CreateChannel(server.address(), grpc::InsecureChannelCredentials(),
                      ClientOptions(), grpc::ChannelArguments())}) {
    id = "";
    const auto stub = tether::testing::Probe::NewStub(channel);
    ClientCall call(WithRequestId(Background(), "one"));
    tether::testing::Pong pong;
    EXPECT_TRUE(stub->Unary(&call, tether::testing::Ping(), &pong).ok());
    EXPECT_EQ(id, "one");
  }
}

}  // namespace others
