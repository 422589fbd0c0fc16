// SPDX-License-Identifier: Apache-2.0

#include "tether/end_reason.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/task_group.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

class EndReasonTest : public testing::LeakCheckedTest {};

TEST_F(EndReasonTest, NoneWhileLive) {
  auto [ctx, cancel] = WithCancel(Background());
  EXPECT_EQ(EndReasonOf(ctx), EndReason::kNone);
  EXPECT_EQ(EndReasonOf(Background()), EndReason::kNone);
}

TEST_F(EndReasonTest, AnUnmarkedTimeoutIsOnesOwn) {
  testing::SimulatedClock clock;
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(1));
  auto [named, cancel_named] =
      WithTimeout(Background(clock), absl::Seconds(1),
                  absl::DeadlineExceededError("the page took too long"));
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(EndReasonOf(ctx), EndReason::kOwnTimeout);
  EXPECT_EQ(EndReasonOf(named), EndReason::kOwnTimeout);
}

TEST_F(EndReasonTest, AnUnmarkedCancelIsCancelled) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel(absl::AbortedError("no longer wanted"));
  EXPECT_EQ(EndReasonOf(ctx), EndReason::kCancelled);
}

TEST_F(EndReasonTest, AMarkReachesDescendantsAndKeepsCodeAndMessage) {
  auto [ctx, cancel] = WithCancel(Background());
  auto [child, cancel_child] = WithTimeout(ctx, absl::Hours(1));
  cancel(WithEndReason(absl::CancelledError("bye"), EndReason::kCallerLeft));
  EXPECT_EQ(EndReasonOf(ctx), EndReason::kCallerLeft);
  EXPECT_EQ(EndReasonOf(child), EndReason::kCallerLeft);
  EXPECT_EQ(child.Cause().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(child.Cause().message(), "bye");
}

TEST_F(EndReasonTest, AMarkedTimeout) {
  testing::SimulatedClock clock;
  auto [ctx, cancel] =
      WithTimeout(Background(clock), absl::Seconds(1),
                  WithEndReason(absl::DeadlineExceededError("the caller's"),
                                EndReason::kInheritedDeadline));
  auto [child, cancel_child] = WithTimeout(ctx, absl::Seconds(2));
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(EndReasonOf(child), EndReason::kInheritedDeadline);
}

TEST_F(EndReasonTest, OfATaskWhoseSiblingFailed) {
  TaskGroup group(Background());
  group.Go([](const Context&) { return absl::InternalError("broken"); });
  EndReason seen = EndReason::kNone;
  group.Go([&](const Context& ctx) {
    ctx.Wait();
    seen = EndReasonOf(ctx);
    return absl::OkStatus();
  });
  EXPECT_EQ(group.Wait(), absl::InternalError("broken"));
  EXPECT_EQ(seen, EndReason::kSiblingFailed);
}

TEST_F(EndReasonTest, ACauseHasTheReasonThatWasAttachedToIt) {
  EXPECT_EQ(EndReasonIn(absl::OkStatus()), EndReason::kNone);
  EXPECT_EQ(EndReasonIn(absl::CancelledError("unmarked")), EndReason::kNone);
  EXPECT_EQ(EndReasonIn(WithEndReason(absl::CancelledError("marked"),
                                      EndReason::kConnectionLost)),
            EndReason::kConnectionLost);
}

TEST_F(EndReasonTest, TheTextOfACauseNamesTheReason) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel(WithEndReason(absl::CancelledError("bye"), EndReason::kCallerLeft));
  EXPECT_EQ(ctx.Cause().ToString(),
            "CANCELLED: bye [tether/end-reason='caller left']");
}

TEST_F(EndReasonTest, EachReasonIsReturnedAsItWasAttached) {
  for (int number = 1; number <= 255; ++number) {
    const auto reason = static_cast<EndReason>(number);
    auto [ctx, cancel] = WithCancel(Background());
    cancel(WithEndReason(absl::CancelledError("bye"), reason));
    EXPECT_EQ(EndReasonOf(ctx), reason) << number;
    // No byte needs an escape, which would be unreadable.
    EXPECT_EQ(ctx.Cause().ToString().find('\\'), std::string::npos) << number;
  }
}

TEST_F(EndReasonTest, APayloadThatIsNotFromTetherIsNoReason) {
  for (const char* text : {"?", "-1", "256", "7 apples", "\x04"}) {
    absl::Status cause = absl::CancelledError("bye");
    cause.SetPayload("tether/end-reason", absl::Cord(text));
    auto [ctx, cancel] = WithCancel(Background());
    cancel(cause);
    EXPECT_EQ(EndReasonOf(ctx), EndReason::kCancelled) << text;
  }
}

TEST_F(EndReasonTest, AnOkCauseStaysOk) {
  EXPECT_TRUE(WithEndReason(absl::OkStatus(), EndReason::kCancelled).ok());
}

TEST_F(EndReasonTest, NamesAreDistinct) {
  EXPECT_EQ(EndReasonName(EndReason::kNone), "");
  EXPECT_EQ(EndReasonName(EndReason::kCallerLeft), "caller left");
  EXPECT_EQ(EndReasonName(static_cast<EndReason>(200)), "unknown");
  for (int a = 0; a <= 9; ++a) {
    for (int b = 0; b < a; ++b) {
      EXPECT_NE(EndReasonName(static_cast<EndReason>(a)),
                EndReasonName(static_cast<EndReason>(b)));
    }
  }
}

}  // namespace
}  // namespace tether
