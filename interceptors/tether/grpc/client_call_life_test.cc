// SPDX-License-Identifier: Apache-2.0
//
// The life of a ClientCall. Its context serves one RPC, and no other call gets
// it, however the ClientCall ended.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "tether/context.h"
#include "tether/current.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/propagation/request_id.h"

// Below, ClientCalls are deleted as ClientContexts, which are smaller.
// AddressSanitizer would report the wrong size.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "new_delete_type_mismatch=0";
}

namespace tether {
namespace {

using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

template <typename Call, typename = void>
constexpr bool kCanBeMadeWithNew = false;
template <typename Call>
constexpr bool kCanBeMadeWithNew<
    Call, std::void_t<decltype(new Call(std::declval<const Context&>()))>> =
    true;

// grpc::ClientContext has no virtual destructor, so deleting a derived object
// through it skips the derived destructor.
struct Derived : grpc::ClientContext {
  explicit Derived(const Context&) {}
};
static_assert(kCanBeMadeWithNew<Derived>, "control");
static_assert(!kCanBeMadeWithNew<ClientCall>,
              "or a unique_ptr<ClientContext> could own it");

class ClientCallLifeTest : public testing::GrpcLeakCheckedTest {
 protected:
  ClientCallLifeTest() {
    server_.unary = [this](grpc::ServerContext& sc, const Ping&, Pong*) {
      const std::string* id = RequestIdOf(ContextOf(sc));
      id_ = id == nullptr ? "none" : *id;
      return grpc::Status::OK;
    };
    server_.download = [](grpc::ServerContext&, const Ping&,
                          grpc::ServerWriter<Pong>*) {
      return grpc::Status::OK;
    };
  }

  void TearDown() override {
    first_ = Background();
    GrpcLeakCheckedTest::TearDown();
  }

  // Returns the request id that the server receives.
  std::string IdOf(grpc::ClientContext& call, testing::Probe::Stub& stub) {
    id_ = "no call";
    Pong pong;
    const grpc::Status status = stub.Unary(&call, Ping(), &pong);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return id_;
  }
  std::string IdOf(grpc::ClientContext& call) { return IdOf(call, *stub_); }

  template <typename Call, typename... Args>
  Call* MakeAtTheSameAddress(Args&&... args) {
    static_assert(sizeof(Call) <= sizeof(storage_), "");
    return ::new (static_cast<void*>(storage_))
        Call(std::forward<Args>(args)...);
  }

  static void DestroyAsAClientContext(grpc::ClientContext* call) {
    call->~ClientContext();
  }

  Context first_ = WithRequestId(Background(), "first");
  std::string id_;
  ProbeServer server_{{}};
  std::unique_ptr<testing::Probe::Stub> stub_ = server_.Stub();
  alignas(ClientCall) unsigned char storage_[sizeof(ClientCall) + 64];
};

// `new` and `delete` don't compile. Apart from them, deleting through a pointer
// to the base does this.
TEST_F(ClientCallLifeTest, OneDestroyedAsAClientContextHandsNothingOn) {
  for (int i = 0; i < 10; ++i) {
    auto* call = MakeAtTheSameAddress<ClientCall>(first_);
    EXPECT_EQ(IdOf(*call), "first");
    DestroyAsAClientContext(call);

    auto* later = MakeAtTheSameAddress<grpc::ClientContext>();
    EXPECT_EQ(IdOf(*later), "none");
    later->~ClientContext();
  }
}

// `::new` compiles all the same. (glibc's allocator ignores the size.)
TEST_F(ClientCallLifeTest, OneDeletedAsAClientContextHandsNothingOn) {
  for (int i = 0; i < 100; ++i) {
    grpc::ClientContext* call = ::new ClientCall(first_);
    EXPECT_EQ(IdOf(*call), "first");
    delete call;
    const auto later = std::make_unique<grpc::ClientContext>();
    EXPECT_EQ(IdOf(*later), "none");
  }
}

TEST_F(ClientCallLifeTest, ControlOneDestroyedAsWhatItIsDoesNotEither) {
  auto* call = MakeAtTheSameAddress<ClientCall>(first_);
  EXPECT_EQ(IdOf(*call), "first");
  call->~ClientCall();
  auto* later = MakeAtTheSameAddress<grpc::ClientContext>();
  EXPECT_EQ(IdOf(*later), "none");
  later->~ClientContext();
}

TEST_F(ClientCallLifeTest, APlainCallsContextIsNotFoundByALaterOne) {
  auto* call = MakeAtTheSameAddress<grpc::ClientContext>();
  {
    ScopedContext current(first_);
    EXPECT_EQ(IdOf(*call), "first");
  }
  EXPECT_EQ(ContextOf(*call), first_);
  call->~ClientContext();
  auto* later = MakeAtTheSameAddress<grpc::ClientContext>();
  EXPECT_EQ(ContextOf(*later), Background());
  EXPECT_EQ(IdOf(*later), "none");
  later->~ClientContext();
}

// The same if the first ClientCall never made a call.
TEST_F(ClientCallLifeTest, OneThatTakesAnothersAddressIsItsOwn) {
  auto [ended, cancel] = WithCancel(first_);
  DestroyAsAClientContext(MakeAtTheSameAddress<ClientCall>(ended));

  auto* later =
      MakeAtTheSameAddress<ClientCall>(WithRequestId(Background(), "later"));
  cancel();  // ends no other call
  EXPECT_EQ(IdOf(*later), "later");
  DestroyAsAClientContext(later);
}

// The context's callback cancels the core call, which the ClientContext drops.
TEST_F(ClientCallLifeTest, ItsContextMayEndWhileItIsDestroyed) {
  for (int i = 0; i < 100; ++i) {
    Cancellable parent = WithCancel(first_);
    std::optional<ClientCall> call(std::in_place, parent.ctx);
    auto reader = stub_->Download(&*call, Ping());
    std::atomic<bool> go{false};
    std::thread canceler([&] {
      while (!go) continue;
      parent.cancel();
    });
    reader.reset();  // the stream is abandoned
    go = true;
    call.reset();
    canceler.join();
  }
}

// Nothing of it is left to the context.
TEST_F(ClientCallLifeTest, ItsContextMayEndAfterIt) {
  for (const bool has_rpc : {false, true}) {
    Cancellable parent = WithCancel(first_);
    auto* call = MakeAtTheSameAddress<ClientCall>(parent.ctx);
    if (has_rpc) {
      EXPECT_EQ(IdOf(*call), "first");
    }
    call->~ClientCall();
    std::memset(storage_, 0xFF, sizeof(storage_));
    parent.cancel();
  }
}

TEST_F(ClientCallLifeTest, ItIsMadeInAnyOtherWay) {
  ClientCall on_the_stack(first_);
  EXPECT_EQ(IdOf(on_the_stack), "first");
  std::optional<ClientCall> optional;
  optional.emplace(first_);
  EXPECT_EQ(IdOf(*optional), "first");
  std::deque<ClientCall> deque;
  deque.emplace_back(first_);
  EXPECT_EQ(IdOf(deque.back()), "first");
  struct State {
    explicit State(const Context& ctx) : call(ctx) {}
    ClientCall call;
  };
  const auto member = std::make_unique<State>(first_);
  EXPECT_EQ(IdOf(member->call), "first");
  // A shared_ptr from make_shared runs the destructor of ClientCall.
  const std::shared_ptr<grpc::ClientContext> shared =
      std::make_shared<ClientCall>(first_);
  EXPECT_EQ(IdOf(*shared), "first");
}

}  // namespace
}  // namespace tether
