// SPDX-License-Identifier: Apache-2.0
//
// The rules of contexts that context.h lists, one by one.

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/clock.h"
#include "tether/context.h"
#include "tether/internal/timer_service.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace {

// Calls of operator new by this thread.
thread_local int allocations = 0;

}  // namespace

void* operator new(size_t size) {
  ++allocations;
  void* p = std::malloc(size);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
// AddressSanitizer's version would not call the operator new above.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace tether {
namespace {

using testing::SimulatedClock;

class ContextRulesTest : public testing::LeakCheckedTest {
 protected:
  SimulatedClock clock_;
};

TEST_F(ContextRulesTest, Rule1_AChildEndsWithItsParentAndNotTheReverse) {
  auto [parent, cancel_parent] = WithCancel(Background());
  auto [child, cancel_child] = WithCancel(parent);
  auto [grandchild, cancel_grandchild] = WithCancel(child);
  cancel_grandchild(absl::AbortedError("own"));
  EXPECT_TRUE(grandchild.Done());
  EXPECT_FALSE(child.Done());
  EXPECT_FALSE(parent.Done());
  cancel_parent(absl::AbortedError("parent's"));
  EXPECT_TRUE(child.Done());
  // The first reason stays.
  EXPECT_EQ(grandchild.Cause(), absl::AbortedError("own"));
  EXPECT_EQ(child.Cause(), absl::AbortedError("parent's"));
}

TEST_F(ContextRulesTest, Rule2_TheEarlierDeadlineHoldsAndThereIsNoDefault) {
  const absl::Time start = clock_.Now();
  auto [none, cancel_none] = WithCancel(Background(clock_));
  EXPECT_EQ(none.Deadline(), absl::InfiniteFuture());
  auto [parent, cancel] = WithTimeout(none, absl::Seconds(2));
  auto [shorter, cancel_shorter] = WithTimeout(parent, absl::Seconds(1));
  auto [longer, cancel_longer] = WithTimeout(parent, absl::Seconds(3));
  auto [unset, cancel_unset] = WithTimeout(parent, absl::InfiniteDuration());
  EXPECT_EQ(shorter.Deadline(), start + absl::Seconds(1));
  EXPECT_EQ(longer.Deadline(), start + absl::Seconds(2));
  EXPECT_EQ(unset.Deadline(), start + absl::Seconds(2));
}

TEST_F(ContextRulesTest,
       Rule2_AChildWithItsParentsVeryDeadlineKeepsACauseOfItsOwn) {
  const absl::Time deadline = clock_.Now() + absl::Seconds(1);
  const absl::Status above = absl::AbortedError("the parent's");
  const absl::Status own = absl::InternalError("the child's");
  auto [parent, cancel] = WithDeadline(Background(clock_), deadline, above);
  auto [child, cancel_child] = WithDeadline(parent, deadline, own);
  auto [below, cancel_below] = WithCancel(child);
  auto [without, cancel_without] = WithDeadline(parent, deadline);
  auto [later, cancel_later] =
      WithDeadline(parent, deadline + absl::Nanoseconds(1), own);
  auto [cancelled, cancel_it] = WithDeadline(parent, deadline, own);
  EXPECT_EQ(child.Deadline(), deadline);
  cancel_it();
  EXPECT_TRUE(absl::IsCancelled(cancelled.Cause()));
  bool looked = false;
  Registration look = AfterFunc(child, [&, &child = child] {
    looked = true;
    EXPECT_EQ(child.Cause(), own);
  });
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(looked);
  EXPECT_EQ(parent.Cause(), above);
  EXPECT_EQ(child.Cause(), own);
  EXPECT_EQ(below.Cause(), own);
  EXPECT_EQ(without.Cause(), above);
  EXPECT_EQ(later.Cause(), above);
}

TEST_F(ContextRulesTest, Rule3_WhenCancelReturnsAllDescendantsAreDone) {
  auto [root, cancel] = WithCancel(Background());
  std::vector<Cancellable> descendants;
  for (int i = 0; i < 50; ++i) {
    descendants.push_back(WithCancel(i == 0 ? root : descendants[i / 2].ctx));
  }
  cancel();
  for (const Cancellable& c : descendants) EXPECT_TRUE(c.ctx.Done());
}

TEST_F(ContextRulesTest, Rule3_CallbacksRunOutsideEveryLock) {
  // Each callback uses all nodes of the tree that is being cancelled. If a lock
  // were held, it would deadlock.
  auto [root, cancel] = WithCancel(Background());
  auto [child, cancel_child] = WithCancel(root);
  int calls = 0;
  const auto use_everything = [&, root = root, child = child, &cancel = cancel,
                               &cancel_child = cancel_child] {
    ++calls;
    for (const Context& ctx : {root, child}) {
      EXPECT_TRUE(ctx.Done());
      EXPECT_FALSE(ctx.Err().ok());
      EXPECT_FALSE(ctx.Cause().ok());
      auto [new_child, cancel_new] = WithTimeout(ctx, absl::Seconds(1));
      EXPECT_TRUE(new_child.Done());
      auto [merged, cancel_merged] = Merge(ctx, root);
      EXPECT_TRUE(merged.Done());
      ctx.Wait();
      Registration nested = AfterFunc(ctx, [] {});
      cancel();
      cancel_child();
    }
  };
  Registration on_root = AfterFunc(root, use_everything);
  Registration on_child = AfterFunc(child, use_everything);
  cancel();
  EXPECT_EQ(calls, 2);
}

TEST_F(ContextRulesTest, Rule4_AnExpiredDeadlineIsExpired) {
  for (const absl::Duration timeout :
       {absl::ZeroDuration(), -absl::Nanoseconds(1), -absl::Hours(1),
        -absl::Hours(24 * 365 * 1000), -absl::InfiniteDuration()}) {
    auto [ctx, cancel] = WithTimeout(Background(clock_), timeout);
    EXPECT_TRUE(ctx.Done()) << timeout;
    EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Err())) << timeout;
    EXPECT_LE(ctx.Remaining(), absl::ZeroDuration()) << timeout;
    EXPECT_NE(ctx.Deadline(), absl::InfiniteFuture()) << timeout;
  }
}

TEST_F(ContextRulesTest, Rule4_AHugeDeadlineDoesNotOverflow) {
  for (const absl::Duration timeout :
       {absl::Hours(24 * 365 * 291), absl::Hours(24 * 365 * 293),
        absl::Hours(24 * 365 * 100'000), absl::InfiniteDuration()}) {
    auto [ctx, cancel] = WithTimeout(Background(clock_), timeout);
    EXPECT_FALSE(ctx.Done()) << timeout;
    EXPECT_GT(ctx.Remaining(), absl::Hours(1)) << timeout;
    clock_.Advance(absl::Hours(1));
    EXPECT_FALSE(ctx.Done()) << timeout;
  }
}

TEST_F(ContextRulesTest, Rule5_AWallClockThatJumpsChangesNothing) {
  for (const absl::Duration jump : {absl::Hours(100), -absl::Hours(100)}) {
    auto [ctx, cancel] =
        WithDeadline(Background(clock_), clock_.Now() + absl::Seconds(5));
    clock_.JumpWallClock(jump);
    EXPECT_FALSE(ctx.Done());
    EXPECT_EQ(ctx.Remaining(), absl::Seconds(5));
    clock_.Advance(absl::Seconds(5) - absl::Nanoseconds(1));
    EXPECT_FALSE(ctx.Done());
    clock_.Advance(absl::Nanoseconds(1));
    EXPECT_TRUE(ctx.Done());
  }
}

TEST_F(ContextRulesTest, Rule6_EachTreeGoesByTheClockOfItsRoot) {
  static constexpr Key<int> kNumber{"number"};
  SimulatedClock slow;
  auto [here, cancel_here] = WithTimeout(Background(clock_), absl::Seconds(1));
  auto [there, cancel_there] = WithTimeout(Background(slow), absl::Seconds(1));
  // Every kind of context passes on the clock.
  auto [merged, cancel_merged] =
      Merge(WithoutCancel(WithValue(here, kNumber, 1)), Background(slow));
  auto [below, cancel_below] = WithTimeout(merged, absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(here.Done());
  EXPECT_TRUE(below.Done());
  EXPECT_FALSE(there.Done());
}

TEST_F(ContextRulesTest, Rule7_AFinishedChildLeavesNothingInItsParent) {
  auto [parent, cancel] = WithTimeout(Background(clock_), absl::Hours(1));
  for (int i = 0; i < 1000; ++i) {
    auto [child, cancel_child] = WithTimeout(parent, absl::Seconds(1));
    auto [merged, cancel_merged] = Merge(child, parent);
    Registration registration = AfterFunc(merged, [] {});
    if (i % 2 == 0) cancel_child();
  }
  EXPECT_EQ(LiveNodes(), 1);
  EXPECT_EQ(LiveCallbacks(), 0);
  EXPECT_EQ(LiveTimers(), 1);
  EXPECT_EQ(clock_.armed_timers(), 1u);
}

TEST_F(ContextRulesTest, Rule7_ACancelledChildIsFreedThoughItsParentLives) {
  auto [parent, cancel] = WithCancel(Background());
  std::vector<Cancellable> children;
  for (int i = 0; i < 100; ++i) children.push_back(WithCancel(parent));
  EXPECT_EQ(LiveNodes(), 101);
  children.clear();
  EXPECT_EQ(LiveNodes(), 1);
}

TEST_F(ContextRulesTest, Rule8_CancelDoneAndLookupDoNotAllocate) {
  static constexpr Key<int> kPresent{"present"};
  static constexpr Key<int> kAbsent{"absent"};
  auto [root, cancel] = WithTimeout(WithValue(Background(clock_), kPresent, 1),
                                    absl::Milliseconds(1));
  std::vector<Cancellable> children;
  for (int i = 0; i < 20; ++i) {
    children.push_back(WithTimeout(root, absl::Microseconds(10 * i)));
  }
  auto [merged, cancel_merged] = Merge(root, children[7].ctx);
  const Context leaf = WithValue(merged, kAbsent, 2);
  int calls = 0;
  Registration registration = AfterFunc(children[3].ctx, [&calls] { ++calls; });
  const absl::Status cause = absl::AbortedError("a message that is not short");
  (void)root.Err();  // makes the two static statuses

  const int before = allocations;
  EXPECT_FALSE(root.Done());
  EXPECT_TRUE(root.Err().ok());
  EXPECT_NE(leaf.Value(kPresent), nullptr);
  EXPECT_EQ(root.Value(kAbsent), nullptr);
  const Context copy = leaf;
  cancel(cause);
  EXPECT_TRUE(copy.Done());
  EXPECT_EQ(copy.Cause(), cause);
  EXPECT_EQ(allocations, before);
  EXPECT_EQ(calls, 1);
}

TEST_F(ContextRulesTest, Rule8_AnAfterFuncOfASmallCallableDoesNotAllocate) {
  auto [ctx, cancel] = WithCancel(Background());
  int calls = 0;
  const int before = allocations;
  {
    Registration stopped = AfterFunc(ctx, [&calls] { ++calls; });
  }
  Registration runs = AfterFunc(ctx, [&calls] { ++calls; });
  cancel();
  EXPECT_EQ(allocations, before);
  EXPECT_EQ(calls, 1);
}

TEST_F(ContextRulesTest, Rule9_DoneIsExactBeforeTheTimerHasFired) {
  // Two deadlines are equal: the callback of the first that fires finds the
  // other context done.
  auto [a, cancel_a] = WithTimeout(Background(clock_), absl::Seconds(1));
  auto [b, cancel_b] = WithTimeout(Background(clock_), absl::Seconds(1));
  auto [child_a, cancel_child_a] = WithCancel(a);
  auto [child_b, cancel_child_b] = WithCancel(b);
  int calls = 0;
  const auto look = [&, contexts = {a, b, child_a, child_b}] {
    ++calls;
    for (const Context& ctx : contexts) {
      EXPECT_EQ(ctx.Remaining(), absl::ZeroDuration());
      EXPECT_TRUE(ctx.Done());
      EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Err()));
    }
  };
  Registration on_a = AfterFunc(a, look);
  Registration on_b = AfterFunc(b, look);
  clock_.Advance(absl::Seconds(1) - absl::Nanoseconds(1));
  for (const Context& ctx : {a, b, child_a, child_b}) {
    EXPECT_FALSE(ctx.Done());
  }
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(calls, 2);
}

TEST_F(ContextRulesTest, Rule9_TheClockIsReadOnlyNearTheDeadline) {
  // While a deadline is far away, Done() does not read the clock, so it ignores
  // a clock that moves without firing timers. In the last 0.1 s it reads the
  // clock.
  class BareClock final : public Clock {
   public:
    BareClock() : Clock(std::make_unique<NoTimers>()) {}
    absl::Time Now() const override {
      return absl::FromUnixNanos(nanos.load());
    }
    int64_t SteadyNanos() const override {
      ++reads;
      return nanos.load();
    }
    mutable std::atomic<int> reads{0};
    std::atomic<int64_t> nanos{0};

   private:
    class NoTimers final : public internal::TimerService {
     public:
      NoTimers() : TimerService(0, 0) {}
      void Wake() override {}
    };
  };
  BareClock clock;
  auto [far, cancel_far] = WithTimeout(Background(clock), absl::Seconds(1));
  auto [near, cancel_near] =
      WithTimeout(Background(clock), absl::Milliseconds(100));
  auto [below, cancel_below] = WithCancel(near);
  const int reads = clock.reads.load();
  EXPECT_FALSE(far.Done());
  EXPECT_EQ(clock.reads.load(), reads);
  EXPECT_FALSE(near.Done());
  EXPECT_EQ(clock.reads.load(), reads + 1);
  clock.nanos = absl::ToInt64Nanoseconds(absl::Milliseconds(100));
  EXPECT_TRUE(near.Done());
  EXPECT_TRUE(below.Done());
}

}  // namespace
}  // namespace tether
