// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/rpc_context.h"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"
#include "tether/testing/together.h"

namespace tether::internal {
namespace {

using ::tether::testing::SimulatedClock;

class LazyCancelTest : public ::tether::testing::LeakCheckedTest {
 protected:
  Cancellable Make(const Context& parent,
                   absl::Duration timeout = absl::InfiniteDuration(),
                   absl::Status cause = absl::OkStatus()) {
    return WithLazyCancel(NowOf(parent), parent, timeout, std::move(cause),
                          quiet_, [this] { ++starts_; });
  }
  Cancellable Make() { return Make(Background(clock_)); }

  // The ways to observe a context.
  using Look = std::pair<const char*, std::function<void(const Context&)>>;
  static std::vector<Look> Looks() {
    return {
        {"Done", [](const Context& ctx) { EXPECT_FALSE(ctx.Done()); }},
        {"Err", [](const Context& ctx) { EXPECT_TRUE(ctx.Err().ok()); }},
        {"Cause", [](const Context& ctx) { EXPECT_TRUE(ctx.Cause().ok()); }},
        {"WaitFor",
         [](const Context& ctx) {
           EXPECT_FALSE(ctx.WaitFor(absl::ZeroDuration()));
         }},
        {"AfterFunc",
         [](const Context& ctx) { EXPECT_TRUE(AfterFunc(ctx, [] {}).Stop()); }},
        {"WithCancel",
         [](const Context& ctx) {
           auto [child, cancel_child] = WithCancel(ctx);
           EXPECT_FALSE(child.Done());
         }},
        {"WithTimeout",
         [](const Context& ctx) { (void)WithTimeout(ctx, absl::Seconds(1)); }},
        {"Merge", [](const Context& ctx) { (void)Merge(ctx, Background()); }},
        {"Merge with it",
         [](const Context& ctx) { (void)Merge(Background(), ctx); }},
    };
  }

  SimulatedClock clock_;
  absl::Duration quiet_;
  std::atomic<int> starts_{0};
};

TEST_F(LazyCancelTest, DoesNotStartIfItIsNotObserved) {
  static constexpr Key<int> kNumber{"number"};
  {
    auto [ctx, cancel] = Make(Background(clock_), absl::Hours(1));
    const Context copy = WithoutCancel(WithValue(ctx, kNumber, 1));
    EXPECT_EQ(*copy.Value(kNumber), 1);
    EXPECT_EQ(ctx.Remaining(), absl::Hours(1));
    EXPECT_EQ(ctx.Deadline(), clock_.Now() + absl::Hours(1));
    EXPECT_FALSE(ctx.DebugString().empty());
    clock_.Advance(absl::Minutes(59));
  }
  {
    auto [ctx, cancel] = Make();
    cancel();
    EXPECT_TRUE(ctx.Done());
  }
  EXPECT_EQ(starts_.load(), 0);
}

TEST_F(LazyCancelTest, StartsOnceWhenItIsObserved) {
  for (const auto& [name, look] : Looks()) {
    SCOPED_TRACE(name);
    starts_ = 0;
    auto [ctx, cancel] = Make();
    look(ctx);
    EXPECT_EQ(starts_.load(), 1);
    look(ctx);
    EXPECT_EQ(starts_.load(), 1);
  }
}

TEST_F(LazyCancelTest, ItsSourceMayEndItAtOnce) {
  Cancellable lazy;
  lazy = WithLazyCancel(NowOf(Background()), Background(),
                        absl::InfiniteDuration(), {}, {},
                        [&] { lazy.cancel(absl::AbortedError("gone")); });
  // The first call of Done() already returns true.
  EXPECT_TRUE(lazy.ctx.Done());
  EXPECT_EQ(lazy.ctx.Cause(), absl::AbortedError("gone"));
}

TEST_F(LazyCancelTest, DebugStringShowsTheDeadlineAndStartsNothing) {
  testing::SimulatedClock clock(absl::FromUnixSeconds(0));
  const Context root = Background(clock);
  bool started = false;
  const auto make = [&](absl::Duration timeout) {
    return Cancellable(WithLazyCancel(NowOf(root), root, timeout,
                                      absl::OkStatus(), absl::ZeroDuration(),
                                      [&started] { started = true; }));
  };
  const Cancellable timed = make(absl::Seconds(2));
  clock.Advance(absl::Milliseconds(50));
  EXPECT_EQ(timed.ctx.DebugString(),
            "Background.WithDeadline(1970-01-01T00:00:02+00:00 [1.95s])");
  const Cancellable endless = make(absl::InfiniteDuration());
  EXPECT_EQ(endless.ctx.DebugString(), "Background.WithCancel");
  EXPECT_FALSE(started);
}

TEST_F(LazyCancelTest, TheFirstObservationSeesAnEndThatTheSourceReportsAtOnce) {
  const std::function<bool(const Context&)> looks[] = {
      [](const Context& ctx) { return !ctx.Err().ok(); },
      [](const Context& ctx) { return !ctx.Cause().ok(); },
      [](const Context& ctx) {
        auto [child, cancel_child] = WithCancel(ctx);
        return child.Done();
      },
      [](const Context& ctx) {
        auto [merged, cancel_merged] = Merge(Background(), ctx);
        return merged.Done();
      },
      [](const Context& ctx) {
        bool ran = false;
        Registration registration = AfterFunc(ctx, [&] { ran = true; });
        return ran;
      },
      [](const Context& ctx) {
        ctx.Wait();
        return true;
      },
  };
  for (const auto& look : looks) {
    Cancellable lazy;
    lazy = WithLazyCancel(NowOf(Background()), Background(),
                          absl::InfiniteDuration(), {}, {},
                          [&] { lazy.cancel(); });
    EXPECT_TRUE(look(lazy.ctx));
  }
}

TEST_F(LazyCancelTest, IsAContextLikeAnyOtherOnceStarted) {
  auto [parent, cancel_parent] = WithCancel(Background(clock_));
  auto [ctx, cancel] =
      Make(parent, absl::Seconds(1), absl::UnavailableError("budget"));
  EXPECT_EQ(clock_.armed_timers(), 0u);
  auto [child, cancel_child] = WithCancel(ctx);
  EXPECT_EQ(clock_.armed_timers(), 1u);
  clock_.Advance(absl::Seconds(1) - absl::Nanoseconds(1));
  EXPECT_FALSE(child.Done());
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_TRUE(child.Done());
  EXPECT_EQ(child.Cause(), absl::UnavailableError("budget"));
  EXPECT_FALSE(parent.Done());
}

TEST_F(LazyCancelTest, ItsDeadlineIsExactEvenIfItWasNotObservedBefore) {
  for (const absl::Duration timeout :
       {absl::ZeroDuration(), absl::Milliseconds(50), absl::Seconds(1)}) {
    auto [ctx, cancel] = Make(Background(clock_), timeout);
    clock_.Advance(timeout);
    EXPECT_TRUE(ctx.Done());
    EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Err()));
  }
}

TEST_F(LazyCancelTest, ItsTimerIsArmedWhenItIsFirstObserved) {
  for (const auto& [name, look] : Looks()) {
    SCOPED_TRACE(name);
    auto [ctx, cancel] = Make(Background(clock_), absl::Hours(1));
    (void)ctx.Remaining();
    (void)WithoutCancel(ctx);
    EXPECT_EQ(clock_.armed_timers(), 0u);
    look(ctx);
    EXPECT_EQ(clock_.armed_timers(), 1u);
    look(ctx);
    EXPECT_EQ(clock_.armed_timers(), 1u);
    cancel();
    EXPECT_EQ(clock_.armed_timers(), 0u);
  }
}

TEST_F(LazyCancelTest, WithoutASourceItsTimerIsArmedAllTheSame) {
  auto [ctx, cancel] =
      WithLazyCancel(NowOf(Background(clock_)), Background(clock_),
                     absl::Hours(1), absl::OkStatus(), {}, nullptr);
  EXPECT_EQ(clock_.armed_timers(), 0u);
  EXPECT_FALSE(ctx.Done());
  EXPECT_EQ(clock_.armed_timers(), 1u);
  bool ran = false;
  const Registration callback(ctx, [&ran] { ran = true; });
  clock_.Advance(absl::Hours(1));
  EXPECT_TRUE(ran);
}

TEST_F(LazyCancelTest, FirstObservedShortlyBeforeItsDeadlineItIsNearAtOnce) {
  const auto is_near = [](const Context& ctx) {
    return (ContextAccess::NodeOf(ctx)->scope->state.load() & kNear) != 0;
  };
  auto [ctx, cancel] = Make(Background(clock_), absl::Hours(1));
  clock_.Advance(absl::Hours(1) - absl::Milliseconds(100));
  EXPECT_FALSE(is_near(ctx));
  auto [child, cancel_child] = WithCancel(ctx);
  EXPECT_TRUE(is_near(ctx));
  EXPECT_TRUE(is_near(child));
  // The control: a moment earlier it is not.
  auto [far, cancel_far] = Make(Background(clock_), absl::Milliseconds(200));
  clock_.Advance(absl::Milliseconds(99));
  EXPECT_FALSE(far.Done());
  EXPECT_FALSE(is_near(far));
}

// Nobody looked, so no timer was armed. Whoever asks later is told the same.
TEST_F(LazyCancelTest, ItEndsByItsDeadlineThoughItWasNeverObserved) {
  const absl::Status late = absl::DeadlineExceededError("late");
  for (const bool by_parent : {false, true}) {
    for (const bool just_passed : {false, true}) {
      auto [parent, cancel_parent] = WithCancel(Background(clock_));
      auto [ctx, cancel] = Make(parent, absl::Seconds(1), late);
      clock_.Advance(absl::Seconds(1) - absl::Nanoseconds(just_passed ? 0 : 1));
      if (by_parent) {
        cancel_parent(absl::AbortedError("over"));
      } else {
        cancel(absl::AbortedError("over"));
      }
      EXPECT_EQ(ctx.Cause(), just_passed ? late : absl::AbortedError("over"));
      EXPECT_EQ(absl::IsDeadlineExceeded(ctx.Err()), just_passed);
    }
  }
  EXPECT_EQ(starts_.load(), 0);
}

TEST_F(LazyCancelTest, FirstObservedAfterItsDeadlineItIsDoneAndNeverStarts) {
  const std::function<bool(const Context&)> looks[] = {
      [](const Context& ctx) { return ctx.Done(); },
      [](const Context& ctx) { return absl::IsDeadlineExceeded(ctx.Err()); },
      [](const Context& ctx) { return ctx.Cause().message() == "late"; },
      [](const Context& ctx) { return ctx.WaitFor(absl::ZeroDuration()); },
      [](const Context& ctx) {
        auto [child, cancel_child] = WithCancel(ctx);
        return child.Done() && child.Cause().message() == "late";
      },
      [](const Context& ctx) {
        auto [merged, cancel_merged] = Merge(Background(), ctx);
        return merged.Done() && merged.Cause().message() == "late";
      },
      [](const Context& ctx) {
        bool ran = false;
        Registration registration = AfterFunc(ctx, [&] { ran = true; });
        return ran;
      },
  };
  for (const auto& look : looks) {
    auto [ctx, cancel] = Make(Background(clock_), absl::Seconds(1),
                              absl::DeadlineExceededError("late"));
    clock_.Advance(absl::Seconds(1));
    EXPECT_TRUE(look(ctx));
    EXPECT_TRUE(look(ctx));
    EXPECT_EQ(clock_.armed_timers(), 0u);
  }
  EXPECT_EQ(starts_.load(), 0);
}

TEST_F(LazyCancelTest, WhileQuietOnlyWaitsCallbacksAndChildrenObserveIt) {
  quiet_ = absl::Milliseconds(2);
  for (const auto& [name, look] : Looks()) {
    SCOPED_TRACE(name);
    starts_ = 0;
    auto [ctx, cancel] = Make(Background(clock_), absl::Hours(1));
    const std::string_view how = name;
    const bool asks = how == "Done" || how == "Err" || how == "Cause" ||
                      how == "WaitFor";  // WaitFor(0) only asks
    clock_.Advance(absl::Milliseconds(2) - absl::Nanoseconds(1));
    look(ctx);
    EXPECT_EQ(starts_.load(), asks ? 0 : 1);
    EXPECT_EQ(clock_.armed_timers(), asks ? 0u : 1u);
    clock_.Advance(absl::Nanoseconds(1));
    look(ctx);
    EXPECT_EQ(starts_.load(), 1);
    EXPECT_EQ(clock_.armed_timers(), 1u);
  }
}

TEST_F(LazyCancelTest, WhileQuietItsEndIsExactAllTheSame) {
  quiet_ = absl::Seconds(1);
  {
    auto [ctx, cancel] = Make(Background(clock_), absl::Milliseconds(2));
    EXPECT_FALSE(ctx.Done());
    clock_.Advance(absl::Milliseconds(2));
    EXPECT_TRUE(ctx.Done());
    EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Err()));
  }
  {
    // The deadline is the parent's.
    auto [parent, cancel_parent] =
        WithTimeout(Background(clock_), absl::Milliseconds(2));
    auto [ctx, cancel] = Make(parent);
    EXPECT_TRUE(ctx.Err().ok());
    clock_.Advance(absl::Milliseconds(2));
    EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Err()));
    EXPECT_TRUE(ctx.Done());
  }
  auto [parent, cancel_parent] = WithCancel(Background(clock_));
  auto [ctx, cancel] = Make(parent, absl::Hours(1));
  EXPECT_FALSE(ctx.Done());
  cancel_parent(absl::AbortedError("parent"));
  EXPECT_TRUE(ctx.Done());
  EXPECT_EQ(ctx.Cause(), absl::AbortedError("parent"));
  EXPECT_EQ(starts_.load(), 0);
}

TEST_F(LazyCancelTest, OfADoneParentIsDoneAndNeverStarts) {
  auto [parent, cancel_parent] = WithCancel(Background());
  cancel_parent(absl::AbortedError("parent"));
  auto [ctx, cancel] = Make(parent);
  EXPECT_TRUE(ctx.Done());
  EXPECT_EQ(ctx.Cause(), absl::AbortedError("parent"));
  EXPECT_EQ(starts_.load(), 0);
}

TEST_F(LazyCancelTest, EndsWithItsParentThoughNeverStarted) {
  auto [parent, cancel_parent] = WithCancel(Background());
  auto [ctx, cancel] = Make(parent);
  cancel_parent();
  EXPECT_TRUE(ctx.Done());
  EXPECT_EQ(starts_.load(), 0);
}

TEST_F(LazyCancelTest, ASourceThatThrowsIsContained) {
  auto [ctx, cancel] = WithLazyCancel(
      NowOf(Background()), Background(), absl::InfiniteDuration(), {}, {},
      [] { throw std::runtime_error("source"); });
  EXPECT_FALSE(ctx.Done());
  cancel();
  EXPECT_TRUE(ctx.Done());
}

TEST_F(LazyCancelTest, CapturesOfAnUnusedSourceAreDestroyedWithTheContext) {
  auto captured = std::make_shared<int>(1);
  std::optional<Cancellable> lazy =
      WithLazyCancel(NowOf(Background()), Background(),
                     absl::InfiniteDuration(), {}, {}, [captured] {});
  EXPECT_EQ(captured.use_count(), 2);
  lazy.reset();
  EXPECT_EQ(captured.use_count(), 1);
}

TEST_F(LazyCancelTest, StartsOnceWhenManyThreadsObserveIt) {
  for (int round = 0; round < 200; ++round) {
    starts_ = 0;
    auto [ctx, cancel] = Make();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i, ctx = ctx] {
        switch (i) {
          case 0:
            EXPECT_FALSE(ctx.Done());
            break;
          case 1:
            EXPECT_TRUE(ctx.Err().ok());
            break;
          case 2:
            (void)WithCancel(ctx);
            break;
          case 3:
            EXPECT_TRUE(AfterFunc(ctx, [] {}).Stop());
            break;
        }
      });
    }
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(starts_.load(), 1);
  }
}

TEST_F(LazyCancelTest, MayBeCancelledWhileItStarts) {
  for (int round = 0; round < 200; ++round) {
    auto [parent, cancel_parent] = WithCancel(Background());
    auto [ctx, cancel] = Make(parent);
    std::thread looks([ctx = ctx] { ctx.Wait(); });
    std::thread cancels([&cancel_parent = cancel_parent] { cancel_parent(); });
    looks.join();
    cancels.join();
    EXPECT_TRUE(ctx.Done());
    EXPECT_TRUE(absl::IsCancelled(ctx.Err()));
  }
}

TEST_F(LazyCancelTest, MayEndInEveryWayWhileManyThreadsObserveItFirst) {
  for (int round = 0; round < 300; ++round) {
    auto [parent, cancel_parent] = WithCancel(Background());
    // In a third of the rounds, the deadline passes meanwhile.
    auto [ctx, cancel] =
        Make(parent, absl::Microseconds(round % 3 == 0 ? 50 : 150'000));
    std::atomic<int> ran{0};
    testing::Together({
        [&, ctx = ctx] { ctx.Wait(); },
        [&, ctx = ctx] {
          auto [child, cancel_child] = WithTimeout(ctx, absl::Hours(1));
          child.Wait();
          EXPECT_TRUE(ctx.Done());
        },
        [&, ctx = ctx] {
          Registration callback(ctx, [&ran] { ++ran; });
          ctx.Wait();
          while (ran.load() == 0) std::this_thread::yield();
        },
        [&, ctx = ctx] {
          while (!ctx.Done()) std::this_thread::yield();
          EXPECT_FALSE(ctx.Err().ok());
        },
        [&, round, &cancel = cancel, &cancel_parent = cancel_parent] {
          if (round % 2 == 0) cancel();
          cancel_parent();
        },
    });
    EXPECT_EQ(ran.load(), 1);
    EXPECT_LE(starts_.exchange(0), 1);
  }
}

class ExpireTest : public ::tether::testing::LeakCheckedTest {};

TEST_F(ExpireTest, EndsTheContextAndItsDescendantsAsADeadlineDoes) {
  auto [parent, cancel_parent] = WithCancel(Background());
  auto [ctx, cancel] = WithCancel(parent);
  auto [child, cancel_child] = WithCancel(ctx);
  Expire(ctx, absl::UnavailableError("the caller's deadline"));
  for (const Context& c : {ctx, child}) {
    EXPECT_TRUE(absl::IsDeadlineExceeded(c.Err()));
    EXPECT_EQ(c.Cause(), absl::UnavailableError("the caller's deadline"));
  }
  EXPECT_FALSE(parent.Done());
}

TEST_F(ExpireTest, HasNoEffectOnAnEndedContextOrARoot) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel();
  Expire(ctx, absl::OkStatus());
  EXPECT_TRUE(absl::IsCancelled(ctx.Err()));
  Expire(Background(), absl::OkStatus());
  EXPECT_FALSE(Background().Done());
}

// ---- Ended on a thread that must not run callbacks ----

class EndDeferringCallbacksTest : public LazyCancelTest {};

TEST_F(EndDeferringCallbacksTest,
       TheWholeTreeIsDoneAtOnceAndCallbacksRunLater) {
  auto [ctx, cancel] = Make();
  auto [child, cancel_child] = WithCancel(ctx);
  std::vector<int> ran;
  const Registration first(ctx, [&ran] { ran.push_back(1); });
  const Registration second(child, [&ran] { ran.push_back(2); });
  DeferredCallbacks deferred = EndDeferringCallbacks(
      child, /*deadline=*/false, absl::CancelledError("below"));
  EXPECT_TRUE(child.Done());
  EXPECT_FALSE(ctx.Done());
  DeferredCallbacks more = EndDeferringCallbacks(ctx, /*deadline=*/false,
                                                 absl::CancelledError("gone"));
  EXPECT_TRUE(ctx.Done());
  EXPECT_EQ(ctx.Cause().message(), "gone");
  EXPECT_EQ(child.Cause().message(), "below");
  EXPECT_TRUE(ran.empty());
  EXPECT_TRUE(deferred.Run());
  EXPECT_EQ(ran, std::vector<int>({2}));
  EXPECT_TRUE(more.Run());
  EXPECT_EQ(ran, std::vector<int>({2, 1}));
  EXPECT_FALSE(more.Run());
}

TEST_F(EndDeferringCallbacksTest, CallbacksThatWereNotRunRunInTheDestructor) {
  bool ran = false;
  auto [ctx, cancel] = Make();
  const Registration callback(ctx, [&ran] { ran = true; });
  {
    const DeferredCallbacks deferred = EndDeferringCallbacks(
        ctx, /*deadline=*/true, absl::DeadlineExceededError("late"));
    cancel();  // finds the context ended
    EXPECT_FALSE(ran);
  }
  EXPECT_TRUE(ran);
  EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Err()));
}

TEST_F(EndDeferringCallbacksTest, ACallbackThatIsStoppedBeforeDoesNotRun) {
  auto [ctx, cancel] = Make();
  Registration callback(ctx, [] { ADD_FAILURE(); });
  DeferredCallbacks deferred =
      EndDeferringCallbacks(ctx, /*deadline=*/false, absl::OkStatus());
  EXPECT_TRUE(callback.Stop());
  deferred.Run();
}

TEST_F(EndDeferringCallbacksTest, ACallbackRegisteredAfterTheEndRunsAtOnce) {
  auto [ctx, cancel] = Make();
  const Registration early(ctx, [] {});
  DeferredCallbacks deferred =
      EndDeferringCallbacks(ctx, /*deadline=*/false, absl::OkStatus());
  bool ran = false;
  const Registration late(ctx, [&ran] { ran = true; });
  EXPECT_TRUE(ran);
}

class CauseOfDeadlineTest : public testing::LeakCheckedTest {};

TEST_F(CauseOfDeadlineTest, IsWhatTheCauseWillBe) {
  SimulatedClock clock;
  const Context root = Background(clock);
  EXPECT_TRUE(CauseOfDeadline(root).ok());
  const Cancellable cancellable = WithCancel(root);
  EXPECT_TRUE(CauseOfDeadline(cancellable.ctx).ok());
  const Cancellable unnamed = WithTimeout(root, absl::Seconds(1));
  const Cancellable named = WithTimeout(
      root, absl::Seconds(1), absl::DeadlineExceededError("too slow"));
  // The deadline is the parent's.
  const Cancellable child =
      WithTimeout(named.ctx, absl::Seconds(2), absl::UnavailableError("no"));
  const Cancellable merged = Merge(cancellable.ctx, named.ctx);
  const Context contexts[] = {unnamed.ctx, named.ctx, child.ctx, merged.ctx};
  std::vector<absl::Status> causes;
  for (const Context& ctx : contexts) causes.push_back(CauseOfDeadline(ctx));
  clock.Advance(absl::Seconds(1));
  for (size_t i = 0; i < causes.size(); ++i) {
    EXPECT_EQ(causes[i], contexts[i].Cause()) << i;
  }
  EXPECT_EQ(causes[2].message(), "too slow");
}

class RemainingAtTest : public testing::LeakCheckedTest {};

TEST_F(RemainingAtTest, CountsFromTheGivenTime) {
  const Cancellable timed = WithTimeout(Background(), absl::Hours(1));
  const Nanos now = NowOf(timed.ctx);
  const Nanos left = RemainingAt(now, timed.ctx);
  EXPECT_LE(left, 3600 * kSecond);
  EXPECT_GE(absl::Nanoseconds(left), timed.ctx.Remaining());
  EXPECT_EQ(RemainingAt(now + kSecond, timed.ctx), left - kSecond);
  const Cancellable child = WithCancel(timed.ctx);
  EXPECT_EQ(RemainingAt(now, child.ctx), left);
}

TEST_F(RemainingAtTest, OnAnotherClockThatClockCounts) {
  SimulatedClock clock;
  const Cancellable timed = WithTimeout(Background(clock), absl::Seconds(1));
  EXPECT_EQ(RemainingAt(NowOf(Background()), timed.ctx), kSecond);
  clock.Advance(absl::Milliseconds(300));
  EXPECT_EQ(RemainingAt(NowOf(Background()), timed.ctx), 700 * kMillisecond);
  clock.Advance(absl::Milliseconds(900));
  EXPECT_EQ(RemainingAt(NowOf(Background()), timed.ctx), -200 * kMillisecond);
}

TEST_F(RemainingAtTest, WithoutADeadlineIsNever) {
  const Cancellable cancellable = WithCancel(Background());
  EXPECT_EQ(RemainingAt(0, Background()), kNever);
  EXPECT_EQ(RemainingAt(0, cancellable.ctx), kNever);
}

}  // namespace
}  // namespace tether::internal
