// SPDX-License-Identifier: Apache-2.0
//
// Select, and unbuffered channels.

#include "tether/select.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
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
#include "tether/after_func.h"
#include "tether/channel.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

class SelectTest : public testing::LeakCheckedTest {
 protected:
  // Waits until `count` operations have registered with their contexts: then
  // they block or are about to.
  void AwaitBlocked(int64_t count) const {
    while (LiveCallbacks() < count) std::this_thread::yield();
  }
};
using UnbufferedTest = SelectTest;

// ---- Without a buffer ------------------------------------------------------

TEST_F(UnbufferedTest, SendReturnsWhenItsValueHasBeenReceived) {
  Channel<int> channel(0);
  auto [ctx, cancel] = WithCancel(Background());
  std::atomic<bool> sent{false};
  std::thread sender([&, ctx = ctx] {
    ASSERT_TRUE(channel.Send(ctx, 7).ok());
    sent = true;
  });
  AwaitBlocked(1);
  EXPECT_FALSE(sent);
  EXPECT_EQ(channel.Receive(Background()).value(), 7);
  sender.join();
  EXPECT_TRUE(sent);
}

TEST_F(UnbufferedTest, AReceiverThatCameFirstGetsTheValue) {
  Channel<std::unique_ptr<int>> channel(0);
  auto [ctx, cancel] = WithCancel(Background());
  std::thread receiver(
      [&, ctx = ctx] { EXPECT_EQ(**channel.Receive(ctx), 7); });
  AwaitBlocked(1);
  EXPECT_TRUE(channel.Send(Background(), std::make_unique<int>(7)).ok());
  receiver.join();
}

TEST_F(UnbufferedTest,
       ASendWithoutAReceiverEndsWithItsContextAndLeavesNothing) {
  testing::SimulatedClock clock;
  Channel<int> channel(0);
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(1));
  absl::Status result;
  std::thread sender([&, ctx = ctx] { result = channel.Send(ctx, 7); });
  AwaitBlocked(1);
  clock.Advance(absl::Seconds(1));
  sender.join();
  EXPECT_TRUE(absl::IsDeadlineExceeded(result));
  ReceiveFrom<int> receive(channel);
  EXPECT_FALSE(TrySelect({&receive}).has_value());
}

TEST_F(UnbufferedTest, CloseEndsBothSides) {
  Channel<int> channel(0);
  auto [ctx, cancel] = WithCancel(Background());
  std::thread sender([&, ctx = ctx] {
    EXPECT_EQ(channel.Send(ctx, 7).code(),
              absl::StatusCode::kFailedPrecondition);
  });
  AwaitBlocked(1);
  channel.Close();
  sender.join();
  EXPECT_TRUE(absl::IsOutOfRange(channel.Receive(ctx).status()));
}

TEST_F(UnbufferedTest, ABlockedOperationEndsByTheClockThoughNoTimerFires) {
  // The callback of another deadline blocks the thread that would run ours.
  std::atomic<bool> go{false}, kept{false};
  const std::thread::id here = std::this_thread::get_id();
  const auto keep = [&] {
    if (std::this_thread::get_id() == here) return;  // registered too late
    kept = true;
    while (!go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  std::vector<std::unique_ptr<Registration>> registrations;
  for (int i = 1; !kept; ++i) {
    auto [slow, cancel_slow] =
        WithTimeout(Background(), absl::Milliseconds(5 * i));
    registrations.push_back(std::make_unique<Registration>(slow, keep));
    slow.Wait();
    // The wait may end before the callback runs.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  Channel<int> channel(0);
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(channel.Receive(ctx).status()));
  ReceiveFrom<int> receive(channel);
  auto [other, cancel_other] =
      WithTimeout(Background(), absl::Milliseconds(20));
  EndOf end(other);
  EXPECT_EQ(Select(Background(), {&receive, &end}).value(), 1);
  go = true;
}

// ---- Select ----------------------------------------------------------------

TEST_F(SelectTest, CompletesThePossibleCaseAndLeavesTheOthers) {
  Channel<int> empty(1), full(1);
  Channel<std::string> with_room(1);
  ASSERT_TRUE(full.Send(Background(), 1).ok());
  ReceiveFrom<int> receive(empty);
  SendTo<int> blocked(full, 2);
  SendTo<std::string> send(with_room, "x");
  EXPECT_EQ(Select(Background(), {&receive, &blocked, &send}).value(), 2);
  EXPECT_TRUE(send.status().ok());
  EXPECT_EQ(with_room.Receive(Background()).value(), "x");
  EXPECT_EQ(full.Receive(Background()).value(), 1);
  EXPECT_FALSE(TrySelect({&receive}).has_value());
  // The value that was not sent then is sent now.
  EXPECT_EQ(TrySelect({&receive, &blocked}), 1);
  EXPECT_EQ(full.Receive(Background()).value(), 2);
}

TEST_F(SelectTest, AnEndedContextComesFirstAndDoesNothing) {
  Channel<int> channel(1);
  ASSERT_TRUE(channel.Send(Background(), 1).ok());
  auto [ctx, cancel] = WithCancel(Background());
  cancel();
  ReceiveFrom<int> receive(channel);
  EXPECT_TRUE(absl::IsCancelled(Select(ctx, {&receive}).status()));
  EXPECT_EQ(receive.Take().status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(channel.Receive(Background()).value(), 1);
}

TEST_F(SelectTest, BlocksUntilAValueComes) {
  Channel<int> a(1), b(0);
  auto [ctx, cancel] = WithCancel(Background());
  std::thread selector([&, ctx = ctx] {
    ReceiveFrom<int> from_a(a), from_b(b);
    EXPECT_EQ(Select(ctx, {&from_a, &from_b}).value(), 1);
    EXPECT_EQ(from_b.Take().value(), 5);
    EXPECT_FALSE(from_b.Take().ok());
  });
  AwaitBlocked(1);
  EXPECT_TRUE(b.Send(Background(), 5).ok());
  selector.join();
  // The operation is in neither queue any more.
  EXPECT_TRUE(a.Send(Background(), 6).ok());
  EXPECT_EQ(a.Receive(Background()).value(), 6);
}

TEST_F(SelectTest, BlocksUntilItsContextOrAnotherEnds) {
  Channel<int> channel(0);
  for (const bool other : {false, true}) {
    auto [ctx, cancel] = WithCancel(Background());
    auto [drain, cancel_drain] = WithCancel(Background());
    absl::StatusOr<int> chosen = 0;
    std::thread selector([&, ctx = ctx, drain = drain] {
      ReceiveFrom<int> receive(channel);
      EndOf end(drain);
      chosen = Select(ctx, {&receive, &end});
    });
    AwaitBlocked(2);
    other ? cancel_drain() : cancel();
    selector.join();
    if (other) {
      EXPECT_EQ(chosen.value(), 1);
    } else {
      EXPECT_TRUE(absl::IsCancelled(chosen.status()));
    }
  }
}

TEST_F(SelectTest, AClosedChannelIsPossible) {
  Channel<int> a(0), b(0);
  ReceiveFrom<int> receive(a);
  a.Close();
  EXPECT_EQ(Select(Background(), {&receive}).value(), 0);
  EXPECT_TRUE(absl::IsOutOfRange(receive.Take().status()));
  auto [ctx, cancel] = WithCancel(Background());
  std::thread selector([&, ctx = ctx] {
    SendTo<int> send(b, 1);
    EXPECT_EQ(Select(ctx, {&send}).value(), 0);
    EXPECT_EQ(send.status().code(), absl::StatusCode::kFailedPrecondition);
  });
  AwaitBlocked(1);
  b.Close();
  selector.join();
}

TEST_F(SelectTest, WithoutCasesWaitsForTheContext) {
  testing::SimulatedClock clock;
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(1));
  std::thread selector([ctx = ctx] {
    EXPECT_TRUE(absl::IsDeadlineExceeded(Select(ctx, {}).status()));
  });
  AwaitBlocked(1);
  clock.Advance(absl::Seconds(1));
  selector.join();
  EXPECT_FALSE(TrySelect({}).has_value());
}

TEST_F(SelectTest, EachOfThosePossibleIsChosenAsOften) {
  Channel<int> channels[] = {Channel<int>(1), Channel<int>(1), Channel<int>(1)};
  Channel<int> never(1);
  for (Channel<int>& channel : channels) {
    ASSERT_TRUE(channel.Send(Background(), 0).ok());
  }
  int counts[4] = {};
  for (int i = 0; i < 3000; ++i) {
    ReceiveFrom<int> a(channels[0]), b(channels[1]), none(never),
        c(channels[2]);
    const int chosen = Select(Background(), {&a, &b, &none, &c}).value();
    ++counts[chosen];
    ASSERT_TRUE(channels[chosen == 3 ? 2 : chosen].Send(Background(), 0).ok());
  }
  EXPECT_EQ(counts[2], 0);
  // About 1000 each; one standard deviation is 26.
  for (const int i : {0, 1, 3}) EXPECT_NEAR(counts[i], 1000, 200);
}

TEST_F(SelectTest, TwoSelectsMeetOnChannelsWithoutABuffer) {
  for (int round = 0; round < 300; ++round) {
    // Each could send to the other or receive from it. Exactly one does.
    Channel<int> there(0), back(0);
    std::atomic<int> sent{0}, received{0};
    const auto meet = [&](Channel<int>& out, Channel<int>& in) {
      SendTo<int> send(out, 1);
      ReceiveFrom<int> receive(in);
      const int chosen = Select(Background(), {&send, &receive}).value();
      ++(chosen == 0 ? sent : received);
    };
    std::thread other([&] { meet(there, back); });
    meet(back, there);
    other.join();
    ASSERT_EQ(sent, 1);
    ASSERT_EQ(received, 1);
  }
}

TEST_F(SelectTest, DoesNotMeetItself) {
  Channel<int> channel(0);
  SendTo<int> send(channel, 1);
  ReceiveFrom<int> receive(channel);
  EXPECT_FALSE(TrySelect({&send, &receive}).has_value());
  auto [ctx, cancel] = WithCancel(Background());
  std::thread selector([&, ctx = ctx] {
    EXPECT_TRUE(absl::IsCancelled(Select(ctx, {&send, &receive}).status()));
  });
  AwaitBlocked(1);
  cancel();
  selector.join();
}

TEST_F(SelectTest, EveryValueArrivesOnceWhileThreadsSelectAndGiveUp) {
  constexpr int kValues = 2000;
  for (const int capacity : {0, 1, 3}) {
    Channel<int> a(capacity), b(capacity);
    std::atomic<int> next{0};
    std::vector<std::atomic<int>> seen(kValues);
    std::vector<std::thread> senders, receivers;
    for (int i = 0; i < 3; ++i) {
      senders.emplace_back([&, i] {
        std::minstd_rand random(static_cast<unsigned>(i + 1));
        for (int n = next++; n < kValues; n = next++) {
          for (bool sent = false; !sent;) {
            // Some operations give up and try again.
            auto [ctx, cancel] =
                random() % 3 == 0
                    ? WithTimeout(Background(), absl::Microseconds(50))
                    : WithCancel(Background());
            if (random() % 2 == 0) {
              sent = (n % 2 == 0 ? a : b).Send(ctx, n).ok();
            } else {
              SendTo<int> to_a(a, n), to_b(b, n);
              sent = Select(ctx, {&to_a, &to_b}).ok();
            }
          }
        }
      });
      receivers.emplace_back([&, i] {
        std::minstd_rand random(static_cast<unsigned>(i + 10));
        bool open_a = true, open_b = true;
        while (open_a || open_b) {
          auto [ctx, cancel] =
              random() % 3 == 0
                  ? WithTimeout(Background(), absl::Microseconds(50))
                  : WithCancel(Background());
          ReceiveFrom<int> from_a(a), from_b(b);
          const absl::StatusOr<int> chosen =
              open_a && open_b ? Select(ctx, {&from_a, &from_b})
              : open_a         ? Select(ctx, {&from_a})
                               : Select(ctx, {&from_b});
          if (!chosen.ok()) continue;
          const bool is_a = open_a && *chosen == 0;
          const absl::StatusOr<int> value =
              is_a ? from_a.Take() : from_b.Take();
          if (value.ok()) {
            ++seen[static_cast<size_t>(*value)];
          } else {
            (is_a ? open_a : open_b) = false;
          }
        }
      });
    }
    for (std::thread& thread : senders) thread.join();
    a.Close();
    b.Close();
    for (std::thread& thread : receivers) thread.join();
    for (int n = 0; n < kValues; ++n) {
      ASSERT_EQ(seen[static_cast<size_t>(n)], 1) << n << " at " << capacity;
    }
  }
}

}  // namespace
}  // namespace tether
