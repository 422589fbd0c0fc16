// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/transparency.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace tether::sidecar::testing {
namespace {

std::string PlayAt(Way way, const std::string& app,
                   const std::function<void(Client&)>& script,
                   const grpc::ChannelArguments& arguments) {
  const Passage passage(way, app);
  Client client(passage.NewChannel(arguments));
  script(client);
  return client.transcript();
}

}  // namespace

ClientSide& Client::Prepare(const std::string& method) {
  calls_.push_back(std::make_unique<ClientSide>(channel_, method));
  return *calls_.back();
}

ClientSide& Client::Call(const std::string& method) {
  ClientSide& call = Prepare(method);
  call.Start();
  return call;
}

std::string Client::transcript() const {
  std::string text;
  for (const auto& call : calls_) {
    absl::StrAppend(&text, call->transcript(), "\n");
  }
  return text;
}

std::string TransparencyTest::Play(Way way, const Server& server,
                                   const ClientScript& client,
                                   const grpc::ChannelArguments& arguments) {
  ScriptedServer app(server);
  const std::string at_client = PlayAt(way, app.address(), client, arguments);
  return absl::StrCat("the client:\n", at_client, "the server:\n", app.Stop());
}

std::string TransparencyTest::ExpectSame(
    const Server& server, const ClientScript& client,
    const grpc::ChannelArguments& arguments) {
  std::string direct = Play(Way::kDirect, server, client, arguments);
  EXPECT_EQ(Play(GetParam(), server, client, arguments), direct);
  return direct;
}

std::string TransparencyTest::ExpectSameAt(const std::string& app,
                                           const ClientScript& client) {
  std::string direct = PlayAt(Way::kDirect, app, client, RoomyChannel());
  EXPECT_EQ(PlayAt(GetParam(), app, client, RoomyChannel()), direct);
  return direct;
}

std::vector<Way> AllWays() {
  return {Way::kDirect, Way::kObserve, Way::kDeadline, Way::kFull};
}

}  // namespace tether::sidecar::testing
