// SPDX-License-Identifier: Apache-2.0
//
// What an interceptor of the application sees beside tether's, in each order of
// the list. server.h and client.h have the tables.

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/propagation/request_id.h"

namespace tether {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

std::string IdOf(const Context& ctx) {
  const std::string* id = RequestIdOf(ctx);
  return id == nullptr ? "none" : *id;
}

// What the application's interceptor saw on a server.
struct SeenOnServer {
  std::string id_on_arrival;
  bool ended_on_arrival = false;
  std::string id_on_status;
  bool ended_on_status = false;
  bool report_on_status = false;
};

class OnServer final : public Interceptor {
 public:
  OnServer(grpc::ServerContextBase* context, SeenOnServer* seen)
      : context_(context), seen_(seen) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      const Context ctx = ContextOf(*context_);
      seen_->id_on_arrival = IdOf(ctx);
      seen_->ended_on_arrival = ctx.Done();
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      const Context ctx = ContextOf(*context_);
      seen_->id_on_status = IdOf(ctx);
      seen_->ended_on_status = ctx.Done();
      seen_->report_on_status =
          methods->GetSendTrailingMetadata()->count("tether-report-bin") > 0;
    }
    methods->Proceed();
  }

 private:
  grpc::ServerContextBase* const context_;
  SeenOnServer* const seen_;
};

class OnServerFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit OnServerFactory(SeenOnServer* seen) : seen_(seen) {}
  Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new OnServer(info->server_context(), seen_);
  }

 private:
  SeenOnServer* const seen_;
};

// What the application's interceptor saw on a client.
struct SeenOnClient {
  std::string id_of_context;
  bool headers = false;  // those that tether writes
  grpc::Status status;
};

class OnClient final : public Interceptor {
 public:
  OnClient(grpc::ClientContext* context, SeenOnClient* seen)
      : context_(context), seen_(seen) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      seen_->id_of_context = IdOf(ContextOf(*context_));
      const auto* headers = methods->GetSendInitialMetadata();
      seen_->headers = headers->count("tether-timeout") > 0 &&
                       headers->count("x-request-id") > 0;
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_STATUS)) {
      seen_->status = *methods->GetRecvStatus();
    }
    methods->Proceed();
  }

 private:
  grpc::ClientContext* const context_;
  SeenOnClient* const seen_;
};

class OnClientFactory final
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit OnClientFactory(SeenOnClient* seen) : seen_(seen) {}
  Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* info) override {
    return new OnClient(info->client_context(), seen_);
  }

 private:
  SeenOnClient* const seen_;
};

enum class Order : char { kTetherLast, kTetherFirst };

template <typename Interface, typename Own, typename Tether>
std::vector<std::unique_ptr<Interface>> InOrder(Order order, Own own,
                                                Tether tether) {
  std::vector<std::unique_ptr<Interface>> list;
  list.push_back(std::move(own));
  list.insert(order == Order::kTetherLast ? list.end() : list.begin(),
              std::move(tether));
  return list;
}

class InterceptorOrderTest : public testing::GrpcLeakCheckedTest {
 protected:
  SeenOnServer CallServer(Order order) {
    SeenOnServer seen;
    ServerOptions always;
    always.report.when = ReportOptions::When::kAlways;
    ProbeServer::Options options;
    options.install = [&](grpc::ServerBuilder& builder) {
      using Interface = grpc::experimental::ServerInterceptorFactoryInterface;
      builder.experimental().SetInterceptorCreators(InOrder<Interface>(
          order, std::make_unique<OnServerFactory>(&seen),
          std::make_unique<ServerInterceptorFactory>(always)));
    };
    ProbeServer server(std::move(options));
    server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
      EXPECT_EQ(IdOf(ContextOf(sc)), "one");
      return grpc::Status::OK;
    };
    const auto stub = server.Stub();
    ClientCall call(WithRequestId(Background(), "one"));
    Pong pong;
    EXPECT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
    EXPECT_TRUE(call.report().has_report());
    return seen;
  }

  // The handler uses up the time.
  SeenOnClient CallFromClient(Order order, grpc::Status* status) {
    SeenOnClient seen;
    ProbeServer server({});
    server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
      EXPECT_EQ(IdOf(ContextOf(sc)), "one");
      ContextOf(sc).Wait();
      return StatusOf(ContextOf(sc));
    };
    using Interface = grpc::experimental::ClientInterceptorFactoryInterface;
    const auto stub =
        Probe::NewStub(grpc::experimental::CreateCustomChannelWithInterceptors(
            server.address(), grpc::InsecureChannelCredentials(),
            testing::OwnConnection(),
            InOrder<Interface>(order, std::make_unique<OnClientFactory>(&seen),
                               std::make_unique<ClientInterceptorFactory>())));
    auto [ctx, cancel] = WithTimeout(WithRequestId(Background(), "one"),
                                     absl::Milliseconds(300));
    ClientCall call(ctx);
    Pong pong;
    *status = stub->Unary(&call, Ping(), &pong);
    return seen;
  }
};

bool NamesTheHop(const grpc::Status& status) {
  return status.error_message().find(", of which ") != std::string::npos;
}

TEST_F(InterceptorOrderTest,
       BehindTetherAServersInterceptorSeesTheLiveContext) {
  const SeenOnServer seen = CallServer(Order::kTetherLast);
  EXPECT_EQ(seen.id_on_arrival, "one");
  EXPECT_FALSE(seen.ended_on_arrival);
  EXPECT_EQ(seen.id_on_status, "one");
  EXPECT_FALSE(seen.ended_on_status);
  EXPECT_FALSE(seen.report_on_status);
}

TEST_F(InterceptorOrderTest,
       InFrontOfTetherAServersInterceptorSeesTheEndedContextAndTheReport) {
  const SeenOnServer seen = CallServer(Order::kTetherFirst);
  EXPECT_EQ(seen.id_on_arrival, "none");
  EXPECT_EQ(seen.id_on_status, "one");
  EXPECT_TRUE(seen.ended_on_status);
  EXPECT_TRUE(seen.report_on_status);
}

TEST_F(InterceptorOrderTest,
       WithTetherLastAClientsInterceptorSeesTheFinalStatus) {
  grpc::Status status;
  const SeenOnClient seen = CallFromClient(Order::kTetherLast, &status);
  EXPECT_TRUE(NamesTheHop(status)) << status.error_message();
  EXPECT_EQ(seen.id_of_context, "one");
  EXPECT_FALSE(seen.headers);
  EXPECT_EQ(seen.status.error_message(), status.error_message());
}

TEST_F(InterceptorOrderTest, WithTetherFirstAClientsInterceptorSeesTheHeaders) {
  grpc::Status status;
  const SeenOnClient seen = CallFromClient(Order::kTetherFirst, &status);
  EXPECT_TRUE(NamesTheHop(status)) << status.error_message();
  EXPECT_EQ(seen.id_of_context, "one");
  EXPECT_TRUE(seen.headers);
  EXPECT_EQ(seen.status.error_code(), status.error_code());
  EXPECT_FALSE(NamesTheHop(seen.status));
}

}  // namespace
}  // namespace tether
