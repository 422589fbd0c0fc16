// SPDX-License-Identifier: Apache-2.0
//
// Tests which values cross a hop: at the edge, with redaction, and if the
// metadata is nearly full.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/grpc/testing/tenant.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

using testing::kTenant;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;
using testing::WithTenant;

class ValuesTest : public testing::GrpcLeakCheckedTest {
 protected:
  // The observations of the handler.
  std::optional<TraceContext> trace_;
  std::string request_id_, route_, tenant_;
  absl::Duration remaining_;
  bool exact_deadline_came_ = false;

  // Calls a server with these options, with a context that has all values.
  grpc::Status Call(ServerOptions server_options, ClientOptions client_options,
                    const std::string& own_metadata = "") {
    server_options.propagator = client_options.propagator = WithTenant();
    ProbeServer server({/*callback_api=*/false, server_options});
    server.unary = [this](grpc::ServerContext& sc, const Ping&, Pong*) {
      const Context ctx = ContextOf(sc);
      if (const TraceContext* trace = TraceOf(ctx)) trace_ = *trace;
      if (const std::string* id = RequestIdOf(ctx)) request_id_ = *id;
      route_ = std::string(BaggageOf(ctx).Get("route").value_or(""));
      if (const std::string* tenant = ctx.Value(kTenant)) tenant_ = *tenant;
      remaining_ = ctx.Remaining();
      exact_deadline_came_ = sc.client_metadata().count("tether-timeout") != 0;
      return grpc::Status::OK;
    };
    auto stub = server.Stub(client_options);
    Context values = WithRequestId(WithTrace(Background(), sent_), "id-1");
    values = WithBaggage(values, Baggage().With("route", "north"));
    auto [ctx, cancel] =
        WithTimeout(WithValue(values, kTenant, "acme"), absl::Minutes(10));
    ClientCall call(ctx);
    if (!own_metadata.empty()) call.AddMetadata("x-own", own_metadata);
    Pong pong;
    return stub->Unary(&call, Ping(), &pong);
  }

  const TraceContext sent_ = NewTrace(/*sampled=*/true);
};

TEST_F(ValuesTest, AllOfThemCrossBetweenOnesOwn) {
  ASSERT_TRUE(Call(ServerOptions(), ClientOptions()).ok());
  ASSERT_TRUE(trace_.has_value());
  EXPECT_EQ(trace_->trace_id, sent_.trace_id);
  EXPECT_EQ(request_id_, "id-1");
  EXPECT_EQ(route_, "north");
  EXPECT_EQ(tenant_, "acme");
  EXPECT_GT(remaining_, absl::Minutes(9));
}

TEST_F(ValuesTest, AtTheEdgeNothingIsBelieved) {
  ServerOptions options;
  options.edge.emplace();
  ASSERT_TRUE(Call(options, ClientOptions()).ok());
  ASSERT_TRUE(trace_.has_value()) << "a new one begins";
  EXPECT_NE(trace_->trace_id, sent_.trace_id);
  EXPECT_EQ(request_id_, "");
  EXPECT_EQ(route_, "");
  EXPECT_EQ(tenant_, "");
  EXPECT_LE(remaining_, absl::Minutes(1));
}

TEST_F(ValuesTest, TheEdgeKeepsWhatItIsTold) {
  ServerOptions options;
  options.edge.emplace();
  options.edge->keep_trace = true;
  options.edge->keep_request_id = true;
  options.edge->keep_headers = {"X-Tenant"};
  options.time.max_timeout = absl::Minutes(5);
  ASSERT_TRUE(Call(options, ClientOptions()).ok());
  ASSERT_TRUE(trace_.has_value());
  EXPECT_EQ(trace_->trace_id, sent_.trace_id);
  EXPECT_EQ(request_id_, "id-1");
  EXPECT_EQ(route_, "");
  EXPECT_EQ(tenant_, "acme");
  EXPECT_GT(remaining_, absl::Minutes(4));
}

TEST_F(ValuesTest, TheEdgeMayBeUnlimited) {
  ServerOptions options;
  options.edge.emplace();
  options.time.max_timeout = absl::InfiniteDuration();
  ASSERT_TRUE(Call(options, ClientOptions()).ok());
  EXPECT_GT(remaining_, absl::Minutes(9));
}

TEST_F(ValuesTest, TheEdgeCapsMethodsWithAPolicyOfTheirOwn) {
  ServerOptions options;
  options.edge.emplace();
  MethodPolicy method;
  method.pattern = "/tether.testing.Probe/*";
  method.time.min_budget = absl::Milliseconds(1);
  options.methods.push_back(method);
  ASSERT_TRUE(Call(options, ClientOptions()).ok());
  EXPECT_LE(remaining_, absl::Minutes(1));
}

TEST_F(ValuesTest, TheEdgeDoesNotNameThoseBehindIt) {
  for (const bool edge : {false, true}) {
    ServerOptions options;
    if (edge) options.edge.emplace();
    ProbeServer server({/*callback_api=*/false, options});
    server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
      // The message has the form of a status from another service.
      return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED,
                          "context deadline exceeded: 2s, of which secret.Get");
    };
    auto stub = server.Stub(std::nullopt);
    grpc::ClientContext call;
    Pong pong;
    const std::string message =
        stub->Unary(&call, Ping(), &pong).error_message();
    if (edge) {
      EXPECT_EQ(message, "context deadline exceeded");
    } else {
      EXPECT_NE(message.find("secret"), std::string::npos);
    }
  }
}

TEST_F(ValuesTest, TheEdgeReportsOnlyIfItIsAskedTo) {
  const auto reports = [](const ServerOptions& options) {
    ProbeServer server({/*callback_api=*/false, options});
    server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
      return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such thing");
    };
    auto stub = server.Stub();
    ClientCall call(Background());
    Pong pong;
    EXPECT_FALSE(stub->Unary(&call, Ping(), &pong).ok());
    return call.report().has_report();
  };
  ServerOptions options;
  EXPECT_TRUE(reports(options));
  options.edge.emplace();
  EXPECT_FALSE(reports(options));
  options.report.when = ReportOptions::When::kWhenItMatters;
  EXPECT_TRUE(reports(options));
}

TEST_F(ValuesTest, WhatIsRedactedStays) {
  ClientOptions options;
  options.redact.headers = {"x-tenant"};
  options.redact.baggage_keys = {"route"};
  ASSERT_TRUE(Call(ServerOptions(), options).ok());
  EXPECT_TRUE(trace_.has_value());
  EXPECT_EQ(request_id_, "id-1");
  EXPECT_EQ(route_, "");
  EXPECT_EQ(tenant_, "");
}

TEST_F(ValuesTest, ValuesLeaveRoomForTheApplicationsMetadata) {
  const int64_t oversized = GetGrpcStats().oversized;
  const grpc::Status status =
      Call(ServerOptions(), ClientOptions(), std::string(7000, 'x'));
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_FALSE(trace_.has_value()) << "there was no room";
  EXPECT_TRUE(exact_deadline_came_);
  EXPECT_EQ(GetGrpcStats().oversized, oversized + 1);
}

// gRPC itself would reject one byte more, without tether.
TEST_F(ValuesTest, MetadataThatIsFullFailsNoCall) {
  const int64_t oversized = GetGrpcStats().oversized;
  const grpc::Status status =
      Call(ServerOptions(), ClientOptions(), std::string(7600, 'x'));
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_FALSE(exact_deadline_came_);
  EXPECT_EQ(GetGrpcStats().oversized, oversized + 1);
  EXPECT_GT(remaining_, absl::Minutes(9)) << "grpc-timeout still tells";
}

}  // namespace
}  // namespace tether
