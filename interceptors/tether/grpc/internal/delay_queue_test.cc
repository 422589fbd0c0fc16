// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/delay_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tether/clock.h"
#include "tether/internal/mutex.h"
#include "tether/testing/give_up.h"
#include "tether/testing/together.h"

namespace tether::internal {
namespace {

constexpr Nanos kDelay = 1000;

class Thing final : public std::enable_shared_from_this<Thing>,
                    public DelayQueue::Entry {
 public:
  int runs() const { return runs_.load(); }
  void Die() { dying_ = true; }

 private:
  std::shared_ptr<void> Hold() noexcept override {
    return dying_ ? nullptr : shared_from_this();
  }
  void OnDue() override { ++runs_; }

  bool dying_ = false;
  std::atomic<int> runs_{0};
};

TEST(DelayQueueTest, AnEntryRunsOnceItsDelayHasPassed) {
  DelayQueue queue(kDelay);
  const auto first = std::make_shared<Thing>();
  const auto second = std::make_shared<Thing>();
  (void)queue.Add(*first, 0);
  (void)queue.Add(*second, 10);
  EXPECT_EQ(queue.RunDue(kDelay - 1), kDelay);
  EXPECT_EQ(first->runs(), 0);
  EXPECT_EQ(queue.RunDue(kDelay), kDelay + 10);
  EXPECT_EQ(first->runs(), 1);
  EXPECT_EQ(second->runs(), 0);
  queue.RunDue(kDelay + 10);
  queue.RunDue(2 * kDelay);
  EXPECT_EQ(first->runs(), 1);
  EXPECT_EQ(second->runs(), 1);
}

TEST(DelayQueueTest, AnEntryThatIsRemovedOrAboutToBeDestroyedDoesNotRun) {
  DelayQueue queue(kDelay);
  std::vector<std::shared_ptr<Thing>> things;
  for (int i = 0; i < 5; ++i) {
    things.push_back(std::make_shared<Thing>());
    (void)queue.Add(*things.back(), 0);
  }
  queue.Remove(*things[0]);
  queue.Remove(*things[2]);
  queue.Remove(*things[4]);
  things[3]->Die();
  queue.RunDue(kDelay);
  EXPECT_EQ(things[1]->runs(), 1);
  for (const int i : {0, 2, 3, 4}) EXPECT_EQ(things[i]->runs(), 0) << i;
  // It has run, so this has no effect.
  queue.Remove(*things[1]);
}

TEST(DelayQueueTest, ABusyQueueWakesItsThreadOnce) {
  DelayQueue queue(kDelay);
  Nanos now = 0;
  const auto add_and_remove = [&] {
    const auto thing = std::make_shared<Thing>();
    const bool must_wake = queue.Add(*thing, now);
    queue.Remove(*thing);
    return must_wake;
  };
  EXPECT_TRUE(add_and_remove());
  for (int i = 0; i < 100; ++i) {
    const Nanos next = queue.RunDue(now);
    ASSERT_NE(next, kNever);
    now = next;
    ASSERT_FALSE(add_and_remove());
  }
  // Once nothing has come for a while, the thread sleeps until it is woken.
  int looks = 0;
  for (Nanos next = now; next != kNever; ++looks) {
    ASSERT_LT(looks, 100);
    now = next;
    next = queue.RunDue(now);
  }
  EXPECT_GT(looks, 1);
  EXPECT_TRUE(add_and_remove());
  EXPECT_FALSE(add_and_remove());
}

TEST(DelayQueueTest, AThreadThatCouldNotBeWokenIsTriedAgain) {
  DelayQueue queue(kDelay);
  const auto first = std::make_shared<Thing>();
  const auto second = std::make_shared<Thing>();
  EXPECT_TRUE(queue.Add(*first, 0));
  queue.StillAsleep();
  EXPECT_TRUE(queue.Add(*second, 0));
  queue.RunDue(kDelay);
  EXPECT_EQ(first->runs(), 1);
  EXPECT_EQ(second->runs(), 1);
}

// Each entry that isn't removed runs, though the thread sleeps until `next` or
// until it is woken.
TEST(DelayQueueTest, ManyThreadsAddAndRemoveEntriesAndNoneIsForgotten) {
  constexpr int kThreads = 4;
  constexpr int kEntries = 3000;
  constexpr Nanos kShort = 50'000;
  DelayQueue queue(kShort);
  Mutex mutex;
  CondVar wake;
  bool woken = false;
  bool stopped = false;
  std::thread runner([&] {
    for (;;) {
      const Nanos next = queue.RunDue(Clock::Real().SteadyNanos());
      MutexLock lock(mutex);
      while (!woken && !stopped && Clock::Real().SteadyNanos() < next) {
        if (next == kNever) {
          wake.Wait(mutex);
        } else {
          wake.WaitUntil(mutex, std::chrono::steady_clock::time_point(
                                    std::chrono::nanoseconds(next)));
        }
      }
      woken = false;
      if (stopped) return;
    }
  });
  testing::Together(kThreads, [&](int thread) {
    for (int i = 0; i < kEntries; ++i) {
      const auto thing = std::make_shared<Thing>();
      if (queue.Add(*thing, Clock::Real().SteadyNanos())) {
        MutexLock lock(mutex);
        woken = true;
        wake.NotifyOne();
      }
      if ((i + thread) % 100 != 0) {
        queue.Remove(*thing);
        continue;
      }
      const auto give_up = std::chrono::steady_clock::now() +
                           absl::ToChronoNanoseconds(testing::kGiveUp);
      while (thing->runs() == 0) {
        ASSERT_LT(std::chrono::steady_clock::now(), give_up);
        std::this_thread::yield();
      }
      // Now and then, the queue is left alone until the thread sleeps.
      if (i % 500 == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      EXPECT_EQ(thing->runs(), 1);
    }
  });
  {
    MutexLock lock(mutex);
    stopped = true;
    wake.NotifyOne();
  }
  runner.join();
}

}  // namespace
}  // namespace tether::internal
