// SPDX-License-Identifier: Apache-2.0

#include "tether/context.h"

#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/clock.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

using testing::SimulatedClock;

const absl::Status& Cancelled() {
  static const auto& status =
      *new absl::Status(absl::CancelledError("context canceled"));
  return status;
}

const absl::Status& DeadlineExceeded() {
  static const auto& status = *new absl::Status(
      absl::DeadlineExceededError("context deadline exceeded"));
  return status;
}

void ExpectLive(const Context& ctx) {
  EXPECT_FALSE(ctx.Done());
  EXPECT_EQ(ctx.Err(), absl::OkStatus());
  EXPECT_EQ(ctx.Cause(), absl::OkStatus());
}

void ExpectEnded(const Context& ctx, const absl::Status& err,
                 const absl::Status& cause) {
  EXPECT_TRUE(ctx.Done());
  EXPECT_EQ(ctx.Err(), err);
  EXPECT_EQ(ctx.Cause(), cause);
}

class ContextTest : public testing::LeakCheckedTest {};

TEST_F(ContextTest, RootsNeverEndAndHaveNothing) {
  SimulatedClock clock;
  for (const Context& root :
       {Background(), Todo(), Context(), Background(clock)}) {
    ExpectLive(root);
    EXPECT_EQ(root.Deadline(), absl::InfiniteFuture());
    EXPECT_EQ(root.Remaining(), absl::InfiniteDuration());
    EXPECT_FALSE(root.WaitFor(absl::ZeroDuration()));
    EXPECT_FALSE(root.WaitFor(-absl::InfiniteDuration()));
    EXPECT_FALSE(root.WaitUntil(absl::InfinitePast()));
  }
  EXPECT_EQ(LiveNodes(), 0);
}

TEST_F(ContextTest, IsOnePointerWideAndItsMovesDoNotThrow) {
  static_assert(sizeof(Context) == sizeof(void*));
  static_assert(std::is_nothrow_move_constructible_v<Context>);
  static_assert(std::is_nothrow_move_assignable_v<Context>);
  static_assert(std::is_nothrow_move_constructible_v<CancelFunc>);
  static_assert(std::is_nothrow_move_assignable_v<CancelFunc>);
  static_assert(!std::is_copy_constructible_v<CancelFunc>);
}

TEST_F(ContextTest, CopiesAreEqualAndSeparatelyMadeOnesAreNot) {
  auto [a, cancel_a] = WithCancel(Background());
  auto [b, cancel_b] = WithCancel(Background());
  const Context copy = a;
  EXPECT_TRUE(a == copy);
  EXPECT_FALSE(a != copy);
  EXPECT_TRUE(a != b);
  EXPECT_FALSE(a == b);
  EXPECT_TRUE(Background() == Context());
  EXPECT_TRUE(Todo() == Todo());
  EXPECT_TRUE(Background() != Todo());
  cancel_a();
  EXPECT_TRUE(a == copy);
}

TEST_F(ContextTest, AMovedFromContextIsBackground) {
  auto [ctx, cancel] = WithCancel(Background());
  Context target = std::move(ctx);
  EXPECT_TRUE(ctx == Background());  // NOLINT(bugprone-use-after-move)
  cancel();
  EXPECT_FALSE(ctx.Done());
  EXPECT_TRUE(target.Done());
  EXPECT_EQ(ctx.DebugString(), "Background");

  ctx = std::move(target);
  EXPECT_TRUE(ctx.Done());
  EXPECT_TRUE(target == Background());  // NOLINT(bugprone-use-after-move)
}

TEST_F(ContextTest, SelfAssignmentKeepsAContext) {
  auto [ctx, cancel] = WithCancel(Background());
  Context& same = ctx;
  ctx = same;
  EXPECT_TRUE(ctx != Background());
  ctx = std::move(same);
  EXPECT_TRUE(ctx != Background());
  cancel();
  EXPECT_TRUE(ctx.Done());
}

TEST_F(ContextTest, IsLiveUntilItsCancelFuncIsCalled) {
  auto [ctx, cancel] = WithCancel(Background());
  ExpectLive(ctx);
  cancel();
  ExpectEnded(ctx, Cancelled(), Cancelled());
}

TEST_F(ContextTest, IsCancelledByTheDestructorOfItsCancelFunc) {
  Context kept;
  {
    auto [ctx, cancel] = WithCancel(Background());
    kept = ctx;
    ExpectLive(kept);
  }
  ExpectEnded(kept, Cancelled(), Cancelled());
}

TEST_F(ContextTest, IsCancelledByAssignmentToItsCancelFunc) {
  auto [a, cancel] = WithCancel(Background());
  auto [b, cancel_b] = WithCancel(Background());
  cancel = std::move(cancel_b);
  EXPECT_TRUE(a.Done());
  EXPECT_FALSE(b.Done());
  cancel_b();  // NOLINT(bugprone-use-after-move): does nothing, as promised.
  EXPECT_FALSE(b.Done());
  cancel = CancelFunc();
  EXPECT_TRUE(b.Done());
}

TEST_F(ContextTest, SelfMoveOfACancelFuncChangesNothing) {
  auto [ctx, cancel] = WithCancel(Background());
  CancelFunc& same = cancel;
  cancel = std::move(same);
  EXPECT_FALSE(ctx.Done());
  cancel();
  EXPECT_TRUE(ctx.Done());
}

TEST_F(ContextTest, ADefaultCancelFuncDoesNothing) {
  CancelFunc cancel;
  cancel();
  cancel(absl::InternalError("nobody"));
  CancelFunc other = std::move(cancel);
  other();
}

TEST_F(ContextTest, LivesOnAfterItsCancelFuncAndItsParentAreGone) {
  std::optional<Cancellable> parent = WithCancel(Background());
  std::optional<Cancellable> child = WithCancel(parent->ctx);
  const Context ctx = child->ctx;
  parent.reset();
  ExpectEnded(ctx, Cancelled(), Cancelled());
  child.reset();
  ExpectEnded(ctx, Cancelled(), Cancelled());
}

template <typename T, typename = void>
struct HasParts : std::false_type {};
template <typename T>
struct HasParts<T, std::void_t<decltype(std::declval<T>().ctx)>>
    : std::true_type {};

TEST_F(ContextTest, TheContextOfATemporaryIsOutOfReach) {
  static_assert(!HasParts<decltype(WithCancel(Background()))>::value);
  static_assert(
      !HasParts<decltype(WithTimeout(Background(), absl::Seconds(1)))>::value);
  static_assert(
      !HasParts<decltype(WithDeadline(Background(), absl::Time()))>::value);
  static_assert(!HasParts<decltype(Merge(Background(), Background()))>::value);
  static_assert(HasParts<Cancellable>::value);  // control

  // All that keeps both parts compiles, and they belong together.
  auto [ctx, cancel] = WithCancel(Background());
  const auto [fixed, cancel_fixed] = WithCancel(ctx);
  Cancellable stored = WithCancel(fixed);
  struct Owner {
    Cancellable member{WithCancel(Background())};
  };
  EXPECT_FALSE(Owner().member.ctx.Done());
  auto made = WithCancel(fixed);
  auto& [seen, cancel_seen] = made;
  const Context last = seen;
  stored = std::move(made);
  EXPECT_EQ(stored.ctx, last);
  EXPECT_FALSE(last.Done());
  stored.cancel();
  EXPECT_TRUE(last.Done());
  EXPECT_FALSE(fixed.Done());
  cancel();
  EXPECT_TRUE(fixed.Done());
}

TEST_F(ContextTest, TheCancelFuncAloneKeepsTheContextCancellable) {
  auto [parent, cancel_parent] = WithCancel(Background());
  CancelFunc cancel = Cancellable(WithCancel(parent)).cancel;
  EXPECT_EQ(LiveNodes(), 2);
  cancel_parent();
  cancel();
}

TEST_F(ContextTest, ASiblingIsNotCancelled) {
  auto [parent, cancel_parent] = WithCancel(Background());
  std::vector<Cancellable> children;
  for (int i = 0; i < 5; ++i) children.push_back(WithCancel(parent));
  for (int cancelled : {2, 0, 4}) {
    children[cancelled].cancel();
  }
  EXPECT_TRUE(children[0].ctx.Done());
  EXPECT_FALSE(children[1].ctx.Done());
  EXPECT_TRUE(children[2].ctx.Done());
  EXPECT_FALSE(children[3].ctx.Done());
  EXPECT_TRUE(children[4].ctx.Done());
  ExpectLive(parent);
}

TEST_F(ContextTest, ATreeEndsBelowTheCancelledNodeAndNowhereElse) {
  // A binary tree, stored like a heap: node i has the children 2i and 2i + 1.
  constexpr int kNodes = 64;
  for (int cancelled = 1; cancelled < kNodes; ++cancelled) {
    std::vector<Cancellable> tree(kNodes);
    for (int i = 1; i < kNodes; ++i) {
      tree[i] = WithCancel(i == 1 ? Background() : tree[i / 2].ctx);
    }
    tree[cancelled].cancel();
    for (int i = 1; i < kNodes; ++i) {
      bool below = false;
      for (int up = i; up >= 1; up /= 2) below |= up == cancelled;
      EXPECT_EQ(tree[i].ctx.Done(), below) << i << " below " << cancelled;
    }
  }
}

TEST_F(ContextTest, CancellationPassesThroughValues) {
  static constexpr Key<int> kNumber{"number"};
  auto [root, cancel] = WithCancel(Background());
  const Context value = WithValue(root, kNumber, 1);
  auto [child, cancel_child] = WithCancel(value);
  const Context leaf = WithValue(child, kNumber, 2);
  cancel(absl::AbortedError("why"));
  ExpectEnded(value, Cancelled(), absl::AbortedError("why"));
  ExpectEnded(leaf, Cancelled(), absl::AbortedError("why"));
}

// ---- Reasons ---------------------------------------------------------------

TEST_F(ContextTest, OnlyTheFirstCancelCounts) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel(absl::AbortedError("first"));
  cancel(absl::InternalError("second"));
  cancel();
  ExpectEnded(ctx, Cancelled(), absl::AbortedError("first"));

  auto [other, cancel_other] = WithCancel(Background());
  cancel_other();
  cancel_other(absl::InternalError("too late"));
  ExpectEnded(other, Cancelled(), Cancelled());
}

TEST_F(ContextTest, AnOkCauseIsNoCause) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel(absl::OkStatus());
  ExpectEnded(ctx, Cancelled(), Cancelled());
}

TEST_F(ContextTest, ACauseKeepsItsCodeMessageAndPayload) {
  absl::Status cause = absl::DataLossError(std::string(10'000, 'x'));
  cause.SetPayload("type.example/p", absl::Cord("payload"));
  auto [ctx, cancel] = WithCancel(Background());
  cancel(cause);
  EXPECT_EQ(ctx.Cause(), cause);
  EXPECT_EQ(ctx.Err(), Cancelled());
}

// All combinations: the parent and the child are cancelled with and without a
// cause, in either order or alone.
TEST_F(ContextTest, ErrAndCauseAreFromTheFirstEnd) {
  const absl::Status causes[] = {absl::OkStatus(), absl::AbortedError("parent"),
                                 absl::InternalError("child")};
  enum Order { kParentOnly, kChildOnly, kParentFirst, kChildFirst };
  for (Order order : {kParentOnly, kChildOnly, kParentFirst, kChildFirst}) {
    for (const absl::Status& parent_cause : {causes[0], causes[1]}) {
      for (const absl::Status& child_cause : {causes[0], causes[2]}) {
        SCOPED_TRACE(::testing::Message()
                     << "order " << order << ", parent " << parent_cause
                     << ", child " << child_cause);
        auto [parent, cancel_parent] = WithCancel(Background());
        auto [child, cancel_child] = WithCancel(parent);
        if (order == kChildFirst || order == kChildOnly) {
          cancel_child(child_cause);
        }
        if (order != kChildOnly) cancel_parent(parent_cause);
        if (order == kParentFirst) cancel_child(child_cause);

        const absl::Status from_parent =
            parent_cause.ok() ? Cancelled() : parent_cause;
        const absl::Status from_child =
            child_cause.ok() ? Cancelled() : child_cause;
        if (order == kChildOnly) {
          ExpectLive(parent);
        } else {
          ExpectEnded(parent, Cancelled(), from_parent);
        }
        ExpectEnded(child, Cancelled(),
                    order == kParentOnly || order == kParentFirst ? from_parent
                                                                  : from_child);
      }
    }
  }
}

TEST_F(ContextTest, ATimeoutHasItsOwnCause) {
  SimulatedClock clock;
  auto [with, cancel_with] =
      WithTimeout(Background(clock), absl::Seconds(1),
                  absl::UnavailableError("budget of the database"));
  auto [without, cancel_without] =
      WithTimeout(Background(clock), absl::Seconds(1));
  auto [child, cancel_child] = WithCancel(with);
  ExpectLive(with);
  clock.Advance(absl::Seconds(1));
  const absl::Status cause = absl::UnavailableError("budget of the database");
  ExpectEnded(with, DeadlineExceeded(), cause);
  ExpectEnded(child, DeadlineExceeded(), cause);
  ExpectEnded(without, DeadlineExceeded(), DeadlineExceeded());
}

TEST_F(ContextTest, CancellingATimeoutBeforeItIsDueIsACancellation) {
  SimulatedClock clock;
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(1),
                                   absl::UnavailableError("too slow"));
  cancel(absl::AbortedError("not needed"));
  clock.Advance(absl::Seconds(2));
  ExpectEnded(ctx, Cancelled(), absl::AbortedError("not needed"));
}

TEST_F(ContextTest, CancellingATimeoutAfterItWasDueChangesNothing) {
  SimulatedClock clock;
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(1),
                                   absl::UnavailableError("too slow"));
  clock.Advance(absl::Seconds(1));
  cancel(absl::AbortedError("not needed"));
  ExpectEnded(ctx, DeadlineExceeded(), absl::UnavailableError("too slow"));
}

TEST_F(ContextTest, TheCauseOfThePassedDeadlineCounts) {
  SimulatedClock clock;
  const absl::Status outer_cause = absl::UnavailableError("outer");
  const absl::Status inner_cause = absl::UnavailableError("inner");
  for (auto [outer_s, inner_s] : {std::pair(1, 2), {2, 1}, {1, 1}}) {
    auto [outer, cancel_outer] =
        WithTimeout(Background(clock), absl::Seconds(outer_s), outer_cause);
    auto [inner, cancel_inner] =
        WithTimeout(outer, absl::Seconds(inner_s), inner_cause);
    clock.Advance(absl::Seconds(2));
    ExpectEnded(outer, DeadlineExceeded(), outer_cause);
    ExpectEnded(inner, DeadlineExceeded(),
                inner_s <= outer_s ? inner_cause : outer_cause);
  }
}

// ---- Children of a parent that is done -------------------------------------

TEST_F(ContextTest, AChildOfADoneParentIsDoneForItsReason) {
  SimulatedClock clock;
  auto [parent, cancel] = WithCancel(Background(clock));
  cancel(absl::AbortedError("why"));
  const Cancellable children[] = {
      WithCancel(parent),
      WithTimeout(parent, absl::Seconds(1)),
      WithTimeout(parent, absl::InfiniteDuration()),
      // Its own deadline has passed too, but the parent ended first.
      WithTimeout(parent, -absl::Seconds(1), absl::InternalError("late")),
      WithDeadline(parent, absl::InfinitePast(), absl::InternalError("late")),
      Merge(parent, Background()),
      Merge(Background(clock), parent),
  };
  for (const Cancellable& child : children) {
    SCOPED_TRACE(child.ctx.DebugString());
    child.cancel(absl::InternalError("too late"));
    ExpectEnded(child.ctx, Cancelled(), absl::AbortedError("why"));
  }
  EXPECT_EQ(clock.armed_timers(), 0u);
}

TEST_F(ContextTest, AChildOfAParentWhoseDeadlineHasPassedIsDoneForThatReason) {
  SimulatedClock clock;
  // Nothing has fired, because the clock is stopped.
  auto [parent, cancel] = WithTimeout(Background(clock), absl::ZeroDuration(),
                                      absl::AbortedError("why"));
  const Cancellable children[] = {
      WithCancel(parent),
      WithTimeout(parent, absl::Seconds(1)),
      WithTimeout(parent, -absl::Seconds(1), absl::InternalError("earlier")),
      Merge(parent, Background()),
      Merge(Background(clock), parent),
  };
  for (const Cancellable& child : children) {
    SCOPED_TRACE(child.ctx.DebugString());
    ExpectEnded(child.ctx, DeadlineExceeded(), absl::AbortedError("why"));
    child.cancel(absl::InternalError("too late"));
    ExpectEnded(child.ctx, DeadlineExceeded(), absl::AbortedError("why"));
  }
}

TEST_F(ContextTest, AChildOfAParentCancelledLongAgoIsCancelledNotLate) {
  SimulatedClock clock;
  auto [parent, cancel] = WithTimeout(Background(clock), absl::Seconds(1));
  cancel();
  clock.Advance(absl::Seconds(2));
  auto [child, cancel_child] = WithCancel(parent);
  auto [timed, cancel_timed] = WithTimeout(parent, -absl::Seconds(5));
  auto [merged, cancel_merged] = Merge(Background(clock), parent);
  ExpectEnded(child, Cancelled(), Cancelled());
  ExpectEnded(timed, Cancelled(), Cancelled());
  ExpectEnded(merged, Cancelled(), Cancelled());
}

// ---- WithoutCancel ---------------------------------------------------------

TEST_F(ContextTest, WithoutCancelKeepsValuesAndClockAndNothingElse) {
  static constexpr Key<std::string> kUser{"user"};
  SimulatedClock clock;
  auto [parent, cancel] =
      WithTimeout(WithValue(Background(clock), kUser, "ada"), absl::Seconds(1));
  const Context detached = WithoutCancel(parent);
  cancel();
  ExpectLive(detached);
  EXPECT_EQ(detached.Deadline(), absl::InfiniteFuture());
  EXPECT_EQ(detached.Remaining(), absl::InfiniteDuration());
  ASSERT_NE(detached.Value(kUser), nullptr);
  EXPECT_EQ(*detached.Value(kUser), "ada");

  auto [timed, cancel_timed] = WithTimeout(detached, absl::Seconds(5));
  clock.Advance(absl::Seconds(4));
  ExpectLive(timed);
  EXPECT_EQ(timed.Remaining(), absl::Seconds(1));
  clock.Advance(absl::Seconds(1));
  ExpectEnded(timed, DeadlineExceeded(), DeadlineExceeded());
  ExpectLive(detached);
}

TEST_F(ContextTest, WithoutCancelOfADoneContextIsLive) {
  auto [parent, cancel] = WithCancel(Background());
  cancel();
  const Context detached = WithoutCancel(parent);
  ExpectLive(detached);
  auto [child, cancel_child] = WithCancel(detached);
  ExpectLive(child);
  cancel_child();
  ExpectLive(detached);
}

// ---- DebugString -----------------------------------------------------------

TEST_F(ContextTest, DebugStringShowsTheChainRootFirst) {
  static constexpr Key<std::string> kUser{"user"};
  static constexpr Key<int> kTenant{"tenant"};
  EXPECT_EQ(Background().DebugString(), "Background");
  EXPECT_EQ(Todo().DebugString(), "Todo");
  const Context user = WithValue(Todo(), kUser, "secret");
  auto [ctx, cancel] = WithCancel(user);
  const Context leaf = WithoutCancel(WithValue(ctx, kTenant, 7));
  EXPECT_EQ(leaf.DebugString(),
            "Todo.WithValue(user).WithCancel.WithValue(tenant).WithoutCancel");
  EXPECT_FALSE(absl::StrContains(leaf.DebugString(), "secret"));
}

TEST_F(ContextTest, DebugStringShowsDeadlinesAndMerges) {
  SimulatedClock clock(absl::FromUnixSeconds(0));
  auto [timed, cancel] = WithTimeout(Background(clock), absl::Seconds(90));
  EXPECT_EQ(timed.DebugString(),
            "Background.WithDeadline(1970-01-01T00:01:30+00:00 [1m30s])");
  clock.Advance(absl::Seconds(91));
  EXPECT_EQ(timed.DebugString(),
            "Background.WithDeadline(1970-01-01T00:01:30+00:00 [-1s])");
  auto [merged, cancel_merged] = Merge(Todo(), WithoutCancel(Background()));
  EXPECT_EQ(merged.DebugString(), "Todo.Merge(Background.WithoutCancel)");
}

TEST_F(ContextTest, DebugStringDoesNotFollowMergesWithinMerges) {
  Context ctx = Background();
  std::vector<CancelFunc> cancels;
  for (int i = 0; i < 100; ++i) {
    Cancellable merged = Merge(ctx, ctx);
    ctx = merged.ctx;
    cancels.push_back(std::move(merged.cancel));
  }
  auto [last, cancel_last] = Merge(Background(), ctx);
  EXPECT_EQ(last.DebugString().substr(0, 40),
            "Background.Merge(Background.Merge(…).M");
  EXPECT_LT(ctx.DebugString().size(), 200'000u);
}

// ---- Waiting ---------------------------------------------------------------

TEST_F(ContextTest, WaitReturnsAtOnceWhenDone) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel();
  ctx.Wait();
  EXPECT_TRUE(ctx.WaitFor(absl::ZeroDuration()));
  EXPECT_TRUE(ctx.WaitFor(absl::InfiniteDuration()));
  EXPECT_TRUE(ctx.WaitUntil(absl::InfinitePast()));
  EXPECT_TRUE(ctx.WaitUntil(absl::InfiniteFuture()));
}

TEST_F(ContextTest, WaitReturnsWhenAnotherThreadCancels) {
  auto [ctx, cancel] = WithCancel(Background());
  std::thread canceller([&cancel = cancel] { cancel(); });
  ctx.Wait();
  EXPECT_TRUE(ctx.Done());
  canceller.join();
}

TEST_F(ContextTest, WaitForForeverReturnsWhenAnotherThreadCancels) {
  auto [ctx, cancel] = WithCancel(Background());
  std::thread canceller([&cancel = cancel] { cancel(); });
  EXPECT_TRUE(ctx.WaitFor(absl::InfiniteDuration()));
  canceller.join();
}

}  // namespace
}  // namespace tether
