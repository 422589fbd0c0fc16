// SPDX-License-Identifier: Apache-2.0
//
// The parents of requests' contexts: each thread has one of its own, and all of
// them end with the server's base context.

#include "tether/grpc/internal/server_state.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/clock.h"
#include "tether/context.h"
#include "tether/grpc/server_options.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"

namespace tether::internal {
namespace {

class ServerStateTest : public testing::GrpcLeakCheckedTest {
 protected:
  static std::shared_ptr<ServerState> With(Context base_context) {
    ServerOptions options;
    options.base_context = std::move(base_context);
    options.report.when = ReportOptions::When::kNever;
    return ServerState::Make(std::move(options));
  }
};

TEST_F(ServerStateTest, RequestsOfTwoThreadsShareNoParentThatCanEnd) {
  static constexpr Key<int> kNumber{"number"};
  auto [base, cancel] =
      WithTimeout(WithValue(Background(), kNumber, 7), absl::Hours(1));
  const auto server = With(base);
  const Context own = server->parent();
  EXPECT_EQ(server->parent(), own);
  EXPECT_NE(own, base);
  EXPECT_EQ(own.Deadline(), base.Deadline());
  Context another;
  std::thread([&] { another = server->parent(); }).join();
  EXPECT_NE(another, own);
  EXPECT_EQ(*another.Value(kNumber), 7);
  EXPECT_FALSE(own.Done());
  cancel(absl::UnavailableError("that's it"));
  for (const Context& parent : {own, another, server->parent()}) {
    EXPECT_TRUE(parent.Done());
    EXPECT_EQ(parent.Cause(), absl::UnavailableError("that's it"));
  }
}

// Nothing counts references to a root, or takes a lock of it.
TEST_F(ServerStateTest, ARootIsTheParentItself) {
  const auto server = With(Background());
  EXPECT_EQ(server->parent(), Background());
  const auto clocked = With(Background(Clock::Real()));
  EXPECT_EQ(clocked->parent(), Background(Clock::Real()));
}

}  // namespace
}  // namespace tether::internal
