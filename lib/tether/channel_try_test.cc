// SPDX-License-Identifier: Apache-2.0
//
// Tests of TrySend and TryReceive, which never block.

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/channel.h"
#include "tether/context.h"
#include "tether/testing/give_up.h"
#include "tether/testing/leak_checked_test.h"

namespace tether {
namespace {

const absl::Status kFull = absl::ResourceExhaustedError("channel full");
const absl::Status kEmpty = absl::UnavailableError("channel empty");
const absl::Status kSendClosed =
    absl::FailedPreconditionError("channel closed");
const absl::Status kReceiveClosed = absl::OutOfRangeError("channel closed");

class ChannelTryTest : public testing::LeakCheckedTest {
 protected:
  // Waits until `n` operations have registered with their contexts, which they
  // do just before they block.
  void AwaitBlocked(int n) const {
    const absl::Time give_up = absl::Now() + testing::kGiveUp;
    while (LiveCallbacks() < n) {
      ASSERT_LT(absl::Now(), give_up) << LiveCallbacks() << " block";
      std::this_thread::yield();
    }
  }
};

TEST_F(ChannelTryTest, TrySendFillsTheChannelAndThenReturnsAtOnce) {
  Channel<int> channel(2);
  EXPECT_EQ(channel.TrySend(1), absl::OkStatus());
  EXPECT_EQ(channel.TrySend(2), absl::OkStatus());
  EXPECT_EQ(channel.TrySend(3), kFull);
  EXPECT_EQ(channel.Receive(Background()).value(), 1);
  EXPECT_EQ(channel.TrySend(4), absl::OkStatus());
  EXPECT_EQ(channel.TryReceive().value(), 2);
  EXPECT_EQ(channel.TryReceive().value(), 4);
}

TEST_F(ChannelTryTest, TryReceiveEmptiesTheChannelAndThenReturnsAtOnce) {
  Channel<int> channel(1);
  EXPECT_EQ(channel.TryReceive().status(), kEmpty);
  EXPECT_EQ(channel.Send(Background(), 1), absl::OkStatus());
  EXPECT_EQ(channel.TryReceive().value(), 1);
  EXPECT_EQ(channel.TryReceive().status(), kEmpty);
}

TEST_F(ChannelTryTest, AClosedChannelSaysSoOnceItIsEmpty) {
  Channel<int> channel(1);
  EXPECT_EQ(channel.TrySend(1), absl::OkStatus());
  channel.Close();
  EXPECT_EQ(channel.TrySend(2), kSendClosed);
  EXPECT_EQ(channel.TryReceive().value(), 1);
  EXPECT_EQ(channel.TryReceive().status(), kReceiveClosed);
}

TEST_F(ChannelTryTest, WithoutABufferAnotherThreadMustBeWaiting) {
  Channel<int> channel(0);
  EXPECT_EQ(channel.TrySend(1), kFull);
  EXPECT_EQ(channel.TryReceive().status(), kEmpty);
}

TEST_F(ChannelTryTest, ExchangesValuesWithThreadsThatBlock) {
  for (const int capacity : {0, 1}) {
    Channel<std::string> channel(capacity);
    auto [ctx, cancel] = WithCancel(Background());
    absl::StatusOr<std::string> received = "nothing";
    std::thread receiver([&, c = ctx] { received = channel.Receive(c); });
    AwaitBlocked(1);
    // The receiver registers shortly before it queues.
    absl::Status sent = channel.TrySend("from TrySend");
    while (sent == kFull) sent = channel.TrySend("from TrySend");
    EXPECT_EQ(sent, absl::OkStatus());
    receiver.join();
    EXPECT_EQ(received.value(), "from TrySend");

    EXPECT_EQ(channel.TrySend("buffered").ok(), capacity == 1);
    std::thread sender([&, c = ctx] { sent = channel.Send(c, "from Send"); });
    AwaitBlocked(1);
    if (capacity == 1) {
      EXPECT_EQ(channel.TryReceive().value(), "buffered");
    }
    absl::StatusOr<std::string> got = channel.TryReceive();
    while (got.status() == kEmpty) got = channel.TryReceive();
    EXPECT_EQ(got.value(), "from Send");
    sender.join();
    EXPECT_EQ(sent, absl::OkStatus());
  }
}

TEST_F(ChannelTryTest, MayBeUsedInACallback) {
  Channel<int> full(1);
  Channel<int> empty(1);
  EXPECT_TRUE(full.TrySend(1).ok());
  auto [ctx, cancel] = WithCancel(Background());
  absl::Status sent;
  absl::Status received;
  const Registration at_end = AfterFunc(ctx, [&] {
    sent = full.TrySend(2);
    received = empty.TryReceive().status();
  });
  cancel();  // runs the callback on this thread, which would block forever
  EXPECT_EQ(sent, kFull);
  EXPECT_EQ(received, kEmpty);
}

TEST_F(ChannelTryTest, CarriesMoveOnlyValuesAndDestroysWhatItRejects) {
  Channel<std::shared_ptr<int>> channel(1);
  const auto value = std::make_shared<int>(7);
  EXPECT_TRUE(channel.TrySend(value).ok());
  EXPECT_EQ(channel.TrySend(value), kFull);
  EXPECT_EQ(value.use_count(), 2);
  EXPECT_EQ(channel.TryReceive().value(), value);
  EXPECT_EQ(value.use_count(), 1);

  Channel<std::unique_ptr<int>> pointers(1);
  EXPECT_TRUE(pointers.TrySend(std::make_unique<int>(8)).ok());
  EXPECT_EQ(**pointers.TryReceive(), 8);
}

TEST_F(ChannelTryTest, EveryValueArrivesOnceUnderManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  Channel<int> channel(3);
  std::atomic<int> sum{0};
  std::atomic<int> received{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 1; i <= kEach; ++i) {
        while (!channel.TrySend(i).ok()) std::this_thread::yield();
      }
    });
    threads.emplace_back([&] {
      while (received < kThreads * kEach) {
        if (const absl::StatusOr<int> got = channel.TryReceive(); got.ok()) {
          sum += *got;
          ++received;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, kThreads * kEach * (kEach + 1) / 2);
  EXPECT_EQ(channel.TryReceive().status(), kEmpty);
}

}  // namespace
}  // namespace tether
