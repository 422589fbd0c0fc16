// SPDX-License-Identifier: Apache-2.0
//
// Deadlines on a simulated clock.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
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

namespace tether {
namespace {

using testing::SimulatedClock;

class DeadlineTest : public testing::LeakCheckedTest {
 protected:
  Context Root() { return Background(clock_); }

  SimulatedClock clock_;
};

// ---- Which deadline it is --------------------------------------------------

TEST_F(DeadlineTest,
       EarlierParentDeadlineTakesPrecedenceOverLaterChildDeadline) {
  auto [parent, cancel_parent] = WithTimeout(Root(), absl::Seconds(1));
  auto [child, cancel_child] = WithTimeout(parent, absl::Hours(1));
  EXPECT_EQ(child.Deadline(), parent.Deadline());
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(parent.Done());
  EXPECT_TRUE(child.Done());
}

TEST_F(DeadlineTest, EarlierChildDeadlineLeavesTheParentLive) {
  auto [parent, cancel_parent] = WithTimeout(Root(), absl::Hours(1));
  auto [child, cancel_child] = WithTimeout(parent, absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(child.Done());
  EXPECT_FALSE(parent.Done());
  EXPECT_EQ(parent.Remaining(), absl::Hours(1) - absl::Seconds(1));
}

TEST_F(DeadlineTest, InnerDeadlineCompletesBeforeOuter) {
  auto [outer, cancel_outer] = WithTimeout(Root(), absl::Seconds(2));
  auto [inner, cancel_inner] = WithTimeout(outer, absl::Seconds(1));
  std::vector<std::string> order;
  Registration on_outer = AfterFunc(outer, [&] { order.push_back("outer"); });
  Registration on_inner = AfterFunc(inner, [&] { order.push_back("inner"); });
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(order, (std::vector<std::string>{"inner", "outer"}));
}

TEST_F(DeadlineTest, IsInheritedThroughEveryKindOfContext) {
  static constexpr Key<int> kNumber{"number"};
  auto [timed, cancel] = WithTimeout(Root(), absl::Seconds(1));
  const Context value = WithValue(timed, kNumber, 1);
  auto [child, cancel_child] = WithCancel(value);
  auto [merged, cancel_merged] = Merge(child, Background());
  for (const Context& ctx : {value, child, merged}) {
    EXPECT_EQ(ctx.Deadline(), timed.Deadline());
    EXPECT_EQ(ctx.Remaining(), absl::Seconds(1));
  }
  clock_.Advance(absl::Seconds(1));
  for (const Context& ctx : {value, child, merged}) {
    EXPECT_TRUE(ctx.Done());
    EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Err()));
  }
}

TEST_F(DeadlineTest, IsTheTimeThatWasGiven) {
  const absl::Time start = clock_.Now();
  for (const absl::Duration in :
       {absl::Nanoseconds(1), absl::Milliseconds(100), absl::Seconds(1),
        absl::Hours(24 * 365), -absl::Nanoseconds(1), -absl::Hours(1)}) {
    auto [by_time, cancel] = WithDeadline(Root(), start + in);
    EXPECT_EQ(by_time.Deadline(), start + in);
    EXPECT_EQ(by_time.Remaining(), in);
    auto [by_timeout, cancel_timeout] = WithTimeout(Root(), in);
    EXPECT_EQ(by_timeout.Deadline(), start + in);
    EXPECT_EQ(by_timeout.Remaining(), in);
  }
}

TEST_F(DeadlineTest, IsTheTimeThatWasGivenOnTheRealClock) {
  const absl::Time deadline = absl::Now() + absl::Hours(1);
  auto [ctx, cancel] = WithDeadline(Background(), deadline);
  EXPECT_EQ(ctx.Deadline(), deadline);
  auto [child, cancel_child] = WithCancel(ctx);
  EXPECT_EQ(child.Deadline(), deadline);
}

TEST_F(DeadlineTest, DoesNotChangeWhenTimePassesAndTheContextEnds) {
  auto [ctx, cancel] = WithTimeout(Root(), absl::Seconds(5));
  const absl::Time deadline = ctx.Deadline();
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(ctx.Deadline(), deadline);
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(ctx.Deadline(), deadline);
  EXPECT_EQ(ctx.Remaining(), -absl::Seconds(6));
  cancel();
  EXPECT_EQ(ctx.Deadline(), deadline);
}

// ---- Extremes --------------------------------------------------------------

TEST_F(DeadlineTest, InfinitePastAndLongPastAreExpired) {
  for (const absl::Time past :
       {absl::InfinitePast(), absl::FromUnixSeconds(-100'000'000'000),
        absl::UnixEpoch(), absl::UniversalEpoch(), clock_.Now()}) {
    auto [ctx, cancel] =
        WithDeadline(Root(), past, absl::AbortedError("long ago"));
    EXPECT_TRUE(ctx.Done()) << past;
    EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Err())) << past;
    EXPECT_EQ(ctx.Cause(), absl::AbortedError("long ago")) << past;
    EXPECT_LE(ctx.Remaining(), absl::ZeroDuration()) << past;
    EXPECT_LE(ctx.Deadline(), clock_.Now()) << past;
  }
}

TEST_F(DeadlineTest, InThePastIsTheTimeThatWasGivenOrLongPast) {
  const absl::Duration year = absl::Hours(24 * 365);
  for (const absl::Time past :
       {clock_.Now() - year, absl::UnixEpoch(), clock_.Now() - 290 * year}) {
    auto [ctx, cancel] = WithDeadline(Root(), past);
    EXPECT_EQ(ctx.Deadline(), past);
    EXPECT_EQ(ctx.Remaining(), past - clock_.Now());
  }
  // Times that int64_t nanoseconds can't hold.
  for (const absl::Time past : {absl::InfinitePast(), absl::UniversalEpoch(),
                                clock_.Now() - 1000 * year}) {
    auto [ctx, cancel] = WithDeadline(Root(), past);
    EXPECT_EQ(ctx.Deadline(), absl::InfinitePast()) << past;
    auto [by_timeout, cancel_timeout] =
        WithTimeout(Root(), past - clock_.Now());
    EXPECT_EQ(by_timeout.Deadline(), absl::InfinitePast()) << past;
  }
}

TEST_F(DeadlineTest, InfiniteFutureAndTooFarAreNone) {
  for (const absl::Time future :
       {absl::InfiniteFuture(),
        clock_.Now() + absl::Hours(24 * 365) * 1'000'000}) {
    auto [ctx, cancel] =
        WithDeadline(Root(), future, absl::AbortedError("never"));
    EXPECT_FALSE(ctx.Done());
    EXPECT_EQ(ctx.Deadline(), absl::InfiniteFuture());
    EXPECT_EQ(ctx.Remaining(), absl::InfiniteDuration());
    EXPECT_EQ(clock_.armed_timers(), 0u);
  }
}

TEST_F(DeadlineTest, InfinityDoesNotLiftTheParentsDeadline) {
  auto [parent, cancel_parent] = WithTimeout(Root(), absl::Seconds(1));
  auto [a, cancel_a] = WithDeadline(parent, absl::InfiniteFuture());
  auto [b, cancel_b] = WithTimeout(parent, absl::InfiniteDuration());
  EXPECT_EQ(a.Deadline(), parent.Deadline());
  EXPECT_EQ(b.Deadline(), parent.Deadline());
}

TEST_F(DeadlineTest, FarFutureFires) {
  const absl::Duration two_centuries = absl::Hours(24 * 365) * 200;
  auto [ctx, cancel] = WithTimeout(Root(), two_centuries);
  clock_.Advance(two_centuries - absl::Nanoseconds(1));
  EXPECT_FALSE(ctx.Done());
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_TRUE(ctx.Done());
}

TEST_F(DeadlineTest, EveryDeadlineHasPassedAtTheEndOfTime) {
  auto [near, cancel_near] = WithTimeout(Root(), absl::Seconds(1));
  auto [far, cancel_far] = WithTimeout(Root(), absl::Hours(24 * 365) * 290);
  clock_.Advance(absl::InfiniteDuration());
  EXPECT_TRUE(near.Done());
  EXPECT_TRUE(far.Done());
  // At the end of time, the past is still the past.
  auto [expired, cancel_expired] = WithTimeout(Root(), -absl::Seconds(1));
  EXPECT_TRUE(expired.Done());
  auto [now, cancel_now] = WithTimeout(Root(), absl::ZeroDuration());
  EXPECT_TRUE(now.Done());
}

TEST_F(DeadlineTest, BeforeTheEpochIsATimeLikeAnyOther) {
  SimulatedClock clock(absl::FromUnixSeconds(-1'000'000'000));
  const absl::Time deadline = clock.Now() + absl::Seconds(1);
  auto [ctx, cancel] = WithDeadline(Background(clock), deadline);
  EXPECT_FALSE(ctx.Done());
  EXPECT_EQ(ctx.Deadline(), deadline);
  clock.Advance(absl::Seconds(1));
  EXPECT_TRUE(ctx.Done());
}

TEST_F(DeadlineTest, LessThanANanosecondIsNow) {
  for (const absl::Duration d :
       {absl::Nanoseconds(1) / 4, -absl::Nanoseconds(1) / 4}) {
    auto [ctx, cancel] = WithTimeout(Root(), d);
    EXPECT_TRUE(ctx.Done());
  }
}

// ---- The wall clock jumps --------------------------------------------------

TEST_F(DeadlineTest, AskedForOnceDoesNotMoveWithTheWallClock) {
  const absl::Time given = clock_.Now() + absl::Seconds(5);
  auto [by_time, cancel] = WithDeadline(Root(), given);
  auto [by_timeout, cancel_timeout] = WithTimeout(Root(), absl::Seconds(5));
  const absl::Time asked = by_timeout.Deadline();
  clock_.JumpWallClock(absl::Hours(1));
  EXPECT_EQ(by_time.Deadline(), given);
  EXPECT_EQ(by_timeout.Deadline(), asked);
  EXPECT_EQ(by_time.Remaining(), absl::Seconds(5));
}

TEST_F(DeadlineTest, OfAChildIsTheParentsAlsoAfterAJump) {
  auto [parent, cancel] = WithTimeout(Root(), absl::Seconds(5));
  auto [child, cancel_child] = WithCancel(parent);
  const absl::Time asked = child.Deadline();
  clock_.JumpWallClock(-absl::Hours(1));
  EXPECT_EQ(parent.Deadline(), asked);
  EXPECT_EQ(child.Deadline(), asked);
}

TEST_F(DeadlineTest, GivenAfterAJumpCountsFromTheNewTime) {
  clock_.JumpWallClock(-absl::Hours(1));
  auto [ctx, cancel] = WithDeadline(Root(), clock_.Now() + absl::Seconds(5));
  EXPECT_EQ(ctx.Remaining(), absl::Seconds(5));
  clock_.Advance(absl::Seconds(5));
  EXPECT_TRUE(ctx.Done());
}

// ---- Done() is exact -------------------------------------------------------

TEST_F(DeadlineTest, DoneExactlyWhenNothingRemains) {
  // Checks around the moment when the deadline comes near, 0.1 s before it, and
  // around the deadline itself.
  for (const absl::Duration timeout :
       {absl::Nanoseconds(1), absl::Milliseconds(1), absl::Milliseconds(99),
        absl::Milliseconds(100), absl::Milliseconds(101), absl::Seconds(1),
        absl::Hours(1)}) {
    auto [ctx, cancel] = WithTimeout(Root(), timeout);
    auto [child, cancel_child] = WithCancel(ctx);
    auto [later, cancel_later] = WithTimeout(child, timeout * 2);
    const absl::Duration steps[] = {
        timeout - absl::Milliseconds(100) - absl::Nanoseconds(1),
        absl::Nanoseconds(1),
        absl::Nanoseconds(1),
        absl::Milliseconds(50),
        absl::Milliseconds(49),
        absl::Milliseconds(1) - absl::Nanoseconds(2),
        absl::Nanoseconds(1),
        absl::Nanoseconds(1)};
    for (const absl::Duration step : steps) {
      clock_.Advance(step);
      for (const Context& c : {ctx, child, later}) {
        const bool passed = c.Remaining() <= absl::ZeroDuration();
        EXPECT_EQ(c.Done(), passed) << timeout << " " << c.Remaining();
        EXPECT_EQ(absl::IsDeadlineExceeded(c.Err()), passed);
        EXPECT_EQ(absl::IsDeadlineExceeded(c.Cause()), passed);
      }
    }
  }
}

TEST_F(DeadlineTest, NearnessReachesDescendantsOfEveryAge) {
  // A callback that runs exactly at the deadline, before the timer fires, finds
  // the whole tree done, whenever its nodes were made.
  auto [witness, cancel_witness] = WithTimeout(Root(), absl::Seconds(1));
  auto [top, cancel] = WithTimeout(Root(), absl::Seconds(1));
  std::vector<Cancellable> tree;
  // Makes a chain with a few children at each node.
  const auto grow = [&](const Context& from) {
    Context at = from;
    for (int depth = 0; depth < 4; ++depth) {
      tree.push_back(WithCancel(at));
      for (int i = 0; i < 3; ++i) tree.push_back(WithCancel(at));
      tree.push_back(Merge(at, Background()));
      at = tree[tree.size() - 5].ctx;
    }
  };
  grow(top);  // made while the deadline is far away
  clock_.Advance(absl::Milliseconds(500));
  grow(top);
  grow(tree[3].ctx);
  bool looked = false;
  Registration look = AfterFunc(witness, [&, &top = top] {
    looked = true;
    EXPECT_TRUE(top.Done());
    for (const Cancellable& c : tree) EXPECT_TRUE(c.ctx.Done());
  });
  clock_.Advance(absl::Milliseconds(450));
  grow(top);  // made while it is near
  for (const Cancellable& c : tree) EXPECT_FALSE(c.ctx.Done());
  clock_.Advance(absl::Milliseconds(50));
  EXPECT_TRUE(looked);
}

TEST_F(DeadlineTest, AnEndedChildDoesNotHideItsSiblingsFromNearness) {
  auto [witness, cancel_witness] = WithTimeout(Root(), absl::Seconds(1));
  auto [top, cancel] = WithTimeout(Root(), absl::Seconds(1));
  std::vector<Cancellable> children;
  for (int i = 0; i < 9; ++i) children.push_back(WithCancel(top));
  for (int i = 0; i < 9; i += 2) children[i].cancel();
  Registration look = AfterFunc(witness, [&] {
    for (const Cancellable& c : children) EXPECT_TRUE(c.ctx.Done());
  });
  clock_.Advance(absl::Seconds(1));
}

// ---- The reason is stable --------------------------------------------------

TEST_F(DeadlineTest,
       APassedDeadlineIsTheReasonThoughACancelComesBeforeItsTimer) {
  auto [a, cancel_a] = WithTimeout(Root(), absl::Seconds(1));
  auto [b, cancel_b] = WithTimeout(Root(), absl::Seconds(1));
  // The callback of the timer that fires first cancels the other context, which
  // has been done since the same moment.
  Registration on_a = AfterFunc(
      a, [&cancel_b = cancel_b] { cancel_b(absl::AbortedError("cancel")); });
  Registration on_b = AfterFunc(
      b, [&cancel_a = cancel_a] { cancel_a(absl::AbortedError("cancel")); });
  clock_.Advance(absl::Seconds(1));
  for (const Context& ctx : {a, b}) {
    EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Err()));
    EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Cause()));
  }
}

TEST_F(DeadlineTest, AnExpiredContextThatIsCancelledStaysExpired) {
  auto [ctx, cancel] =
      WithTimeout(Root(), absl::ZeroDuration(), absl::AbortedError("expired"));
  auto [child, cancel_child] = WithCancel(ctx);
  cancel_child(absl::InternalError("cancel"));
  cancel(absl::InternalError("cancel"));
  for (const Context& c : {ctx, child}) {
    EXPECT_TRUE(absl::IsDeadlineExceeded(c.Err()));
    EXPECT_EQ(c.Cause(), absl::AbortedError("expired"));
  }
}

TEST_F(DeadlineTest, CancellingTheParentKeepsThePassedDeadlineOfTheChild) {
  auto [parent, cancel] = WithCancel(Root());
  auto [expired, cancel_expired] =
      WithTimeout(parent, absl::ZeroDuration(), absl::AbortedError("expired"));
  auto [below, cancel_below] = WithCancel(expired);
  auto [timed, cancel_timed] = WithTimeout(parent, absl::Milliseconds(1));
  cancel(absl::InternalError("cancel"));
  for (const Context& c : {expired, below}) {
    EXPECT_TRUE(absl::IsDeadlineExceeded(c.Err()));
    EXPECT_EQ(c.Cause(), absl::AbortedError("expired"));
  }
  EXPECT_TRUE(absl::IsCancelled(timed.Err()));
  EXPECT_EQ(timed.Cause(), absl::InternalError("cancel"));
}

// A clock that advances while it is being read.
class ScriptedClock final : public Clock {
 public:
  ScriptedClock() : Clock(std::make_unique<NoTimers>()) {}

  absl::Time Now() const override { return absl::FromUnixNanos(nanos); }
  int64_t SteadyNanos() const override {
    const int64_t read = nanos;
    if (after_read) std::exchange(after_read, nullptr)();
    return read;
  }

  int64_t nanos = 0;
  mutable std::function<void()> after_read;

 private:
  class NoTimers final : public internal::TimerService {
   public:
    NoTimers() : TimerService(0, 0) {}
    void Wake() override {}
  };
};

TEST_F(DeadlineTest, AReasonThatWasSeenStaysThoughACancelIsUnderWay) {
  ScriptedClock clock;
  auto [parent, cancel] = WithTimeout(Background(clock), absl::Nanoseconds(10));
  auto [child, cancel_child] = WithCancel(parent);
  // cancel() has found that the parent's deadline has not passed. Before it
  // reaches the child, the deadline passes, and another thread checks the
  // child.
  absl::Status seen;
  clock.after_read = [&, child = child] {
    clock.nanos = 10;
    seen = child.Err();
  };
  cancel();
  EXPECT_TRUE(absl::IsDeadlineExceeded(seen));
  EXPECT_EQ(child.Err(), seen);
  EXPECT_TRUE(absl::IsCancelled(parent.Err()));
}

// ---- Timers ----------------------------------------------------------------

TEST_F(DeadlineTest, OnlyADeadlineOfItsOwnHasATimer) {
  static constexpr Key<int> kNumber{"number"};
  EXPECT_EQ(clock_.armed_timers(), 0u);
  auto [plain, cancel_plain] = WithCancel(Root());
  EXPECT_EQ(clock_.armed_timers(), 0u);
  auto [parent, cancel_parent] = WithTimeout(plain, absl::Seconds(1));
  EXPECT_EQ(clock_.armed_timers(), 1u);
  auto [same, cancel_same] = WithTimeout(parent, absl::Seconds(1));
  auto [later, cancel_later] = WithTimeout(parent, absl::Seconds(2));
  auto [child, cancel_child] = WithCancel(parent);
  auto [merged, cancel_merged] = Merge(parent, plain);
  const Context value = WithValue(parent, kNumber, 1);
  EXPECT_EQ(clock_.armed_timers(), 1u);
  auto [earlier, cancel_earlier] = WithTimeout(parent, absl::Milliseconds(500));
  EXPECT_EQ(clock_.armed_timers(), 2u);
}

TEST_F(DeadlineTest, CancellationCancelsTheScheduledTimer) {
  auto [parent, cancel_parent] = WithTimeout(Root(), absl::Seconds(2));
  auto [child, cancel_child] = WithTimeout(parent, absl::Seconds(1));
  auto [sibling, cancel_sibling] = WithTimeout(parent, absl::Seconds(1));
  EXPECT_EQ(clock_.armed_timers(), 3u);
  cancel_child();
  EXPECT_EQ(clock_.armed_timers(), 2u);
  cancel_parent();
  EXPECT_EQ(clock_.armed_timers(), 0u);
  EXPECT_EQ(LiveTimers(), 0);
}

TEST_F(DeadlineTest, CancellationCancelsTheTimerOfANearDeadlineToo) {
  auto [ctx, cancel] = WithTimeout(Root(), absl::Seconds(1));
  clock_.Advance(absl::Milliseconds(950));
  EXPECT_EQ(clock_.armed_timers(), 1u);
  cancel();
  EXPECT_EQ(clock_.armed_timers(), 0u);
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(absl::IsCancelled(ctx.Err()));
}

TEST_F(DeadlineTest, AFiredTimerIsGone) {
  auto [ctx, cancel] = WithTimeout(Root(), absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(clock_.armed_timers(), 0u);
  EXPECT_EQ(LiveTimers(), 0);
}

TEST_F(DeadlineTest, CallbacksRunAtExactlyTheirTimeInOrder) {
  std::vector<Cancellable> contexts;
  std::vector<std::unique_ptr<Registration>> registrations;
  std::vector<int64_t> fired;
  const absl::Time start = clock_.Now();
  for (int ms : {700, 1, 50, 5000, 99, 100, 101, 86'400'000}) {
    contexts.push_back(WithTimeout(Root(), absl::Milliseconds(ms)));
    registrations.push_back(
        std::make_unique<Registration>(contexts.back().ctx, [&, ms] {
          fired.push_back(ms);
          EXPECT_EQ(clock_.Now() - start, absl::Milliseconds(ms));
        }));
  }
  clock_.Advance(absl::Hours(48));
  EXPECT_EQ(fired,
            (std::vector<int64_t>{1, 50, 99, 100, 101, 700, 5000, 86'400'000}));
}

TEST_F(DeadlineTest, ADeadlineSetInACallbackFiresInTheSameAdvance) {
  Cancellable second;
  auto [first, cancel] = WithTimeout(Root(), absl::Seconds(1));
  Registration registration =
      AfterFunc(first, [&] { second = WithTimeout(Root(), absl::Seconds(1)); });
  clock_.Advance(absl::Seconds(2));
  EXPECT_TRUE(second.ctx.Done());
  EXPECT_EQ(second.ctx.Remaining(), absl::ZeroDuration());
}

}  // namespace
}  // namespace tether
