// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/channel.h"

#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sidecar/testing/blocking_call.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar::testing {

using tether::testing::kGiveUp;

grpc::ChannelArguments RoomyChannel() {
  grpc::ChannelArguments arguments = tether::testing::OwnConnection();
  // By default the authority is the address, which differs behind a sidecar.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "app.test");
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  // Which is the time limit for connecting, too.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadata);
  return arguments;
}

std::shared_ptr<grpc::Channel> ConnectedChannel(
    const std::string& address, const grpc::ChannelArguments& arguments) {
  auto channel = grpc::CreateCustomChannel(
      address, grpc::InsecureChannelCredentials(), arguments);
  EXPECT_TRUE(
      channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kGiveUp)))
      << "no connection to " << address;
  return channel;
}

void WarmUp(const std::string& address) {
  const auto channel = ConnectedChannel(address);
  const absl::Time give_up = absl::Now() + kGiveUp;
  grpc::Status status;
  do {
    ClientSide call(channel, kWarmUpMethod);
    std::string reply;
    status = call.Unary("", &reply);
  } while (status.error_code() == grpc::StatusCode::UNAVAILABLE &&
           absl::Now() < give_up);
  EXPECT_NE(status.error_code(), grpc::StatusCode::UNAVAILABLE)
      << status.error_message();
}

}  // namespace tether::sidecar::testing
