// SPDX-License-Identifier: Apache-2.0
//
// A fixture that fails a test if the test leaves a context, a callback or a
// timer behind.
//
//   class PoolTest : public tether::testing::LeakCheckedTest {};
//   TEST_F(PoolTest, ...) { ... }
//
// Everything that a test makes with tether must be destroyed when its body
// ends, so keep it in local variables. If a derived fixture has such members,
// its TearDown must clear them before it calls this one's.

#ifndef TETHER_TESTING_LEAK_CHECKED_TEST_H_
#define TETHER_TESTING_LEAK_CHECKED_TEST_H_

#include <chrono>
#include <cstdint>
#include <thread>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/internal/live_counts.h"
#include "tether/testing/give_up.h"

namespace tether::testing {

class LeakCheckedTest : public ::testing::Test {
 protected:
  void SetUp() override { before_ = Now(); }

  void TearDown() override {
    Await([this] { return Now() == before_; });
    EXPECT_EQ(LiveNodes(), 0) << "contexts are left";
    EXPECT_EQ(LiveCallbacks(), 0) << "callbacks are left linked";
    EXPECT_EQ(LiveTimers(), 0) << "timers are left armed";
  }

  // How many of each the test has made and not yet destroyed. Exact once all
  // other threads that made or destroyed something have been joined.
  int64_t LiveNodes() const { return Now().nodes - before_.nodes; }
  int64_t LiveCallbacks() const { return Now().callbacks - before_.callbacks; }
  int64_t LiveTimers() const { return Now().timers - before_.timers; }

  // LiveNodes() for tests whose deadlines passed on the real clock: waits up to
  // kGiveUp for `expected`. The timer thread holds a reference to a context
  // whose timer it fires, and drops it a moment after the context is done. A
  // test can't join that thread.
  int64_t LiveNodesOnceFired(int64_t expected) const {
    Await([&] { return LiveNodes() == expected; });
    return LiveNodes();
  }

 private:
  template <typename Condition>
  static void Await(const Condition& condition) {
    const auto give_up =
        std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(kGiveUp);
    while (!condition() && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  struct Counts {
    int64_t nodes = 0;
    int64_t callbacks = 0;
    int64_t timers = 0;

    bool operator==(const Counts& other) const {
      return nodes == other.nodes && callbacks == other.callbacks &&
             timers == other.timers;
    }
  };

  static Counts Now() {
    return {internal::LiveCount(internal::Live::kNode),
            internal::LiveCount(internal::Live::kCallback),
            internal::LiveCount(internal::Live::kTimer)};
  }

  Counts before_;
};

}  // namespace tether::testing

#endif  // TETHER_TESTING_LEAK_CHECKED_TEST_H_
