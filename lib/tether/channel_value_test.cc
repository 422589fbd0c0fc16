// SPDX-License-Identifier: Apache-2.0
//
// Channels of values that can't be copied, throw, or use the channel.

#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/channel.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"

namespace tether {
namespace {

const absl::Status kSendClosed =
    absl::FailedPreconditionError("channel closed");
const absl::Status kReceiveClosed = absl::OutOfRangeError("channel closed");

class ChannelValueTest : public testing::LeakCheckedTest {};

TEST_F(ChannelValueTest, CarriesMoveOnlyValues) {
  Channel<std::unique_ptr<int>> channel(1);
  ASSERT_TRUE(channel.Send(Background(), std::make_unique<int>(7)).ok());
  EXPECT_EQ(**channel.Receive(Background()), 7);
}

struct ThrowsOnMove {
  explicit ThrowsOnMove(int n) : moves_left(n) {}
  ThrowsOnMove(ThrowsOnMove&& other) : moves_left(other.moves_left - 1) {
    if (moves_left < 0) throw std::runtime_error("moved too often");
  }
  int moves_left;
};

TEST_F(ChannelValueTest, SendThatThrowsHasSentNothing) {
  Channel<ThrowsOnMove> channel(1);
  EXPECT_THROW((void)channel.Send(Background(), ThrowsOnMove(0)),
               std::runtime_error);
  EXPECT_TRUE(channel.Send(Background(), ThrowsOnMove(9)).ok());
  EXPECT_TRUE(channel.Receive(Background()).ok());
}

TEST_F(ChannelValueTest, ReceiveThatThrowsLosesTheValueAndFreesItsRoom) {
  Channel<ThrowsOnMove> channel(1);
  ASSERT_TRUE(channel.Send(Background(), ThrowsOnMove(1)).ok());
  EXPECT_THROW((void)channel.Receive(Background()), std::runtime_error);
  EXPECT_TRUE(channel.Send(Background(), ThrowsOnMove(9)).ok());
  EXPECT_TRUE(channel.Receive(Background()).ok());
}

// Calls `at_end` from its destructor, unless it was moved from.
struct CallsAtEnd {
  explicit CallsAtEnd(std::function<void()> fn) : at_end(std::move(fn)) {}
  CallsAtEnd(CallsAtEnd&& other) noexcept
      : at_end(std::exchange(other.at_end, nullptr)) {}
  ~CallsAtEnd() {
    if (at_end) at_end();
  }
  std::function<void()> at_end;
};

TEST_F(ChannelValueTest, DestructorOfAValueMayUseTheChannel) {
  Channel<CallsAtEnd> channel(1);
  int calls = 0;
  const auto use = [&] {
    ++calls;
    (void)channel.Send(Background(), CallsAtEnd(nullptr));
    channel.Close();
  };
  ASSERT_TRUE(channel.Send(Background(), CallsAtEnd(use)).ok());
  (void)channel.Receive(Background());  // destroys the value, which closes
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(channel.Send(Background(), CallsAtEnd(use)), kSendClosed);
  EXPECT_EQ(calls, 2);
}

// Destroying the CancelFunc runs a callback that uses the channel.
TEST_F(ChannelValueTest, CancelFuncsCanBeSent) {
  Channel<CancelFunc> channel(1);
  auto [ctx, cancel] = WithCancel(Background());
  const Registration close = AfterFunc(ctx, [&] { channel.Close(); });
  ASSERT_TRUE(channel.Send(Background(), std::move(cancel)).ok());
  EXPECT_FALSE(ctx.Done());
  { absl::StatusOr<CancelFunc> got = channel.Receive(Background()); }
  EXPECT_TRUE(ctx.Done());
  EXPECT_EQ(channel.Receive(Background()).status(), kReceiveClosed);
}

TEST_F(ChannelValueTest, DestroysBufferedValues) {
  auto shared = std::make_shared<int>(1);
  {
    Channel<std::shared_ptr<int>> channel(2);
    ASSERT_TRUE(channel.Send(Background(), shared).ok());
    EXPECT_EQ(shared.use_count(), 2);
  }
  EXPECT_EQ(shared.use_count(), 1);
}

}  // namespace
}  // namespace tether
