// SPDX-License-Identifier: Apache-2.0
//
// Timers that are spread over several shards behave as those of one do.

#include "tether/internal/timer_service.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/clock.h"
#include "tether/context.h"
#include "tether/internal/clock_of.h"
#include "tether/internal/deadline_scope.h"
#include "tether/internal/live_counts.h"
#include "tether/testing/give_up.h"
#include "tether/testing/leak_checked_test.h"

namespace tether::internal {
namespace {

using tether::testing::kGiveUp;

using TimerServiceTest = tether::testing::LeakCheckedTest;

// A clock that the test sets, whose timers are spread as the real clock's are.
class ShardedClock final : public Clock {
 public:
  static constexpr size_t kShards = 4;

  ShardedClock() : Clock(std::make_unique<Timers>()) {}
  absl::Time Now() const override { return absl::FromUnixNanos(nanos); }
  int64_t SteadyNanos() const override { return nanos; }

  TimerService& service() { return ClockAccess::Timers(*this); }

  std::atomic<int64_t> nanos{0};

 private:
  class Timers final : public TimerService {
   public:
    Timers() : TimerService(0, 0, /*attended=*/true, kShards) {}
    void Wake() override {}
  };
};

uint16_t ShardOf(const Context& ctx) {
  Scope* scope = ContextAccess::NodeOf(ctx)->scope;
  return static_cast<DeadlineScope*>(scope)->shard;
}

// Runs `work(i)` on `n` threads, which all live until the last one is done.
template <typename Work>
void OnThreads(int n, const Work& work) {
  absl::Barrier* const done = new absl::Barrier(n);
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i) {
    threads.emplace_back([&work, done, i] {
      work(i);
      if (done->Block()) delete done;
    });
  }
  for (std::thread& t : threads) t.join();
}

TEST_F(TimerServiceTest, ThreadsThatLiveAtTheSameTimeHaveDifferentNumbers) {
  constexpr int kThreads = 8;
  std::set<uint32_t> all;
  for (int round = 0; round < 3; ++round) {
    std::vector<uint32_t> numbers(kThreads);
    OnThreads(kThreads,
              [&](int i) { numbers[static_cast<size_t>(i)] = ThreadNumber(); });
    const std::set<uint32_t> different(numbers.begin(), numbers.end());
    EXPECT_EQ(different.size(), numbers.size());
    all.insert(different.begin(), different.end());
  }
  // Later threads use the numbers again.
  EXPECT_LE(all.size(), 2u * kThreads);
}

TEST_F(TimerServiceTest, EarlierDeadlinesFireFirstWhicheverThreadArmedThem) {
  constexpr int kThreads = 8;
  constexpr int kEach = 5;
  ShardedClock clock;
  std::vector<std::vector<Cancellable>> timed(kThreads);
  OnThreads(kThreads, [&](int i) {
    for (int j = 0; j < kEach; ++j) {
      timed[static_cast<size_t>(i)].push_back(
          WithTimeout(Background(clock), absl::Milliseconds(1 + i + 20 * j)));
    }
  });
  std::set<uint16_t> shards;
  std::vector<absl::Time> fired;
  std::list<Registration> callbacks;
  for (const auto& of_thread : timed) {
    for (const Cancellable& c : of_thread) {
      shards.insert(ShardOf(c.ctx));
      callbacks.emplace_back(
          c.ctx, [&fired, when = c.ctx.Deadline()] { fired.push_back(when); });
    }
  }
  EXPECT_GT(shards.size(), 1u);  // or the test would show nothing
  EXPECT_EQ(clock.service().armed(), size_t{kThreads * kEach});
  EXPECT_LE(clock.service().NextEvent(), 1'000'000);

  clock.nanos = absl::ToInt64Nanoseconds(absl::Seconds(1));
  clock.service().RunDue(clock.nanos);
  EXPECT_EQ(fired.size(), size_t{kThreads * kEach});
  EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
  EXPECT_EQ(clock.service().armed(), 0u);
}

TEST_F(TimerServiceTest, ATimerStaysInItsShardWhenItIsArmedAgain) {
  ShardedClock clock;
  std::vector<Cancellable> far(ShardedClock::kShards);
  OnThreads(static_cast<int>(far.size()), [&](int i) {
    far[static_cast<size_t>(i)] =
        WithTimeout(Background(clock), absl::Seconds(10));
  });
  std::vector<uint16_t> before;
  for (const Cancellable& c : far) before.push_back(ShardOf(c.ctx));
  // All come near, on this thread.
  clock.nanos = absl::ToInt64Nanoseconds(absl::Seconds(9.95));
  clock.service().RunDue(clock.nanos);
  EXPECT_EQ(clock.service().armed(), far.size());
  std::vector<uint16_t> after;
  for (const Cancellable& c : far) after.push_back(ShardOf(c.ctx));
  EXPECT_EQ(after, before);
  for (const Cancellable& c : far) c.cancel();
  EXPECT_EQ(clock.service().armed(), 0u);
}

TEST_F(TimerServiceTest, AnotherThreadMayDisarmATimer) {
  ShardedClock clock;
  constexpr int kThreads = 8;
  std::vector<Cancellable> timed(kThreads);
  OnThreads(kThreads, [&](int i) {
    timed[static_cast<size_t>(i)] =
        WithTimeout(Background(clock), absl::Seconds(10));
  });
  OnThreads(kThreads, [&](int i) {
    timed[static_cast<size_t>((i + 1) % kThreads)].cancel();
  });
  EXPECT_EQ(clock.service().armed(), 0u);
}

// The timer thread looks at one shard after the other before it sleeps. A timer
// that is armed meanwhile, in a shard that it has left, must wake it: nothing
// else would, because all threads here wait for their own deadlines.
TEST_F(TimerServiceTest, NoDeadlineIsMissedWhileTheTimerThreadGoesToSleep) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 500;
  OnThreads(kThreads, [](int i) {
    for (int round = 0; round < kRounds; ++round) {
      absl::Notification fired;
      // Different times, so that the thread goes to sleep often.
      const auto timeout = absl::Microseconds(200 + 170 * ((round + i) % 7));
      auto [ctx, cancel] = WithTimeout(Background(), timeout);
      const Registration callback =
          AfterFunc(ctx, [&fired] { fired.Notify(); });
      ASSERT_TRUE(fired.WaitForNotificationWithTimeout(kGiveUp));
    }
  });
}

}  // namespace
}  // namespace tether::internal
