// SPDX-License-Identifier: Apache-2.0

#include "tether/clock.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/internal/timer_service.h"
#include "tether/testing/leak_checked_test.h"

namespace tether {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#elif defined(__has_feature)
constexpr bool kThreadSanitizer = __has_feature(thread_sanitizer);
#else
constexpr bool kThreadSanitizer = false;
#endif

// The timer thread may fire late by a tick (a quarter of a millisecond) plus
// the time to wake it, which is far below a millisecond on an idle machine. But
// this test may run on a loaded machine and under sanitizers. It looks for
// timers that are lost, not for delays of the scheduler.
constexpr absl::Duration kSlack = absl::Milliseconds(5001);

class ClockTest : public testing::LeakCheckedTest {};

TEST_F(ClockTest, TheSteadyClockNeverGoesBack) {
  Clock& clock = Clock::Real();
  EXPECT_EQ(&clock, &Clock::Real());
  int64_t last = clock.SteadyNanos();
  for (int i = 0; i < 10'000; ++i) {
    const int64_t now = clock.SteadyNanos();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST_F(ClockTest, NowIsTheTimeOfDay) {
  const absl::Time before = absl::Now();
  const absl::Time now = Clock::Real().Now();
  const absl::Time after = absl::Now();
  // NTP adjusts both clocks from time to time.
  EXPECT_GE(now, before - absl::Milliseconds(1));
  EXPECT_LE(now, after + absl::Milliseconds(1));
}

TEST_F(ClockTest, BackgroundOfTheRealClockRunsOnTheRealClock) {
  auto [ctx, cancel] =
      WithTimeout(Background(Clock::Real()), absl::Milliseconds(1));
  ctx.Wait();
  EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Err()));
}

TEST_F(ClockTest, ADeadlineFiresNeverEarlyAndNotMuchLate) {
  // Some are near when they are made, some come near later.
  for (const int ms : {0, 1, 3, 10, 99, 101, 120}) {
    const auto start = std::chrono::steady_clock::now();
    auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(ms));
    auto [fired, notify_fired] = WithCancel(Background());
    absl::Duration took, remaining;
    Registration registration =
        AfterFunc(ctx, [&, ctx = ctx, &notify_fired = notify_fired] {
          took = absl::FromChrono(std::chrono::steady_clock::now() - start);
          remaining = ctx.Remaining();
          notify_fired();
        });
    fired.Wait();
    EXPECT_LE(remaining, absl::ZeroDuration());
    EXPECT_GE(took, absl::Milliseconds(ms));
    EXPECT_LE(took, absl::Milliseconds(ms) + kSlack);
  }
}

TEST_F(ClockTest, DoneIsExactOnTheRealClock) {
  for (const int us : {0, 100, 5'000, 110'000}) {
    auto [ctx, cancel] = WithTimeout(Background(), absl::Microseconds(us));
    auto [child, cancel_child] = WithCancel(ctx);
    for (;;) {
      // Read the clock before and after each Done().
      const bool passed_before = child.Remaining() <= absl::ZeroDuration();
      const bool done = child.Done();
      const bool passed_after = child.Remaining() <= absl::ZeroDuration();
      if (passed_before) {
        ASSERT_TRUE(done) << "late";
      }
      if (done) {
        ASSERT_TRUE(passed_after) << "early";
        break;
      }
    }
  }
}

TEST_F(ClockTest, AnEarlierTimerWakesTheThreadThatSleepsForALaterOne) {
  // Each deadline must shorten the sleep that the previous one caused.
  std::vector<Cancellable> contexts;
  for (const int ms : {3'600'000, 400'000, 60'000, 6'000, 200, 20, 2}) {
    contexts.push_back(WithTimeout(Background(), absl::Milliseconds(ms)));
    std::this_thread::yield();
  }
  const absl::Time start = absl::Now();
  contexts[6].ctx.Wait();
  contexts[5].ctx.Wait();
  contexts[4].ctx.Wait();
  EXPECT_LE(absl::Now() - start, absl::Milliseconds(200) + kSlack);
  EXPECT_FALSE(contexts[3].ctx.Done());
}

TEST_F(ClockTest, ThousandsOfTimersAllFire) {
  std::vector<Cancellable> contexts;
  for (int i = 0; i < 5'000; ++i) {
    contexts.push_back(
        WithTimeout(Background(), absl::Microseconds((i * 7919) % 150'000)));
  }
  for (const Cancellable& c : contexts) {
    c.ctx.Wait();
    ASSERT_LE(c.ctx.Remaining(), absl::ZeroDuration());
  }
}

TEST_F(ClockTest, ABlockedCallbackDoesNotMakeDoneLateForOthersThatAreNear) {
  auto [blocker, cancel_blocker] =
      WithTimeout(Background(), absl::Milliseconds(1));
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(50));
  Registration blocks = AfterFunc(blocker, [ctx = ctx] {
    // This runs on the timer thread, so only reading the clock can show it.
    while (ctx.Remaining() > absl::ZeroDuration()) std::this_thread::yield();
    EXPECT_TRUE(ctx.Done());
    EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Err()));
  });
  blocker.Wait();
  ctx.Wait();
}

// ---- Processes -------------------------------------------------------------

// The child of a fork does not have the threads of its parent.
int RunInChild(void (*body)()) {
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(30);  // instead of hanging
    body();
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = -1;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST_F(ClockTest, AChildProcessSeesItsOwnDeadlinesEnd) {
  if (kThreadSanitizer) GTEST_SKIP() << "it allows no threads after a fork";
  // Meanwhile the timer thread of the parent sleeps.
  auto [inherited, cancel] = WithTimeout(Background(), absl::Hours(1));
  EXPECT_FALSE(inherited.WaitFor(absl::Milliseconds(2)));
  EXPECT_EQ(RunInChild([] {
              auto [ctx, cancel_ctx] =
                  WithTimeout(Background(), absl::Milliseconds(5));
              ctx.Wait();
            }),
            0);
}

TEST_F(ClockTest, TheTimerThreadOfAChildProcessCanBeWokenOftenEnough) {
  if (kThreadSanitizer) GTEST_SKIP() << "it allows no threads after a fork";
  auto [inherited, cancel] = WithTimeout(Background(), absl::Hours(1));
  EXPECT_FALSE(inherited.WaitFor(absl::Milliseconds(2)));
  EXPECT_EQ(
      RunInChild([] {
        // Each deadline is earlier than the previous one, so each causes a
        // wake-up.
        std::vector<Cancellable> contexts;
        for (int ms : {300'000, 200'000, 100'000, 50'000, 2, 1}) {
          contexts.push_back(WithTimeout(Background(), absl::Milliseconds(ms)));
          absl::SleepFor(absl::Milliseconds(5));
        }
        contexts[4].ctx.Wait();
        contexts[5].ctx.Wait();
        for (int i = 0; i < 20; ++i) {
          auto [ctx, cancel_ctx] =
              WithTimeout(Background(), absl::Milliseconds(1));
          ctx.Wait();
        }
      }),
      0);
}

TEST_F(ClockTest, AGrandchildProcessSeesItsOwnDeadlinesEnd) {
  if (kThreadSanitizer) GTEST_SKIP() << "it allows no threads after a fork";
  EXPECT_EQ(RunInChild([] {
              auto [ctx, cancel] =
                  WithTimeout(Background(), absl::Milliseconds(1));
              ctx.Wait();
              EXPECT_EQ(RunInChild([] {
                          auto [below, cancel_below] =
                              WithTimeout(Background(), absl::Milliseconds(1));
                          below.Wait();
                        }),
                        0);
            }),
            0);
}

// A callback that blocks makes later callbacks late without bound.
TEST_F(ClockTest, DoneIsExactEvenIfTheTimerThreadIsLate) {
  std::atomic<bool> keeping{false};
  std::atomic<bool> release{false};
  std::optional<Cancellable> keeper;
  std::optional<Registration> keep;
  while (!keeping) {
    keeper.emplace(WithTimeout(Background(), absl::Milliseconds(5)));
    bool too_late = false;  // the callback ran at once, on this thread
    keep.emplace(keeper->ctx, [&, here = std::this_thread::get_id()] {
      if (std::this_thread::get_id() == here) {
        too_late = true;
        return;
      }
      keeping = true;
      while (!release) std::this_thread::yield();
    });
    while (!too_late && !keeping) std::this_thread::yield();
  }

  // Too far away to be near, unless something marks it near.
  auto [parent, cancel_parent] =
      WithTimeout(Background(), 2 * absl::Nanoseconds(internal::kNearWindow));
  auto [child, cancel_child] = WithCancel(parent);
  while (child.Remaining() > absl::ZeroDuration()) std::this_thread::yield();
  EXPECT_TRUE(child.Done());
  EXPECT_TRUE(parent.Done());
  cancel_child();
  EXPECT_EQ(child.Err(),
            absl::DeadlineExceededError("context deadline exceeded"));
  EXPECT_EQ(parent.Err(), child.Err());
  release = true;
}

class ClockDeathTest : public ClockTest {
 protected:
  void SetUp() override {
    ClockTest::SetUp();
    // Starts the program anew, so that it has its own timer thread.
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }
};

[[noreturn]] void ExitWithArmedDeadlines() {
  auto& contexts = *new std::vector<Cancellable>;
  for (int ms : {1, 5, 50, 5'000, 3'600'000}) {
    contexts.push_back(WithTimeout(Background(), absl::Milliseconds(ms)));
  }
  contexts[0].ctx.Wait();
  std::exit(0);
}

TEST_F(ClockDeathTest, AProcessMayExitWhileDeadlinesAreArmed) {
  EXPECT_EXIT(ExitWithArmedDeadlines(), ::testing::ExitedWithCode(0), "");
}

// Uses deadlines in its destructor.
struct UsesContextsLate {
  ~UsesContextsLate() {
    auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(1));
    while (!ctx.Done()) {
    }
  }
};

// Checks in its destructor that no deadline fires any more.
struct ExpectsNoTimerThread {
  ~ExpectsNoTimerThread() {
    auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(1));
    static std::atomic<bool> fired{false};
    Registration registration = AfterFunc(ctx, [] { fired = true; });
    // A wait would prove nothing, since it works without the thread.
    absl::SleepFor(absl::Milliseconds(20));
    if (fired.load()) _exit(1);
  }
};

[[noreturn]] void ExitWithContextsInStaticStorage() {
  // Made before the timer thread, so it is destroyed after that was stopped.
  static UsesContextsLate uses_contexts_late;
  static ExpectsNoTimerThread expects_no_timer_thread;
  static std::vector<Cancellable> contexts;
  contexts.push_back(WithTimeout(Background(), absl::Milliseconds(1)));
  contexts.push_back(WithTimeout(Background(), absl::Hours(1)));
  contexts[0].ctx.Wait();
  std::exit(0);
}

TEST_F(ClockDeathTest, ContextsInStaticStorageMayOutliveTheTimerThread) {
  EXPECT_EXIT(ExitWithContextsInStaticStorage(), ::testing::ExitedWithCode(0),
              "");
}

[[noreturn]] void ExitWithoutADeadlineUpToNow() {
  static UsesContextsLate uses_contexts_late;
  std::exit(0);
}

TEST_F(ClockDeathTest, TheFirstDeadlineMayBeSetDuringStaticDestruction) {
  EXPECT_EXIT(ExitWithoutADeadlineUpToNow(), ::testing::ExitedWithCode(0), "");
}

[[noreturn]] void ExitFromACallback() {
  auto& timed =
      *new Cancellable(WithTimeout(Background(), absl::Milliseconds(1)));
  new Registration(timed.ctx, [] { std::exit(0); });
  for (;;) std::this_thread::yield();
}

TEST_F(ClockDeathTest, ACallbackOfADeadlineMayExitTheProcess) {
  EXPECT_EXIT(ExitFromACallback(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace tether
