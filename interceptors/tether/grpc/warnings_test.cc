// SPDX-License-Identifier: Apache-2.0
//
// A server without tether is noticed: IsInstalled, the count, and one warning
// in the whole process. So there is one test for the warning only.

#include "tether/grpc/warnings.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tether/context.h"
#include "tether/grpc/internal/warn.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/mutex.h"

namespace tether {
namespace {

using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

class WarningsTest : public testing::GrpcLeakCheckedTest {
 protected:
  void SetUp() override {
    messages().clear();
    SetWarningHandler([](std::string_view message) {
      internal::MutexLock lock(mutex());
      messages().emplace_back(message);
    });
  }

  static internal::Mutex& mutex() {
    static auto& mutex = *new internal::Mutex;
    return mutex;
  }
  static std::vector<std::string>& messages() {
    static auto& messages = *new std::vector<std::string>;
    return messages;
  }

  struct Seen {
    bool installed = false;
    bool has_context = false;
  };

  // What the handler of a server of `options` sees.
  static Seen Call(ProbeServer::Options options) {
    Seen seen;
    ProbeServer server(std::move(options));
    const auto look = [&seen](const grpc::ServerContextBase& sc) {
      seen.installed = IsInstalled(sc);
      seen.has_context = ContextOf(sc) != Background();
    };
    server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
      look(sc);
      return grpc::Status::OK;
    };
    server.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                                Pong*) {
      look(*sc);
      grpc::ServerUnaryReactor* const reactor = sc->DefaultReactor();
      reactor->Finish(grpc::Status::OK);
      return reactor;
    };
    grpc::ClientContext call;
    Pong pong;
    EXPECT_TRUE(server.Stub()->Unary(&call, Ping(), &pong).ok());
    return seen;
  }

  // The mistake: a later SetInterceptorCreators replaces tether.
  static ProbeServer::Options Replaced(bool callback_api) {
    ProbeServer::Options options;
    options.callback_api = callback_api;
    options.install = [](grpc::ServerBuilder& builder) {
      InstallServer(builder);
      builder.experimental().SetInterceptorCreators({});
    };
    return options;
  }
};

TEST_F(WarningsTest, AServerThatHasLostTetherIsCountedAndToldOnce) {
  const int64_t before = GetGrpcStats().contexts_not_found;
  if (before != 0) GTEST_SKIP() << "told already: the test is repeated";
  for (const bool callback_api : {false, true, false}) {
    const Seen seen = Call(Replaced(callback_api));
    EXPECT_FALSE(seen.installed);
    EXPECT_FALSE(seen.has_context);
  }
  // Many threads at once, too.
  const grpc::ServerContext sc;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&sc] {
      for (int n = 0; n < 100; ++n) EXPECT_EQ(ContextOf(sc), Background());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(GetGrpcStats().contexts_not_found, before + 3 + 800);
  ASSERT_EQ(messages().size(), 1u);
  EXPECT_NE(messages()[0].find("SetInterceptorCreators"), std::string::npos);
}

// Asks for the context of each request, on arrival and before tether has it.
class AsksFirst final
    : public grpc::experimental::ServerInterceptorFactoryInterface,
      public grpc::experimental::Interceptor {
 public:
  explicit AsksFirst(grpc::experimental::ServerRpcInfo* info = nullptr)
      : info_(info) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new AsksFirst(info);
  }

  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::
                POST_RECV_INITIAL_METADATA)) {
      EXPECT_EQ(ContextOf(*info_->server_context()), Background());
      EXPECT_FALSE(IsInstalled(*info_->server_context()));
    }
    methods->Proceed();
  }

 private:
  grpc::experimental::ServerRpcInfo* const info_;
};

TEST_F(WarningsTest, AnInterceptorThatAsksBeforeTetherIsNoMistake) {
  const int64_t before = GetGrpcStats().contexts_not_found;
  for (const bool callback_api : {false, true}) {
    ProbeServer::Options options;
    options.callback_api = callback_api;
    options.install = [](grpc::ServerBuilder& builder) {
      // The last one sees requests first.
      std::vector<std::unique_ptr<
          grpc::experimental::ServerInterceptorFactoryInterface>>
          creators;
      creators.push_back(std::make_unique<ServerInterceptorFactory>());
      creators.push_back(std::make_unique<AsksFirst>());
      builder.experimental().SetInterceptorCreators(std::move(creators));
    };
    const Seen seen = Call(std::move(options));
    EXPECT_TRUE(seen.installed);
    EXPECT_TRUE(seen.has_context);
  }
  EXPECT_EQ(GetGrpcStats().contexts_not_found, before);
  EXPECT_TRUE(messages().empty());
}

// The control.
TEST_F(WarningsTest, AServerWithTetherHasNothingToTell) {
  const int64_t before = GetGrpcStats().contexts_not_found;
  for (const bool callback_api : {false, true}) {
    ProbeServer::Options options;
    options.callback_api = callback_api;
    const Seen seen = Call(std::move(options));
    EXPECT_TRUE(seen.installed);
    EXPECT_TRUE(seen.has_context);
  }
  EXPECT_EQ(GetGrpcStats().contexts_not_found, before);
  EXPECT_TRUE(messages().empty());
}

TEST_F(WarningsTest, AHandlerMayBeAbsentOrThrow) {
  SetWarningHandler(nullptr);
  internal::Warn("nobody listens");
  SetWarningHandler([](std::string_view) { throw std::runtime_error("full"); });
  const int64_t before = GetGrpcStats().exceptions;
  internal::Warn("the log is full");
  EXPECT_EQ(GetGrpcStats().exceptions, before + 1);
}

}  // namespace
}  // namespace tether
