// SPDX-License-Identifier: Apache-2.0
//
// Malformed headers and propagators that throw fail no call.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
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
#include "tether/propagation/default.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/testing/fake_propagators.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

struct BadHeader {
  const char* name;
  std::vector<std::pair<std::string, std::string>> headers;
};

class BadHeaderTest : public testing::GrpcLeakCheckedTest,
                      public ::testing::WithParamInterface<BadHeader> {};

TEST_P(BadHeaderTest, IsDroppedAndCountedAndTheCallGoesOn) {
  const auto propagator = DefaultPropagator();
  const int64_t dropped_before =
      GetGrpcStats().bad_timeouts + propagator->Dropped();
  ProbeServer server({});
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong* pong) {
    const Context ctx = ContextOf(sc);
    EXPECT_FALSE(ctx.Done());
    EXPECT_EQ(ctx.Deadline(), absl::InfiniteFuture());
    EXPECT_EQ(TraceOf(ctx), nullptr);
    EXPECT_EQ(RequestIdOf(ctx), nullptr);
    pong->set_number(7);
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  for (const auto& [key, value] : GetParam().headers) {
    call.AddMetadata(key, value);
  }
  Pong pong;
  const grpc::Status status = stub->Unary(&call, Ping(), &pong);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(pong.number(), 7);
  EXPECT_EQ(GetGrpcStats().bad_timeouts + propagator->Dropped(),
            dropped_before + 1);
}

INSTANTIATE_TEST_SUITE_P(
    Headers, BadHeaderTest,
    ::testing::Values(
        BadHeader{"TimeoutUnparsable", {{"tether-timeout", "soon"}}},
        BadHeader{"TimeoutEmpty", {{"tether-timeout", ""}}},
        BadHeader{"TimeoutNegative", {{"tether-timeout", "-5"}}},
        BadHeader{"TimeoutHuge", {{"tether-timeout", std::string(400, '9')}}},
        BadHeader{"TimeoutDoubled",
                  {{"tether-timeout", "1"}, {"tether-timeout", "2"}}},
        BadHeader{"ReserveUnparsable", {{"tether-reserve", "1ms"}}},
        BadHeader{"ReserveHuge", {{"tether-reserve", std::string(400, '9')}}},
        BadHeader{"ReserveDoubled",
                  {{"tether-reserve", "1"}, {"tether-reserve", "2"}}},
        BadHeader{"TraceParentMalformed", {{"traceparent", "00-zz-zz-01"}}},
        BadHeader{"TraceParentAllZero",
                  {{"traceparent",
                    "00-00000000000000000000000000000000-0000000000000000-"
                    "01"}}},
        BadHeader{"RequestIdOverTheLimit",
                  {{"x-request-id", std::string(2000, 'x')}}},
        BadHeader{"RequestIdEmpty", {{"x-request-id", ""}}}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

class BadInputTest : public testing::GrpcLeakCheckedTest {};

TEST_F(BadInputTest, AThrowingPropagatorFailsNoCall) {
  const int64_t before = GetGrpcStats().exceptions;
  ServerOptions server_options;
  server_options.propagator = std::make_shared<testing::ThrowingPropagator>();
  ProbeServer server({false, server_options});
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_NE(ContextOf(sc), Background());
    return grpc::Status::OK;
  };
  ClientOptions client_options;
  client_options.propagator = std::make_shared<testing::ThrowingPropagator>();
  auto stub = server.Stub(client_options);
  {
    grpc::ClientContext call;
    Pong pong;
    EXPECT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
  }
  EXPECT_EQ(GetGrpcStats().exceptions, before + 2);
}

}  // namespace
}  // namespace tether
