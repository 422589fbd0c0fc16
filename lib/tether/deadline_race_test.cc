// SPDX-License-Identifier: Apache-2.0
//
// Deadlines that fire while other threads use their contexts, on the real
// clock.

#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/clock.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"
#include "tether/testing/together.h"

namespace tether {
namespace {

using testing::SimulatedClock;
using testing::Together;

constexpr int kRounds = 150;

class DeadlineRaceTest : public testing::LeakCheckedTest {};

TEST_F(DeadlineRaceTest, ATimerThatFiresAgainstACancelGivesOneReason) {
  for (int round = 0; round < kRounds; ++round) {
    std::atomic<int> calls{0};
    Cancellable ctx = WithTimeout(Background(), absl::Microseconds(round * 10));
    Cancellable child = WithCancel(ctx.ctx);
    Registration registration = AfterFunc(child.ctx, [&] { ++calls; });
    absl::Status seen[2];
    Together({
        [&] {
          while (ctx.ctx.Remaining() > absl::Microseconds(5)) {
          }
          ctx.cancel();
          seen[0] = ctx.ctx.Err();
        },
        [&] {
          while (!ctx.ctx.Done()) {
          }
          seen[1] = ctx.ctx.Err();
          while (!child.ctx.Done()) {
          }
          const absl::Status err = child.ctx.Err();
          for (int i = 0; i < 10; ++i) ASSERT_EQ(child.ctx.Err(), err);
        },
    });
    ASSERT_EQ(seen[0], seen[1]);
    ASSERT_EQ(ctx.ctx.Err(), seen[0]);
    // The thread that ended it may still be running its callbacks.
    while (calls.load() == 0) std::this_thread::yield();
    EXPECT_FALSE(registration.Stop());
    ASSERT_EQ(calls.load(), 1);
  }
}

TEST_F(DeadlineRaceTest, TimersMayFireWhileTheirContextsAreDestroyed) {
  Together(3, [&](int thread) {
    for (int i = 0; i < kRounds * 4; ++i) {
      std::optional<Cancellable> ctx =
          WithTimeout(Background(), absl::Microseconds(i * (thread + 1)));
      Cancellable child = WithTimeout(ctx->ctx, absl::Microseconds(100));
      std::this_thread::yield();
      ctx.reset();
    }
  });
}

TEST_F(DeadlineRaceTest, TimersThatFireTogetherMayLoseTheirContextsMeanwhile) {
  for (int round = 0; round < kRounds; ++round) {
    SimulatedClock clock;
    std::vector<Cancellable> contexts;
    for (int i = 0; i < 200; ++i) {
      contexts.push_back(WithTimeout(Background(clock), absl::Seconds(1)));
    }
    Together({
        [&] { clock.Advance(absl::Seconds(2)); },
        [&] {
          // The timers fire from one end while this thread destroys from the
          // other.
          while (!contexts.empty()) {
            if (round % 2 == 0) {
              contexts.pop_back();
            } else {
              contexts.erase(contexts.begin());
            }
          }
        },
    });
    ASSERT_EQ(clock.armed_timers(), 0u);
  }
}

TEST_F(DeadlineRaceTest, TimeoutsChurnInFourThreads) {
  auto [parent, cancel] = WithTimeout(Background(), absl::Hours(1));
  Together(4, [&, parent = parent](int thread) {
    std::vector<Cancellable> window(16);
    for (int i = 0; i < 4000; ++i) {
      window[i % 16] = WithTimeout(
          parent, absl::Microseconds((i * 7919 + thread) % 1'000'000));
    }
  });
  EXPECT_EQ(LiveNodesOnceFired(1), 1);
}

TEST_F(DeadlineRaceTest, EveryThreadThatWaitsForADeadlineWakes) {
  for (int round = 0; round < 20; ++round) {
    Cancellable ctx = WithTimeout(Background(), absl::Milliseconds(1));
    Together(8, [&](int) {
      ctx.ctx.Wait();
      ASSERT_TRUE(absl::IsDeadlineExceeded(ctx.ctx.Err()));
    });
  }
}

TEST_F(DeadlineRaceTest, EveryThreadThatWaitsForACancelWakes) {
  for (int round = 0; round < kRounds; ++round) {
    Cancellable parent = WithCancel(Background());
    Cancellable child = WithCancel(parent.ctx);
    Together(8, [&](int thread) {
      if (thread == 0) return parent.cancel();
      const Context& ctx = thread % 2 == 0 ? parent.ctx : child.ctx;
      if (thread < 5) {
        ctx.Wait();
      } else {
        ASSERT_TRUE(ctx.WaitFor(absl::Hours(1)));
      }
      ASSERT_TRUE(ctx.Done());
    });
  }
}

TEST_F(DeadlineRaceTest, ShortWaitsThatEndAtTheSameTimeAsTheContext) {
  for (int round = 0; round < kRounds; ++round) {
    Cancellable ctx = WithCancel(Background());
    Together({
        [&] {
          while (!ctx.ctx.WaitFor(absl::Microseconds(50))) {
          }
        },
        [&] {
          const absl::Time end = absl::Now() + absl::Microseconds(300);
          while (absl::Now() < end) {
          }
          ctx.cancel();
        },
    });
  }
}

TEST_F(DeadlineRaceTest, ASimulatedClockMayBeAdvancedWhileContextsComeAndGo) {
  SimulatedClock clock;
  std::atomic<bool> over{false};
  Together({
      [&] {
        while (!over.load()) clock.Advance(absl::Milliseconds(1));
      },
      [&] {
        for (int i = 0; i < 3000; ++i) {
          Cancellable a =
              WithTimeout(Background(clock), absl::Milliseconds(150));
          Cancellable b = WithTimeout(a.ctx, absl::Milliseconds(i % 150));
          Cancellable c = WithCancel(b.ctx);
          if (i % 3 == 0) a.cancel();
          if (i % 3 == 1) c.ctx.Wait();
        }
        over = true;
      },
  });
  EXPECT_EQ(clock.armed_timers(), 0u);
}

}  // namespace
}  // namespace tether
