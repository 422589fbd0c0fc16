// SPDX-License-Identifier: Apache-2.0
//
// Helpers for tests of a whole process: how it exits, which threads it has.
//
//   [[noreturn]] void WaitAtExit() { RatherThanHang(); ...; std::exit(0); }
//   EXPECT_EXIT(WaitAtExit(), ::testing::ExitedWithCode(0), "");
//
// Such a process reports failures by its exit code only. TETHER_REQUIRE prints
// the failed condition to stderr and exits.

#ifndef TETHER_TESTING_FRESH_PROCESS_H_
#define TETHER_TESTING_FRESH_PROCESS_H_

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/clock.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"

namespace tether::testing {

// EXPECT_EXIT starts the program anew, so tether is unused there and has no
// threads.
class FreshProcessTest : public LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }
};

// Kills the process if it still runs after a minute.
inline void RatherThanHang() { alarm(60); }

#define TETHER_REQUIRE(condition)                                        \
  ((condition) ? (void)0                                                 \
               : (std::fprintf(stderr, "%s:%d: %s is false\n", __FILE__, \
                               __LINE__, #condition),                    \
                  _exit(1)))

// A deadline that is checked with Done() alone, since other functions may make
// a context compare the clock.
class ExactDeadline {
 public:
  ExactDeadline(const Context& parent, absl::Duration timeout)
      : before_(Clock::Real().SteadyNanos() +
                absl::ToInt64Nanoseconds(timeout)),
        timed(WithTimeout(parent, timeout)),
        after_(Clock::Real().SteadyNanos() +
               absl::ToInt64Nanoseconds(timeout)) {}

  // Calls Done() on `ctx`, which ends by this deadline, until the deadline has
  // passed. Every result must be right.
  void Check(const Context& ctx) const {
    for (;;) {
      const int64_t looked = Clock::Real().SteadyNanos();
      const bool done = ctx.Done();
      TETHER_REQUIRE(!done || Clock::Real().SteadyNanos() >= before_);
      TETHER_REQUIRE(done || looked < after_);
      if (looked >= after_) return;
    }
  }

 private:
  const int64_t before_;

 public:
  Cancellable timed;

 private:
  const int64_t after_;
};

// The name of the calling thread.
inline std::string ThreadName() {
  char name[16] = "";
  pthread_getname_np(pthread_self(), name, sizeof name);
  return name;
}

// The names of all threads of the process.
inline std::vector<std::string> ThreadNames() {
  std::vector<std::string> names;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(task.path() / "comm");
    std::getline(file, names.emplace_back());
  }
  return names;
}

// Makes a T that is never destroyed, but stays reachable for leak checkers.
template <typename T, typename... Args>
T& Forever(Args&&... args) {
  static auto& all = *new std::vector<std::unique_ptr<T>>;
  return *all.emplace_back(std::make_unique<T>(std::forward<Args>(args)...));
}

// Runs `fn` on the thread that runs the callbacks of deadlines. Returns when
// `fn` has begun, not when it is over. `fn` is never destroyed.
template <typename F>
void StartInACallbackOfADeadline(F fn) {
  enum State { kWaits, kRanHere, kBegun };
  for (;;) {
    auto& state = Forever<std::atomic<State>>(kWaits);
    auto& timed =
        Forever<Cancellable>(WithTimeout(Background(), absl::Milliseconds(5)));
    Forever<Registration>(
        timed.ctx, [&state, fn, here = std::this_thread::get_id()] {
          if (std::this_thread::get_id() == here) {
            state = kRanHere;  // too late to be called by a timer
            return;
          }
          state = kBegun;
          fn();
        });
    while (state == kWaits) std::this_thread::yield();
    if (state == kBegun) return;
  }
}

}  // namespace tether::testing

#endif  // TETHER_TESTING_FRESH_PROCESS_H_
