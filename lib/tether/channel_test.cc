// SPDX-License-Identifier: Apache-2.0

#include "tether/channel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/testing/give_up.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

const absl::Status kSendClosed =
    absl::FailedPreconditionError("channel closed");
const absl::Status kReceiveClosed = absl::OutOfRangeError("channel closed");
const absl::Status kCancelled = absl::CancelledError("context canceled");
const absl::Status kDeadline =
    absl::DeadlineExceededError("context deadline exceeded");

class ChannelTest : public testing::LeakCheckedTest {
 protected:
  // Waits until `n` operations have registered with their contexts, which they
  // do just before they block.
  void AwaitBlocked(int n) const {
    const auto give_up = std::chrono::steady_clock::now() +
                         absl::ToChronoNanoseconds(testing::kGiveUp);
    while (LiveCallbacks() < n) {
      if (std::chrono::steady_clock::now() > give_up) {
        ADD_FAILURE() << LiveCallbacks() << " operations block, not " << n;
        return;
      }
      std::this_thread::yield();
    }
  }
};

// AwaitBlocked doesn't see operations that use Background(), since that never
// ends and so nothing is registered.
Cancellable NewContext() { return WithCancel(Background()); }

TEST_F(ChannelTest, ValuesAreReceivedInTheOrderSent) {
  Channel<int> channel(3);
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(channel.Send(Background(), i), absl::OkStatus());
  }
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(channel.Receive(Background()).value(), i);
  }
}

TEST_F(ChannelTest, HoldsAsManyValuesAsItsCapacityAndNoMore) {
  for (const int capacity : {-5, 0, 1, 2, 7}) {
    Channel<int> channel(capacity);
    const int room = std::max(capacity, 0);
    for (int i = 0; i < room; ++i) {
      ASSERT_EQ(channel.Send(Background(), i), absl::OkStatus());
    }
    auto [ctx, cancel] = NewContext();
    absl::Status result;
    std::thread sender([&, ctx = ctx] { result = channel.Send(ctx, room); });
    AwaitBlocked(1);
    cancel();
    sender.join();
    EXPECT_EQ(result, kCancelled) << "capacity " << capacity;
  }
}

TEST_F(ChannelTest, ClosedChannelTakesNoValues) {
  Channel<int> channel(2);
  channel.Close();
  EXPECT_EQ(channel.Send(Background(), 1), kSendClosed);
  EXPECT_EQ(channel.Receive(Background()).status(), kReceiveClosed);
}

TEST_F(ChannelTest, BufferedValuesRemainReceivableAfterClose) {
  Channel<int> channel(2);
  ASSERT_TRUE(channel.Send(Background(), 1).ok());
  ASSERT_TRUE(channel.Send(Background(), 2).ok());
  channel.Close();
  EXPECT_EQ(channel.Send(Background(), 3), kSendClosed);
  EXPECT_EQ(channel.Receive(Background()).value(), 1);
  EXPECT_EQ(channel.Receive(Background()).value(), 2);
  EXPECT_EQ(channel.Receive(Background()).status(), kReceiveClosed);
  EXPECT_EQ(channel.Receive(Background()).status(), kReceiveClosed);
}

TEST_F(ChannelTest, FullClosedChannelRefusesWithoutBlocking) {
  Channel<int> channel(1);
  ASSERT_TRUE(channel.Send(Background(), 1).ok());
  channel.Close();
  EXPECT_EQ(channel.Send(Background(), 2), kSendClosed);
}

TEST_F(ChannelTest, CloseIsIdempotent) {
  Channel<int> channel(1);
  ASSERT_TRUE(channel.Send(Background(), 1).ok());
  channel.Close();
  channel.Close();
  EXPECT_EQ(channel.Receive(Background()).value(), 1);
  channel.Close();
  EXPECT_EQ(channel.Receive(Background()).status(), kReceiveClosed);
}

TEST_F(ChannelTest, EndedContextSendsNothingIntoRoom) {
  Channel<int> channel(1);
  auto [ctx, cancel] = NewContext();
  cancel(absl::AbortedError("a cause, which Err() does not tell"));
  EXPECT_EQ(channel.Send(ctx, 1), kCancelled);
  channel.Close();
  EXPECT_EQ(channel.Receive(Background()).status(), kReceiveClosed);
}

TEST_F(ChannelTest, EndedContextReceivesNoValueThatIsThere) {
  Channel<int> channel(1);
  ASSERT_TRUE(channel.Send(Background(), 1).ok());
  auto [ctx, cancel] = NewContext();
  cancel();
  EXPECT_EQ(channel.Receive(ctx).status(), kCancelled);
  EXPECT_EQ(channel.Receive(Background()).value(), 1);
}

TEST_F(ChannelTest, EndedContextWinsOverClosedChannel) {
  Channel<int> channel(1);
  channel.Close();
  auto [ctx, cancel] = NewContext();
  cancel();
  EXPECT_EQ(channel.Send(ctx, 1), kCancelled);
  EXPECT_EQ(channel.Receive(ctx).status(), kCancelled);
}

TEST_F(ChannelTest, PassedDeadlineIsAnEndedContext) {
  testing::SimulatedClock clock;
  Channel<int> channel(1);
  ASSERT_TRUE(channel.Send(Background(), 1).ok());
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(1));
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(channel.Receive(ctx).status(), kDeadline);
  EXPECT_EQ(channel.Send(ctx, 2), kDeadline);
}

TEST_F(ChannelTest, BlockedReceiveGetsTheValueSent) {
  Channel<int> channel(1);
  auto [ctx, cancel] = NewContext();
  std::optional<absl::StatusOr<int>> result;
  std::thread receiver([&, ctx = ctx] { result = channel.Receive(ctx); });
  AwaitBlocked(1);
  EXPECT_TRUE(channel.Send(Background(), 4711).ok());
  receiver.join();
  EXPECT_EQ(result->value(), 4711);
}

TEST_F(ChannelTest, BlockedReceiveEndsWithCancellation) {
  Channel<int> channel(1);
  auto [ctx, cancel] = NewContext();
  std::optional<absl::StatusOr<int>> result;
  std::thread receiver([&, ctx = ctx] { result = channel.Receive(ctx); });
  AwaitBlocked(1);
  cancel();
  receiver.join();
  EXPECT_EQ(result->status(), kCancelled);
}

TEST_F(ChannelTest, BlockedReceiveEndsWithTheDeadline) {
  testing::SimulatedClock clock;
  Channel<int> channel(1);
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Hours(1));
  std::optional<absl::StatusOr<int>> result;
  std::thread receiver([&, ctx = ctx] { result = channel.Receive(ctx); });
  AwaitBlocked(1);
  clock.Advance(absl::Hours(1));
  receiver.join();
  EXPECT_EQ(result->status(), kDeadline);
}

TEST_F(ChannelTest, BlockedReceiveEndsWithClose) {
  Channel<int> channel(1);
  auto [ctx, cancel] = NewContext();
  std::optional<absl::StatusOr<int>> result;
  std::thread receiver([&, ctx = ctx] { result = channel.Receive(ctx); });
  AwaitBlocked(1);
  channel.Close();
  receiver.join();
  EXPECT_EQ(result->status(), kReceiveClosed);
}

TEST_F(ChannelTest, BlockedSendGetsTheRoomOfAReceivedValue) {
  Channel<int> channel(1);
  ASSERT_TRUE(channel.Send(Background(), 1).ok());
  auto [ctx, cancel] = NewContext();
  absl::Status result;
  std::thread sender([&, ctx = ctx] { result = channel.Send(ctx, 2); });
  AwaitBlocked(1);
  EXPECT_EQ(channel.Receive(Background()).value(), 1);
  sender.join();
  EXPECT_EQ(result, absl::OkStatus());
  EXPECT_EQ(channel.Receive(Background()).value(), 2);
}

TEST_F(ChannelTest, BlockedSendEndsWithTheDeadline) {
  testing::SimulatedClock clock;
  Channel<int> channel(1);
  ASSERT_TRUE(channel.Send(Background(), 1).ok());
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Hours(1));
  absl::Status result;
  std::thread sender([&, ctx = ctx] { result = channel.Send(ctx, 2); });
  AwaitBlocked(1);
  clock.Advance(absl::Hours(1));
  sender.join();
  EXPECT_EQ(result, kDeadline);
}

TEST_F(ChannelTest, BlockedSendEndsWithCloseAndItsValueIsNotSent) {
  Channel<int> channel(1);
  ASSERT_TRUE(channel.Send(Background(), 1).ok());
  auto [ctx, cancel] = NewContext();
  absl::Status result;
  std::thread sender([&, ctx = ctx] { result = channel.Send(ctx, 2); });
  AwaitBlocked(1);
  channel.Close();
  sender.join();
  EXPECT_EQ(result, kSendClosed);
  EXPECT_EQ(channel.Receive(Background()).value(), 1);
  EXPECT_EQ(channel.Receive(Background()).status(), kReceiveClosed);
}

TEST_F(ChannelTest, OneCancellationEndsAllThatBlockOnIt) {
  Channel<int> empty(1);
  Channel<int> full(1);
  ASSERT_TRUE(full.Send(Background(), 0).ok());
  auto [ctx, cancel] = NewContext();
  std::atomic<int> ended{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, ctx = ctx] {
      if (empty.Receive(ctx).status() == kCancelled) ++ended;
    });
    threads.emplace_back([&, ctx = ctx] {
      if (full.Send(ctx, 1) == kCancelled) ++ended;
    });
  }
  AwaitBlocked(8);
  cancel();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ended, 8);
}

TEST_F(ChannelTest, CloseWakesEverybody) {
  Channel<int> empty(1);
  Channel<int> full(1);
  ASSERT_TRUE(full.Send(Background(), 0).ok());
  auto [ctx, cancel] = NewContext();
  std::atomic<int> ended{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, ctx = ctx] {
      if (empty.Receive(ctx).status() == kReceiveClosed) ++ended;
    });
    threads.emplace_back([&, ctx = ctx] {
      if (full.Send(ctx, 1) == kSendClosed) ++ended;
    });
  }
  AwaitBlocked(8);
  empty.Close();
  full.Close();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ended, 8);
}

TEST_F(ChannelTest, CancellingOneReceiverLeavesTheOthersBlocked) {
  Channel<int> channel(1);
  auto [gone, cancel_gone] = NewContext();
  auto [staying, cancel_staying] = NewContext();
  std::optional<absl::StatusOr<int>> of_gone;
  std::optional<absl::StatusOr<int>> of_staying;
  std::thread a([&, ctx = gone] { of_gone = channel.Receive(ctx); });
  std::thread b([&, ctx = staying] { of_staying = channel.Receive(ctx); });
  AwaitBlocked(2);
  cancel_gone();
  a.join();
  EXPECT_EQ(of_gone->status(), kCancelled);
  ASSERT_TRUE(channel.Send(Background(), 1).ok());
  b.join();
  EXPECT_EQ(of_staying->value(), 1);
}

// A value wakes one receiver. If that receiver returns because its context has
// ended, the other receiver must get the value. Otherwise it would sleep
// forever.
TEST_F(ChannelTest, WakeOfACancelledReceiverIsPassedOn) {
  for (int round = 0; round < 300; ++round) {
    Channel<int> channel(1);
    auto [first, cancel_first] = NewContext();
    auto [second, cancel_second] = NewContext();
    std::optional<absl::StatusOr<int>> of_first;
    std::optional<absl::StatusOr<int>> of_second;
    std::thread a([&, ctx = first] { of_first = channel.Receive(ctx); });
    AwaitBlocked(1);  // so that it is first in the queue
    std::thread b([&, ctx = second] { of_second = channel.Receive(ctx); });
    AwaitBlocked(2);
    std::thread canceller([&, &cancel = cancel_first] { cancel(); });
    ASSERT_TRUE(channel.Send(Background(), 1).ok());
    canceller.join();
    a.join();
    if (of_first->ok()) {
      ASSERT_TRUE(channel.Send(Background(), 2).ok());
    } else {
      EXPECT_EQ(of_first->status(), kCancelled);
    }
    b.join();
    EXPECT_EQ(of_second->value(), of_first->ok() ? 2 : 1);
  }
}

TEST_F(ChannelTest, WakeOfACancelledSenderIsPassedOn) {
  for (int round = 0; round < 300; ++round) {
    Channel<int> channel(1);
    ASSERT_TRUE(channel.Send(Background(), 0).ok());
    auto [first, cancel_first] = NewContext();
    auto [second, cancel_second] = NewContext();
    absl::Status of_first;
    absl::Status of_second;
    std::thread a([&, ctx = first] { of_first = channel.Send(ctx, 1); });
    AwaitBlocked(1);
    std::thread b([&, ctx = second] { of_second = channel.Send(ctx, 2); });
    AwaitBlocked(2);
    std::thread canceller([&, &cancel = cancel_first] { cancel(); });
    EXPECT_EQ(channel.Receive(Background()).value(), 0);
    canceller.join();
    a.join();
    if (of_first.ok()) {
      EXPECT_EQ(channel.Receive(Background()).value(), 1);
    }
    b.join();
    EXPECT_EQ(of_second, absl::OkStatus());
    EXPECT_EQ(channel.Receive(Background()).value(), 2);
  }
}

TEST_F(ChannelTest, EveryValueArrivesOnceUnderManySendersAndReceivers) {
  constexpr int kThreads = 4;
  constexpr int kEach = 3000;
  for (const int capacity : {1, 3, 100}) {
    Channel<std::pair<int, int>> channel(capacity);
    auto [ctx, cancel] = NewContext();
    std::vector<std::thread> senders;
    for (int t = 0; t < kThreads; ++t) {
      senders.emplace_back([&, ctx = ctx, t] {
        for (int i = 0; i < kEach; ++i) {
          ASSERT_TRUE(channel.Send(ctx, {t, i}).ok());
        }
      });
    }
    std::mutex mutex;
    std::vector<std::vector<int>> seen(kThreads, std::vector<int>(kEach));
    std::vector<std::thread> receivers;
    for (int t = 0; t < kThreads; ++t) {
      receivers.emplace_back([&, ctx = ctx] {
        std::vector<int> last(kThreads, -1);
        for (;;) {
          absl::StatusOr<std::pair<int, int>> got = channel.Receive(ctx);
          if (!got.ok()) {
            EXPECT_EQ(got.status(), kReceiveClosed);
            return;
          }
          const auto [sender, i] = *got;
          EXPECT_GT(i, last[sender]);  // the values of each sender are in order
          last[sender] = i;
          std::lock_guard<std::mutex> lock(mutex);
          ++seen[sender][i];
        }
      });
    }
    for (std::thread& thread : senders) thread.join();
    channel.Close();
    for (std::thread& thread : receivers) thread.join();
    for (const auto& of_sender : seen) {
      EXPECT_EQ(of_sender, std::vector<int>(kEach, 1));
    }
  }
}

// Contexts that end at any moment neither lose nor duplicate a value: each
// value sent with OK is received with OK or is still in the channel.
TEST_F(ChannelTest, SendsAndReceivesBalanceWhileContextsEnd) {
  Channel<int> channel(2);
  std::atomic<int> sent{0};
  std::atomic<int> received{0};
  const auto run = [&](bool send, int seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < 300; ++i) {
      auto [ctx, cancel] = NewContext();
      std::thread canceller([&cancel = cancel, spin = random() % 200] {
        for (unsigned s = 0; s < spin; ++s) std::this_thread::yield();
        cancel();
      });
      if (send) {
        if (channel.Send(ctx, i).ok()) ++sent;
      } else {
        if (channel.Receive(ctx).ok()) ++received;
      }
      canceller.join();
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back(run, true, t);
    threads.emplace_back(run, false, t + 100);
  }
  for (std::thread& thread : threads) thread.join();
  channel.Close();
  while (channel.Receive(Background()).ok()) ++received;
  EXPECT_EQ(sent, received);
}

TEST_F(ChannelTest, CloseRacingWithSendLosesNothing) {
  for (int round = 0; round < 300; ++round) {
    Channel<int> channel(2);
    absl::Status sent;
    std::thread sender([&] { sent = channel.Send(Background(), 1); });
    std::thread closer([&] { channel.Close(); });
    sender.join();
    closer.join();
    if (sent.ok()) {
      EXPECT_EQ(channel.Receive(Background()).value(), 1);
    } else {
      EXPECT_EQ(sent, kSendClosed);
    }
    EXPECT_EQ(channel.Receive(Background()).status(), kReceiveClosed);
  }
}

}  // namespace
}  // namespace tether
