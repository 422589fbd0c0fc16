// SPDX-License-Identifier: Apache-2.0
//
// Calls on a channel without tether's interceptor.

#include "tether/grpc/outgoing_call.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/testing/generic_server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"

namespace tether {
namespace {

using testing::GenericClient;
using testing::GenericServer;

class OutgoingCallTest : public testing::GrpcLeakCheckedTest {};

TEST_F(OutgoingCallTest, ACancelledContextEndsTheCallWithItsReason) {
  EndReason at_server = EndReason::kNone;
  GenericServer server(ServerOptions(), [&](GenericServer::Call& call) {
    call.ctx().Wait();
    at_server = EndReasonOf(call.ctx());
    return grpc::Status::OK;
  });
  GenericClient client(server.address());
  auto [ctx, cancel] = WithCancel(Background());
  GenericClient::CallSettings settings;
  settings.during = [&cancel = cancel](OutgoingCall&) {
    cancel(absl::CancelledError("no longer needed"));
  };
  const auto result = client.Call(ctx, settings);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(result.status.error_message(),
            "context canceled: no longer needed");
}

}  // namespace
}  // namespace tether
