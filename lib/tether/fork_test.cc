// SPDX-License-Identifier: Apache-2.0
//
// The use of contexts in the child of a fork, whatever its parent's threads
// were doing.

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/testing/fresh_process.h"
#include "tether/testing/leak_checked_test.h"

namespace tether {
namespace {

using testing::ExactDeadline;

#if defined(__has_feature)
#define TETHER_HAS_FEATURE(feature) __has_feature(feature)
#else
#define TETHER_HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || TETHER_HAS_FEATURE(thread_sanitizer)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif
#if defined(__SANITIZE_ADDRESS__) || TETHER_HAS_FEATURE(address_sanitizer)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif

class ForkTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    if (kThreadSanitizer) GTEST_SKIP() << "it allows no threads after a fork";
    testing::LeakCheckedTest::SetUp();
  }
};

// Runs `body` in a child process and checks in the parent that it succeeds.
template <typename F>
pid_t Fork(F body) {
  const pid_t pid = fork();
  if (pid == 0) {
    testing::RatherThanHang();
    body();
    _exit(0);
  }
  return pid;
}

void ExpectSuccess(pid_t pid) {
  int status = -1;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_FALSE(WIFSIGNALED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}

// Uses contexts in every way that a child process may.
void UseContexts() {
  auto [top, cancel_top] = WithTimeout(Background(), absl::Hours(1));
  auto [ctx, cancel] = WithTimeout(top, absl::Milliseconds(2));
  auto [merged, cancel_merged] = Merge(Background(), ctx);
  auto [live, cancel_live] = WithCancel(top);
  auto [called, notify] = WithCancel(Background());
  const Registration registration(
      merged, [&notify = notify] { notify(absl::AbortedError("called")); });
  TETHER_REQUIRE(!live.WaitFor(absl::Milliseconds(1)));
  called.Wait();
  TETHER_REQUIRE(called.Cause() == absl::AbortedError("called"));
  TETHER_REQUIRE(ctx.Done());
  TETHER_REQUIRE(absl::IsDeadlineExceeded(merged.Err()));
  TETHER_REQUIRE(!live.Done());
  cancel_top();
  TETHER_REQUIRE(live.Done());
}

// Uses contexts in every way until stopped, so that at any moment a lock is
// held, a thread waits and a deadline passes.
void KeepUsingContexts(const std::atomic<bool>& stop) {
  while (!stop) {
    auto [top, cancel_top] = WithTimeout(Background(), absl::Milliseconds(3));
    std::atomic<bool> on_this_stack{false};
    const Registration callback(top, [&] { on_this_stack = true; });
    std::vector<Cancellable> children;
    for (int i = 0; i < 20; ++i) {
      children.push_back(WithTimeout(top, absl::Microseconds(100 * i)));
      children.push_back(WithCancel(children.back().ctx));
    }
    children.back().ctx.WaitFor(absl::Microseconds(500));
    // A thread that has no cell for its counts yet.
    std::thread([&, ctx = top] {
      auto [child, cancel] = WithCancel(ctx);
      (void)child.WaitFor(absl::Microseconds(200));
    }).join();
  }
}

TEST_F(ForkTest, AChildUsesItsOwnContextsWhateverItsParentsThreadsDo) {
  if (kAddressSanitizer) {
    GTEST_SKIP() << "its allocator's locks stay locked in the child";
  }
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&stop] { KeepUsingContexts(stop); });
  }
  constexpr int kChildren = 1000;
  constexpr int kAtOnce = 10;
  std::vector<pid_t> children;
  for (int i = 0; i < kChildren && !HasFailure(); ++i) {
    children.push_back(Fork([] { UseContexts(); }));
    if (children.size() == kAtOnce) {
      for (const pid_t pid : children) ExpectSuccess(pid);
      children.clear();
    }
  }
  for (const pid_t pid : children) ExpectSuccess(pid);
  stop = true;
  for (std::thread& t : threads) t.join();
}

TEST_F(ForkTest, ADeadlineOfTheParentsCallsNothingInTheChild) {
  std::atomic<int> calls{0};
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(30));
  auto [far, cancel_far] = WithTimeout(Background(), absl::Milliseconds(130));
  const Registration on_ctx(ctx, [&calls] { ++calls; });
  const Registration on_far(far, [&calls] { ++calls; });
  const pid_t child = Fork([&calls, far = far] {
    // On a busy machine, the fork itself may come after the first deadline.
    const int at_fork = calls;
    // The child uses its own threads and later deadlines.
    UseContexts();
    auto [own, cancel_own] = WithTimeout(Background(), absl::Milliseconds(300));
    std::atomic<bool> own_called{false};
    const Registration on_own(own, [&own_called] { own_called = true; });
    far.Wait();  // a wait watches the time itself
    own.Wait();
    while (!own_called) std::this_thread::yield();
    TETHER_REQUIRE(calls == at_fork);
  });
  ExpectSuccess(child);
  // The parent is not affected.
  while (calls != 2) std::this_thread::yield();
}

TEST_F(ForkTest, DoneOfTheParentsContextsIsExactInTheChild) {
  ExactDeadline deadline(Background(), absl::Milliseconds(300));
  const Cancellable child = WithCancel(deadline.timed.ctx);
  const Cancellable below = WithCancel(child.ctx);
  const Cancellable sibling = WithCancel(child.ctx);
  const Cancellable merged = Merge(Background(), below.ctx);
  ExpectSuccess(Fork([&] {
    deadline.Check(below.ctx);
    for (const Context& ctx :
         {deadline.timed.ctx, child.ctx, sibling.ctx, merged.ctx}) {
      TETHER_REQUIRE(ctx.Done());
      TETHER_REQUIRE(absl::IsDeadlineExceeded(ctx.Err()));
    }
  }));
}

TEST_F(ForkTest, ASingleThreadedProcessMayUseItsContextsInTheChild) {
  std::vector<Cancellable> contexts;
  for (int ms : {1, 100, 150, 3'000, 3'600'000}) {
    contexts.push_back(WithTimeout(Background(), absl::Milliseconds(ms)));
    contexts.push_back(
        WithTimeout(contexts.back().ctx, absl::Milliseconds(ms) / 2));
    contexts.push_back(WithCancel(contexts.back().ctx));
  }
  ASSERT_GE(LiveTimers(), 4);
  ExpectSuccess(Fork([&] {
    // Among new timers, which are armed where the old ones were.
    std::vector<Cancellable> own;
    for (int i = 0; i < 100; ++i) {
      own.push_back(
          WithTimeout(contexts[4].ctx, absl::Milliseconds(50 + 10 * i)));
    }
    for (const Cancellable& c : contexts) c.cancel();
    for (const Cancellable& c : own) TETHER_REQUIRE(c.ctx.Done());
    for (const Cancellable& c : contexts) TETHER_REQUIRE(c.ctx.Done());
    own.clear();
    contexts.clear();
    TETHER_REQUIRE(LiveTimers() == 0);
    TETHER_REQUIRE(LiveNodes() == 0);
    UseContexts();
  }));
  EXPECT_GE(LiveTimers(), 2);
}

TEST_F(ForkTest, AGrandchildUsesContextsToo) {
  ExpectSuccess(Fork([] {
    UseContexts();
    const pid_t grandchild = Fork([] { UseContexts(); });
    int status = -1;
    TETHER_REQUIRE(waitpid(grandchild, &status, 0) == grandchild);
    TETHER_REQUIRE(status == 0);
    UseContexts();
  }));
}

TEST_F(ForkTest, ACallbackOfADeadlineMayFork) {
  for (int i = 0; i < 20; ++i) {
    std::atomic<pid_t> child{0};
    auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(2));
    const Registration registration(
        ctx, [&child] { child = Fork([] { UseContexts(); }); });
    while (child == 0) std::this_thread::yield();
    ExpectSuccess(child);
  }
}

}  // namespace
}  // namespace tether
