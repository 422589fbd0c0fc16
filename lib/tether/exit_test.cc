// SPDX-License-Identifier: Apache-2.0
//
// Contexts while the process exits: everything that ends by time still ends in
// time, even though tether's threads are gone or about to stop.

#include <atomic>
#include <cstdlib>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/internal/rpc_context.h"
#include "tether/testing/fresh_process.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::ExactDeadline;
using testing::RatherThanHang;
using testing::StartInACallbackOfADeadline;

using ExitDeathTest = testing::FreshProcessTest;

// Starts the timer threads. Static objects made before are destroyed after the
// threads have been stopped.
void StartTimerThreads() {
  StartInACallbackOfADeadline([] {});
}

struct WaitsWhenDestroyed {
  ~WaitsWhenDestroyed() {
    const absl::Time start = absl::Now();
    auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(300));
    auto [child, cancel_child] = WithCancel(ctx);
    TETHER_REQUIRE(!child.WaitFor(absl::Milliseconds(10)));
    TETHER_REQUIRE(!child.WaitUntil(absl::Now() + absl::Milliseconds(10)));
    TETHER_REQUIRE(child.WaitFor(testing::kGiveUp));
    TETHER_REQUIRE(absl::Now() - start >= absl::Milliseconds(300));
    TETHER_REQUIRE(absl::IsDeadlineExceeded(child.Err()));
    TETHER_REQUIRE(absl::IsDeadlineExceeded(ctx.Cause()));

    auto [waited, cancel_waited] =
        WithTimeout(Background(), absl::Milliseconds(10));
    waited.Wait();
    TETHER_REQUIRE(!Background().WaitFor(absl::Milliseconds(10)));
  }
};

[[noreturn]] void WaitInADestructor() {
  RatherThanHang();
  static WaitsWhenDestroyed waits;
  StartTimerThreads();
  std::exit(0);
}

TEST_F(ExitDeathTest, AStaticObjectsDestructorWaitsNoLongerThanADeadline) {
  EXPECT_EXIT(WaitInADestructor(), ::testing::ExitedWithCode(0), "");
}

[[noreturn]] void WaitInADestructorWithoutAThread() {
  RatherThanHang();
  static WaitsWhenDestroyed waits;
  std::exit(0);
}

TEST_F(ExitDeathTest, AWaitEndsEvenIfItsDeadlineIsTheFirstOfTheProcess) {
  EXPECT_EXIT(WaitInADestructorWithoutAThread(), ::testing::ExitedWithCode(0),
              "");
}

// Checks deadlines in its destructor: one set before, and one of its own.
struct PollsWhenDestroyed {
  ~PollsWhenDestroyed() {
    ExactDeadline late(Background(), absl::Milliseconds(250));
    auto [late_child, cancel_late] = WithCancel(late.timed.ctx);
    auto [late_merge, cancel_merge] = Merge(Background(), late.timed.ctx);
    early->Check(early_child->ctx);
    TETHER_REQUIRE(early->timed.ctx.Done());
    TETHER_REQUIRE(early_merge->ctx.Done());
    late.Check(late_child);
    TETHER_REQUIRE(late_merge.Done());
    TETHER_REQUIRE(late.timed.ctx.Done());
  }

  std::optional<ExactDeadline> early;
  std::optional<Cancellable> early_child;
  std::optional<Cancellable> early_merge;
};

[[noreturn]] void PollInADestructor() {
  RatherThanHang();
  static PollsWhenDestroyed polls;
  StartTimerThreads();
  polls.early.emplace(Background(), absl::Milliseconds(200));
  polls.early_child.emplace(WithCancel(polls.early->timed.ctx));
  polls.early_merge.emplace(Merge(Background(), polls.early->timed.ctx));
  std::exit(0);
}

TEST_F(ExitDeathTest, DoneIsExactAfterExitHasBegun) {
  EXPECT_EXIT(PollInADestructor(), ::testing::ExitedWithCode(0), "");
}

// A static object that a program may have: a thread that checks now and then
// whether it has to stop.
struct Worker {
  ~Worker() {
    stop = true;
    thread.join();
  }

  std::atomic<bool> stop{false};
  std::thread thread{[this] {
    while (!stop) Background().WaitFor(absl::Milliseconds(10));
  }};
};

[[noreturn]] void ExitWithAWorker() {
  RatherThanHang();
  static Worker worker;
  StartTimerThreads();
  absl::SleepFor(absl::Milliseconds(30));  // lets the thread enter a wait
  std::exit(0);
}

TEST_F(ExitDeathTest, AGlobalWorkerThatWaitsInStepsIsJoined) {
  EXPECT_EXIT(ExitWithAWorker(), ::testing::ExitedWithCode(0), "");
}

struct ExpectsAllCallbacks {
  ~ExpectsAllCallbacks() { TETHER_REQUIRE(second_ran.load()); }

  std::atomic<bool> exiting{false};
  std::atomic<bool> second_ran{false};
};

[[noreturn]] void ExitBetweenTwoCallbacks() {
  RatherThanHang();
  static ExpectsAllCallbacks expects;
  // Destroyed before the timer threads are stopped.
  StartTimerThreads();
  struct SaysSo {
    ~SaysSo() { expects.exiting = true; }
  };
  static SaysSo says_so;
  (void)says_so;
  StartInACallbackOfADeadline([] {
    while (!expects.exiting) std::this_thread::yield();
    absl::SleepFor(absl::Milliseconds(50));  // gives exit() time to go on
  });
  auto& second = testing::Forever<Cancellable>(
      WithTimeout(Background(), absl::Milliseconds(1)));
  testing::Forever<Registration>(second.ctx, [] { expects.second_ran = true; });
  // The timer thread fires it at once, since no callback blocks that thread.
  while (!internal::HasEnded(second.ctx)) std::this_thread::yield();
  std::exit(0);
}

TEST_F(ExitDeathTest, CallbacksOfDeadlinesThatPassedBeforeStillRun) {
  EXPECT_EXIT(ExitBetweenTwoCallbacks(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace tether
