// SPDX-License-Identifier: Apache-2.0
//
// The watcher's channel is invisible to the application.

#include <gmock/gmock.h>
#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"

namespace tether {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

// Returns the targets of the channels that channelz lists.
std::multiset<std::string> ListedTargets() {
  char* const json = grpc_channelz_get_top_channels(0);
  const std::string text = json;
  gpr_free(json);
  const std::string mark = "\"target\":\"";
  std::multiset<std::string> targets;
  for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos;) {
    at += mark.size();
    targets.insert(text.substr(at, text.find('"', at) - at));
  }
  return targets;
}

class WatcherChannelTest : public testing::GrpcLeakCheckedTest {};

TEST_F(WatcherChannelTest, ItsChannelIsNotListedAmongTheApplications) {
  std::multiset<std::string> listed;
  ProbeServer server(ProbeServer::Options{});
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    const Context ctx = ContextOf(sc);
    while (GetGrpcStats().watches == 0 && !ctx.WaitFor(absl::Milliseconds(1))) {
    }
    EXPECT_EQ(GetGrpcStats().watches, 1);
    listed = ListedTargets();
    return grpc::Status::OK;
  };
  const auto stub = server.Stub();
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(20));
  ClientCall call(ctx);
  Pong pong;
  ASSERT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
  // The application's own channel is listed.
  EXPECT_THAT(listed, ElementsAre(HasSubstr(server.address())));
}

}  // namespace
}  // namespace tether
