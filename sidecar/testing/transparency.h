// SPDX-License-Identifier: Apache-2.0
//
// The fixture of tests that compare what both sides of a call see through two
// sidecars with what they see without.
//
//   TEST_P(TransparencyTest, AMessage) {
//     const std::string seen = ExpectSame(
//         [](ServerSide& call) { call.Finish(grpc::Status::OK); },
//         [](Client& client) { client.Call().Finish(); });
//     EXPECT_THAT(seen, HasSubstr("status: 0"));
//   }
//
// The parameter is the way. Way::kDirect compares two direct runs: a scenario
// whose outcome differs from run to run fails there.
//
// For tests only.

#ifndef TETHER_SIDECAR_TESTING_TRANSPARENCY_H_
#define TETHER_SIDECAR_TESTING_TRANSPARENCY_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sidecar/testing/blocking_call.h"
#include "sidecar/testing/channel.h"
#include "sidecar/testing/passage.h"
#include "sidecar/testing/scripted_server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"

namespace tether::sidecar::testing {

inline constexpr char kMethod[] = "/sidecar.test.App/Scripted";

// The clients of one run.
class Client {
 public:
  explicit Client(std::shared_ptr<grpc::Channel> channel)
      : channel_(std::move(channel)) {}

  // A new call that hasn't started.
  ClientSide& Prepare(const std::string& method = kMethod);
  // A new call that has.
  ClientSide& Call(const std::string& method = kMethod);

  // What all calls wrote down, in their order.
  std::string transcript() const;

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  std::vector<std::unique_ptr<ClientSide>> calls_;
};

class TransparencyTest : public tether::testing::GrpcLeakCheckedTest,
                         public ::testing::WithParamInterface<Way> {
 protected:
  using Server = std::function<void(ServerSide&)>;
  using ClientScript = std::function<void(Client&)>;

  // Plays the scenario directly, and then the way of the parameter, with a
  // server, sidecars and a channel of its own each. Expects that both sides
  // see the same. Returns what the client and then the server saw directly.
  std::string ExpectSame(
      const Server& server, const ClientScript& client,
      const grpc::ChannelArguments& arguments = RoomyChannel());

  // The same with an application of the test's own, whose address this is, and
  // which writes nothing down.
  std::string ExpectSameAt(const std::string& app, const ClientScript& client,
                           bool app_is_up = true);

  // Plays it the way of the parameter only. Returns what both saw.
  std::string Play(Way way, const Server& server, const ClientScript& client,
                   const grpc::ChannelArguments& arguments = RoomyChannel());
};

// The parameters of TransparencyTest, for INSTANTIATE_TEST_SUITE_P.
std::vector<Way> AllWays();

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_TESTING_TRANSPARENCY_H_
