// SPDX-License-Identifier: Apache-2.0
//
// The timer thread and the callback thread when a callback blocks, when they
// can't be started, and in a program that uses signals and debuggers.

#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/internal/service_thread.h"
#include "tether/testing/fresh_process.h"

namespace tether {
namespace {

using testing::ExactDeadline;
using testing::RatherThanHang;
using testing::StartInACallbackOfADeadline;
using testing::ThreadName;

using TimerThreadDeathTest = testing::FreshProcessTest;

void YieldUntil(const std::atomic<bool>& flag) {
  while (!flag) std::this_thread::yield();
}

// ---- Kept by a callback ----------------------------------------------------

[[noreturn]] void WaitInACallback() {
  RatherThanHang();
  static std::atomic<bool> over{false};
  StartInACallbackOfADeadline([] {
    TETHER_REQUIRE(!Background().WaitFor(absl::Milliseconds(10)));
    auto [live, cancel_live] = WithTimeout(Background(), absl::Hours(1));
    TETHER_REQUIRE(!live.WaitFor(absl::Milliseconds(10)));
    TETHER_REQUIRE(!live.WaitUntil(absl::Now() + absl::Milliseconds(10)));
    auto [ctx, cancel] = WithTimeout(live, absl::Milliseconds(10));
    auto [merged, cancel_merged] = Merge(Background(), ctx);
    TETHER_REQUIRE(merged.WaitFor(absl::Hours(1)));
    ctx.Wait();
    TETHER_REQUIRE(absl::IsDeadlineExceeded(ctx.Err()));
    over = true;
  });
  YieldUntil(over);
  std::exit(0);
}

TEST_F(TimerThreadDeathTest, ABoundedWaitInACallbackOfADeadlineReturns) {
  EXPECT_EXIT(WaitInACallback(), ::testing::ExitedWithCode(0), "");
}

[[noreturn]] void KeepTheCallbackThread() {
  RatherThanHang();
  // Far away when the thread is blocked. Calls only Done(), since other
  // functions may make a context compare the clock.
  static ExactDeadline before(Background(), absl::Milliseconds(400));
  static Cancellable before_child = WithCancel(before.timed.ctx);
  static std::atomic<bool> release{false};
  StartInACallbackOfADeadline([] { YieldUntil(release); });
  {
    ExactDeadline after(Background(), absl::Milliseconds(400));
    auto [merged, cancel] = Merge(Background(), after.timed.ctx);
    std::thread waits([&, ctx = after.timed.ctx] { ctx.Wait(); });
    before.Check(before_child.ctx);
    after.Check(merged);
    waits.join();
    TETHER_REQUIRE(before.timed.ctx.Done());
    TETHER_REQUIRE(after.timed.ctx.Done());
  }
  release = true;
  std::exit(0);
}

TEST_F(TimerThreadDeathTest, ACallbackThatBlocksDelaysNoDeadline) {
  EXPECT_EXIT(KeepTheCallbackThread(), ::testing::ExitedWithCode(0), "");
}

[[noreturn]] void KeepItWithADestructor() {
  RatherThanHang();
  static std::atomic<bool> freed{false};
  static std::atomic<bool> release{false};
  struct Value {
    ~Value() {
      if (shared.use_count() != 1) return;
      freed = true;
      YieldUntil(release);
    }
    std::shared_ptr<int> shared;
  };
  static constexpr Key<Value> kValue{"value"};
  // A callback that drops the last reference to a value of its own context.
  struct Last {
    Cancellable timed;
    std::optional<Registration> registration;
    std::atomic<bool> registered{false};
  };
  for (std::atomic<bool> ran_here{true}; ran_here;) {
    ran_here = false;
    auto* last = new Last;
    last->timed = WithTimeout(
        WithValue(Background(), kValue, Value{std::make_shared<int>()}),
        absl::Milliseconds(20));
    last->registration.emplace(
        last->timed.ctx, [last, &ran_here, here = std::this_thread::get_id()] {
          if (std::this_thread::get_id() != here) {
            YieldUntil(last->registered);
            delete last;
          } else {
            ran_here = true;  // too late to be called by a timer
          }
        });
    if (ran_here) testing::Forever<std::unique_ptr<Last>>(last);
    last->registered = true;
  }
  YieldUntil(freed);
  ExactDeadline other(Background(), absl::Milliseconds(300));
  other.Check(other.timed.ctx);
  release = true;
  std::exit(0);
}

TEST_F(TimerThreadDeathTest, ADestructorOfAValueThatBlocksDelaysNoDeadline) {
  EXPECT_EXIT(KeepItWithADestructor(), ::testing::ExitedWithCode(0), "");
}

// ---- Without a thread ------------------------------------------------------

constexpr int kMany = 1 << 30;

// Deadlines pass in time even without a timer thread.
void CheckDeadlinesWithoutAThread() {
  ExactDeadline far(Background(), absl::Milliseconds(250));
  auto [child, cancel_child] = WithCancel(far.timed.ctx);
  auto [merged, cancel_merged] = Merge(Background(), child);
  auto [waited, cancel_waited] =
      WithTimeout(Background(), absl::Milliseconds(150));
  TETHER_REQUIRE(!waited.WaitFor(absl::Milliseconds(10)));
  waited.Wait();
  TETHER_REQUIRE(absl::IsDeadlineExceeded(waited.Err()));
  far.Check(child);
  TETHER_REQUIRE(merged.Done());
  TETHER_REQUIRE(absl::IsDeadlineExceeded(merged.Err()));
}

// A callback of a passed deadline, without a thread to run it.
struct OwedCallback {
  OwedCallback() {
    do {
      ran = false;
      timed = WithTimeout(Background(), absl::Milliseconds(5));
      registration.emplace(timed.ctx, [this] { ran = true; });
    } while (ran);  // too late: it ran here
    timed.ctx.Wait();
  }

  std::atomic<bool> ran{false};
  Cancellable timed;
  std::optional<Registration> registration;
};

// Requires CheckDeadlinesWithoutAThread before it; threads can be started
// again.
void CheckThatTheNextDeadlineStartsIt(const std::atomic<bool>& earlier_ran) {
  TETHER_REQUIRE(!earlier_ran);
  auto [next, cancel] = WithTimeout(Background(), absl::Hours(1));
  YieldUntil(earlier_ran);  // the timers armed before are not lost
  ExactDeadline exact(next, absl::Milliseconds(200));
  exact.Check(exact.timed.ctx);
}

[[noreturn]] void FailToStartThreads() {
  RatherThanHang();
  internal::FailThreadStarts(kMany);
  OwedCallback owed;
  CheckDeadlinesWithoutAThread();
  internal::FailThreadStarts(0);
  CheckThatTheNextDeadlineStartsIt(owed.ran);
  std::exit(0);
}

TEST_F(TimerThreadDeathTest, DeadlinesPassInTimeIfNoThreadCanBeStarted) {
  EXPECT_EXIT(FailToStartThreads(), ::testing::ExitedWithCode(0), "");
}

constexpr int kNotPossibleHere = 42;

[[noreturn]] void ReachTheLimitOfProcesses() {
  RatherThanHang();
  constexpr uid_t kNobody = 65534;
  rlimit limit;
  if (getrlimit(RLIMIT_NPROC, &limit) != 0) _exit(kNotPossibleHere);
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = 1;
  if (setrlimit(RLIMIT_NPROC, &limit) != 0) _exit(kNotPossibleHere);
  // The limit does not apply to root.
  if (geteuid() == 0 && setuid(kNobody) != 0) _exit(kNotPossibleHere);
  try {
    std::thread([] {}).join();
    _exit(kNotPossibleHere);
  } catch (const std::system_error&) {
  }
  OwedCallback owed;
  CheckDeadlinesWithoutAThread();
  limit.rlim_cur = before;
  TETHER_REQUIRE(setrlimit(RLIMIT_NPROC, &limit) == 0);
  CheckThatTheNextDeadlineStartsIt(owed.ran);
  std::exit(0);
}

TEST_F(TimerThreadDeathTest, DeadlinesHoldAtTheSystemsLimitOfProcesses) {
  static bool possible = true;
  EXPECT_EXIT(
      ReachTheLimitOfProcesses(),
      [](int status) {
        possible = WEXITSTATUS(status) != kNotPossibleHere;
        return WIFEXITED(status) &&
               (!possible || WEXITSTATUS(status) == EXIT_SUCCESS);
      },
      "");
  if (!possible) GTEST_SKIP() << "no limit could be set here";
}

[[noreturn]] void FailToStartTheCallbackThread() {
  RatherThanHang();
  // Far away when the other thread is blocked.
  static ExactDeadline before(Background(), absl::Milliseconds(400));
  static Cancellable before_child = WithCancel(before.timed.ctx);
  internal::FailThreadStarts(kMany);
  static std::atomic<bool> release{false};
  static std::atomic<bool> over{false};
  StartInACallbackOfADeadline([] {
    TETHER_REQUIRE(ThreadName() == "tether-timer");
    TETHER_REQUIRE(!Background().WaitFor(absl::Milliseconds(1)));
    YieldUntil(release);
    over = true;
  });
  ExactDeadline after(Background(), absl::Milliseconds(400));
  before.Check(before_child.ctx);
  after.Check(after.timed.ctx);
  internal::FailThreadStarts(0);
  release = true;
  YieldUntil(over);
  StartInACallbackOfADeadline(
      [] { TETHER_REQUIRE(ThreadName() == "tether-callback"); });
  CheckDeadlinesWithoutAThread();
  std::exit(0);
}

TEST_F(TimerThreadDeathTest, CallbacksRunIfTheirThreadCannotBeStarted) {
  EXPECT_EXIT(FailToStartTheCallbackThread(), ::testing::ExitedWithCode(0), "");
}

// ---- In any program --------------------------------------------------------

[[noreturn]] void WaitForASignal() {
  RatherThanHang();
  // This thread, which starts them, blocks no signal.
  StartInACallbackOfADeadline([] {});
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  TETHER_REQUIRE(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  for (int i = 0; i < 100; ++i) {
    TETHER_REQUIRE(kill(getpid(), SIGUSR1) == 0);
    const timespec limit{30, 0};
    siginfo_t info;
    TETHER_REQUIRE(sigtimedwait(&set, &info, &limit) == SIGUSR1);
  }
  std::exit(0);
}

TEST_F(TimerThreadDeathTest, TakesNoneOfTheProgramsSignals) {
  EXPECT_EXIT(WaitForASignal(), ::testing::ExitedWithCode(0), "");
}

[[noreturn]] void LookAtTheMask() {
  RatherThanHang();
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  static std::atomic<bool> over{false};
  StartInACallbackOfADeadline([] {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGALRM, SIGPIPE,
                             SIGPROF, SIGUSR2, SIGRTMAX}) {
      TETHER_REQUIRE(sigismember(&mask, signal) == 1);
    }
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
      TETHER_REQUIRE(sigismember(&mask, fault) == 0);
    }
    over = true;
  });
  YieldUntil(over);
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < SIGRTMAX; ++signal) {
    TETHER_REQUIRE(sigismember(&before, signal) == sigismember(&after, signal));
  }
  std::exit(0);
}

TEST_F(TimerThreadDeathTest, BlocksAllSignalsButFaultsAndOnlyInItself) {
  EXPECT_EXIT(LookAtTheMask(), ::testing::ExitedWithCode(0), "");
}

[[noreturn]] void LookAtTheNames() {
  RatherThanHang();
  static std::atomic<bool> over{false};
  StartInACallbackOfADeadline([] {
    TETHER_REQUIRE(ThreadName() == "tether-callback");
    over = true;
  });
  YieldUntil(over);
  const std::vector<std::string> names = testing::ThreadNames();
  TETHER_REQUIRE(std::count(names.begin(), names.end(), "tether-timer") == 1);
  TETHER_REQUIRE(std::count(names.begin(), names.end(), "tether-callback") ==
                 1);
  std::exit(0);
}

TEST_F(TimerThreadDeathTest, HasAName) {
  EXPECT_EXIT(LookAtTheNames(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace tether
