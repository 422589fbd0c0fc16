// SPDX-License-Identifier: Apache-2.0
//
// A ClientCall and its interceptor live in the ClientCall's own memory.

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/testing/failing_allocations.h"

namespace tether {
namespace {

using grpc::experimental::ClientRpcInfo;
using grpc::experimental::Interceptor;
using testing::live_allocations_of_thread;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

// Counts the allocations of tether's factory that stay.
class CountingFactory final
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit CountingFactory(int64_t* count) : count_(*count) {}

  Interceptor* CreateClientInterceptor(ClientRpcInfo* info) override {
    const int64_t before = live_allocations_of_thread;
    Interceptor* interceptor = tether_.CreateClientInterceptor(info);
    count_ = live_allocations_of_thread - before;
    return interceptor;
  }

 private:
  int64_t& count_;
  ClientInterceptorFactory tether_;
};

class ClientCallMemoryTest : public testing::GrpcLeakCheckedTest {
 protected:
  ClientCallMemoryTest() {
    server_.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
      return grpc::Status::OK;
    };
    std::vector<
        std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
        creators;
    creators.push_back(std::make_unique<CountingFactory>(&by_factory_));
    stub_ =
        Probe::NewStub(grpc::experimental::CreateCustomChannelWithInterceptors(
            server_.address(), grpc::InsecureChannelCredentials(), {},
            std::move(creators)));
  }

  void MakeCall(grpc::ClientContext& call) {
    by_factory_ = -1;
    Pong pong;
    EXPECT_TRUE(stub_->Unary(&call, Ping(), &pong).ok());
  }

  int64_t by_factory_ = -1;
  ProbeServer server_{{}};
  std::unique_ptr<Probe::Stub> stub_;
};

TEST_F(ClientCallMemoryTest, AClientCallTakesNoneOfTheHeap) {
  std::optional<ClientCall> call;
  int64_t by_call = -1;
  for (int i = 0; i < 2; ++i) {  // the first one makes room in the registry
    call.reset();
    const int64_t before = live_allocations_of_thread;
    call.emplace(Background());
    by_call = live_allocations_of_thread - before;
    MakeCall(*call);
  }
  EXPECT_EQ(by_call, 0);
  EXPECT_EQ(by_factory_, 0);
}

TEST_F(ClientCallMemoryTest, ControlAPlainCallTakesOneBlock) {
  for (int i = 0; i < 2; ++i) {
    grpc::ClientContext call;
    MakeCall(call);
  }
  EXPECT_EQ(by_factory_, 1);
}

}  // namespace
}  // namespace tether
