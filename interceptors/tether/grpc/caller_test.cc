// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/caller.h"

#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

const grpc::Status kTooLate(grpc::StatusCode::DEADLINE_EXCEEDED, "too late");
const grpc::Status kUnavailable(grpc::StatusCode::UNAVAILABLE, "no connection");

// A request whose caller waits for 200 ms.
struct Request {
  testing::SimulatedClock clock;
  Cancellable made = WithTimeout(Background(clock), absl::Milliseconds(200));
  const Context& ctx = made.ctx;
};

class CallerIsWaitingTest : public testing::LeakCheckedTest {};

TEST_F(CallerIsWaitingTest, TrueIfTheCallsOwnTimeoutPassed) {
  Request request;
  const auto [call_ctx, cancel] =
      WithTimeout(request.ctx, absl::Milliseconds(50));
  request.clock.Advance(absl::Milliseconds(50));
  EXPECT_TRUE(CallerIsWaiting(request.ctx, call_ctx, kTooLate));
}

TEST_F(CallerIsWaitingTest, TrueIfTheCallerHasNoDeadline) {
  Request request;
  const auto [ctx, cancel_ctx] = WithCancel(Background(request.clock));
  const auto [call_ctx, cancel] = WithTimeout(ctx, absl::Milliseconds(50));
  request.clock.Advance(absl::Milliseconds(50));
  EXPECT_TRUE(CallerIsWaiting(ctx, call_ctx, kTooLate));
}

TEST_F(CallerIsWaitingTest, TheWallClockMayJump) {
  for (const absl::Duration jump : {absl::Hours(1), -absl::Hours(1)}) {
    Request request;
    (void)request.ctx.Deadline();
    request.clock.JumpWallClock(jump);
    const auto [short_ctx, cancel_short] =
        WithTimeout(request.ctx, absl::Milliseconds(50));
    const auto [long_ctx, cancel_long] =
        WithTimeout(request.ctx, absl::Seconds(10));
    request.clock.Advance(absl::Milliseconds(50));
    EXPECT_TRUE(CallerIsWaiting(request.ctx, short_ctx, kTooLate)) << jump;
    EXPECT_FALSE(CallerIsWaiting(request.ctx, long_ctx, kTooLate)) << jump;
  }
}

// The callee's deadline is the caller's minus the reserve.
TEST_F(CallerIsWaitingTest, FalseIfTheCallUsedUpTheCallersTime) {
  Request request;
  request.clock.Advance(absl::Milliseconds(193));
  ASSERT_FALSE(request.ctx.Done());
  EXPECT_FALSE(CallerIsWaiting(request.ctx, request.ctx, kTooLate));
  const auto [call_ctx, cancel] = WithTimeout(request.ctx, absl::Seconds(10));
  EXPECT_FALSE(CallerIsWaiting(request.ctx, call_ctx, kTooLate));
}

TEST_F(CallerIsWaitingTest, TrueIfTheCallFailedOtherwise) {
  Request request;
  EXPECT_TRUE(CallerIsWaiting(request.ctx, request.ctx, kUnavailable));
  EXPECT_TRUE(CallerIsWaiting(request.ctx, request.ctx, grpc::Status::OK));
}

TEST_F(CallerIsWaitingTest, FalseIfTheCallerLeft) {
  Request request;
  const auto [call_ctx, cancel] =
      WithTimeout(request.ctx, absl::Milliseconds(50));
  request.made.cancel();
  EXPECT_FALSE(CallerIsWaiting(request.ctx, call_ctx, kTooLate));
  EXPECT_FALSE(CallerIsWaiting(request.ctx, call_ctx, kUnavailable));
}

TEST_F(CallerIsWaitingTest, FalseIfTheCallersDeadlinePassed) {
  Request request;
  const auto [call_ctx, cancel] =
      WithTimeout(request.ctx, absl::Milliseconds(50));
  request.clock.Advance(absl::Milliseconds(200));
  EXPECT_FALSE(CallerIsWaiting(request.ctx, call_ctx, kTooLate));
  EXPECT_FALSE(CallerIsWaiting(request.ctx, call_ctx, kUnavailable));
}

}  // namespace
}  // namespace tether
