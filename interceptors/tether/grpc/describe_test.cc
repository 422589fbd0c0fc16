// SPDX-License-Identifier: Apache-2.0
//
// DescribePropagation on both sides of a call: a propagator on one side only,
// the edge, the application's own headers, and tether on one side only.

#include "tether/grpc/describe.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/grpc/testing/tenant.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/header.h"
#include "tether/propagation/request_id.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kTenant;
using ::testing::Not;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;
using testing::WithTenant;

ClientOptions SendsTenant() {
  ClientOptions options;
  options.propagator = WithTenant();
  return options;
}

class DescribePropagationTest : public testing::GrpcLeakCheckedTest {
 protected:
  struct Both {
    std::string sent;
    std::string received;
  };

  // A call with a request id and the tenant "acme".
  static Both Call(std::optional<ServerOptions> server_options,
                   std::optional<ClientOptions> client_options,
                   bool describe = true) {
    Both both;
    ProbeServer server({/*callback_api=*/false, std::move(server_options)});
    server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
      both.received = DescribePropagation(sc);
      return grpc::Status::OK;
    };
    const auto [timed, cancel] = WithTimeout(Background(), testing::kGiveUp);
    const Context ctx =
        WithValue(WithRequestId(timed, "4711"), kTenant, std::string("acme"));
    CallOptions options;
    options.describe_propagation = describe;
    ClientCall call(ctx, options);
    call.AddMetadata("x-shard", "3");
    Pong pong;
    EXPECT_TRUE(server.Stub(std::move(client_options))
                    ->Unary(&call, Ping(), &pong)
                    .ok());
    both.sent = DescribePropagation(call);
    return both;
  }
};

TEST_F(DescribePropagationTest, BothSidesNameTheValue) {
  ServerOptions server;
  server.propagator = WithTenant();
  const Both both = Call(server, SendsTenant());
  EXPECT_THAT(
      both.sent,
      AllOf(HasSubstr("x-tenant (4 bytes): written by HeaderPropagator"),
            HasSubstr("x-request-id (4 bytes): written by "
                      "RequestIdPropagator"),
            HasSubstr("baggage: nothing to send")));
  EXPECT_THAT(both.received,
              AllOf(HasSubstr("x-tenant (4 bytes): read by HeaderPropagator"),
                    HasSubstr("x-shard (1 bytes): no propagator reads it"),
                    HasSubstr("tether-timeout: the deadline")));
  EXPECT_THAT(both.sent + both.received, Not(HasSubstr("acme")));
}

TEST_F(DescribePropagationTest, APropagatorOnTheClientOnly) {
  const Both both = Call(ServerOptions(), SendsTenant());
  EXPECT_THAT(both.sent, HasSubstr("x-tenant (4 bytes): written"));
  EXPECT_THAT(both.received,
              HasSubstr("x-tenant (4 bytes): no propagator reads it"));
}

TEST_F(DescribePropagationTest, APropagatorOnTheServerOnly) {
  ServerOptions server;
  server.propagator = WithTenant();
  const Both both = Call(server, ClientOptions());
  EXPECT_THAT(both.sent, Not(HasSubstr("x-tenant")));
  EXPECT_THAT(both.received,
              AllOf(HasSubstr("not received: "), HasSubstr("x-tenant")));
}

TEST_F(DescribePropagationTest, AnEdge) {
  ServerOptions server;
  server.propagator = WithTenant();
  server.edge.emplace();
  EXPECT_THAT(Call(server, SendsTenant()).received,
              HasSubstr("x-tenant (4 bytes): dropped by HeaderPropagator: "
                        "EdgeOptions doesn't keep it"));
}

TEST_F(DescribePropagationTest, TetherOnOneSideOnly) {
  const Both no_server = Call(std::nullopt, SendsTenant());
  EXPECT_THAT(no_server.received, HasSubstr("tether isn't installed"));
  EXPECT_THAT(no_server.sent, HasSubstr("x-tenant (4 bytes): written"));
  const Both no_client = Call(ServerOptions(), std::nullopt);
  EXPECT_THAT(no_client.sent, HasSubstr("the channel has no tether"));
  EXPECT_THAT(no_client.received, HasSubstr("no tether-timeout"));
}

TEST_F(DescribePropagationTest, ACallThatIsNotDescribed) {
  EXPECT_THAT(Call(ServerOptions(), SendsTenant(), /*describe=*/false).sent,
              HasSubstr("describe_propagation isn't set"));
}

TEST_F(DescribePropagationTest, HeadersThatTheApplicationHasSet) {
  std::string sent;
  {
    ProbeServer server({});
    server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
      return grpc::Status::OK;
    };
    CallOptions options;
    options.describe_propagation = true;
    ClientCall call(WithRequestId(Background(), "4711"), options);
    call.AddMetadata("x-request-id", "mine");
    Pong pong;
    EXPECT_TRUE(server.Stub()->Unary(&call, Ping(), &pong).ok());
    sent = DescribePropagation(call);
  }
  EXPECT_THAT(sent,
              HasSubstr("x-request-id (4 bytes): the application's own is "
                        "sent"));
}

TEST_F(DescribePropagationTest, ACallWithoutRoomForValues) {
  ProbeServer server({});
  CallOptions options;
  options.describe_propagation = true;
  ClientCall call(WithRequestId(Background(), "4711"), options);
  call.AddMetadata("x-large", std::string(8000, '.'));
  Pong pong;
  static_cast<void>(server.Stub()->Unary(&call, Ping(), &pong));
  EXPECT_THAT(DescribePropagation(call), HasSubstr("leaves no room"));
}

// A propagator of one's own with a state: it numbers the calls.
class NumberingPropagator final : public Propagator {
 public:
  Context Extract(const Carrier&, const Context& ctx) const override {
    return ctx;
  }
  void Inject(const Context&, Carrier& carrier) const override {
    carrier.Set("x-number", std::to_string(++calls_));
    dropped_.Add("x-dropped", "on purpose");
    if (throws_) throw std::runtime_error("no");
  }
  std::vector<std::string_view> Fields() const override { return {"x-number"}; }
  int64_t Dropped() const override { return dropped_.count(); }

  bool throws_ = false;
  mutable int calls_ = 0;
  DropCounter dropped_;
};

TEST_F(DescribePropagationTest, ADescriptionChangesNothing) {
  for (const bool throws : {false, true}) {
    for (const bool describe : {false, true}) {
      const auto numbering = std::make_shared<NumberingPropagator>();
      numbering->throws_ = throws;
      std::string number;
      ProbeServer server({});
      server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
        const auto found = sc.client_metadata().find("x-number");
        if (found != sc.client_metadata().end()) {
          number = std::string(found->second.data(), found->second.size());
        }
        return grpc::Status::OK;
      };
      ClientOptions client;
      client.propagator = numbering;
      CallOptions options;
      options.describe_propagation = describe;
      const int64_t exceptions = GetGrpcStats().exceptions;
      std::string sent;
      {
        ClientCall call(Background(), options);
        Pong pong;
        EXPECT_TRUE(server.Stub(client)->Unary(&call, Ping(), &pong).ok());
        sent = DescribePropagation(call);
      }
      EXPECT_EQ(number, throws ? "" : "1");
      EXPECT_EQ(numbering->calls_, 1);
      EXPECT_EQ(numbering->Dropped(), 1);
      EXPECT_EQ(GetGrpcStats().exceptions, exceptions + (throws ? 1 : 0));
      if (!describe) continue;
      EXPECT_THAT(sent, HasSubstr("x-dropped: dropped by NumberingPropagator: "
                                  "on purpose"));
      EXPECT_THAT(sent, HasSubstr(throws ? "threw an exception"
                                         : "x-number (1 bytes): written by "
                                           "NumberingPropagator"));
    }
  }
}

}  // namespace
}  // namespace tether
