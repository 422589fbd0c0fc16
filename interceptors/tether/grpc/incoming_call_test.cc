// SPDX-License-Identifier: Apache-2.0
//
// Requests of a server without tether's interceptor.

#include "tether/grpc/incoming_call.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/generic_server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"

namespace tether {
namespace {

using testing::GenericClient;
using testing::GenericServer;

class IncomingCallTest : public testing::GrpcLeakCheckedTest {};

TEST_F(IncomingCallTest, TheContextIsThatOfTheRequest) {
  bool found = false;
  absl::Duration left;
  GenericServer server(ServerOptions(), [&](GenericServer::Call& call) {
    found = ContextOf(call.sc) == call.ctx();
    left = call.ctx().Remaining();
    return grpc::Status::OK;
  });
  GenericClient client(server.address());
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(40));
  EXPECT_TRUE(client.Call(ctx).status.ok());
  EXPECT_TRUE(found);
  EXPECT_LT(left, absl::Seconds(40) - absl::Milliseconds(50));
  EXPECT_GT(left, absl::Seconds(35));
}

}  // namespace
}  // namespace tether
