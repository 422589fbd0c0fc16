// SPDX-License-Identifier: Apache-2.0

#include "tether/after_func.h"

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/clock.h"
#include "tether/context.h"
#include "tether/context_stats.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

using testing::SimulatedClock;

class AfterFuncTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    exceptions_before_ = GetContextStats().callback_exceptions;
  }
  int64_t Exceptions() const {
    return GetContextStats().callback_exceptions - exceptions_before_;
  }

 private:
  int64_t exceptions_before_ = 0;
};

// ---- When it runs ----------------------------------------------------------

TEST_F(AfterFuncTest, RunsOnceWhenTheContextIsCancelled) {
  auto [ctx, cancel] = WithCancel(Background());
  int calls = 0;
  Registration registration = AfterFunc(ctx, [&] { ++calls; });
  EXPECT_EQ(calls, 0);
  cancel();
  EXPECT_EQ(calls, 1);
  cancel();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(registration.Stop());
}

TEST_F(AfterFuncTest, RunsOnTheThreadThatCancels) {
  auto [ctx, cancel] = WithCancel(Background());
  std::thread::id ran_on;
  Registration registration =
      AfterFunc(ctx, [&] { ran_on = std::this_thread::get_id(); });
  std::thread::id canceller_id;
  std::thread canceller([&, &cancel = cancel] {
    canceller_id = std::this_thread::get_id();
    cancel();
  });
  canceller.join();
  EXPECT_EQ(ran_on, canceller_id);
}

TEST_F(AfterFuncTest, RunsAtOnceWhenTheContextIsDone) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel();
  int calls = 0;
  Registration registration = AfterFunc(ctx, [&] { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(registration.Stop());
}

TEST_F(AfterFuncTest, RunsAtOnceWhenTheDeadlineHasPassedAndNothingFiredYet) {
  SimulatedClock clock;
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::ZeroDuration());
  int calls = 0;
  Registration registration = AfterFunc(ctx, [&] { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(registration.Stop());
  clock.Advance(absl::Seconds(1));
  cancel();
  EXPECT_EQ(calls, 1);
}

TEST_F(AfterFuncTest, RunsWhenAnAncestorEnds) {
  static constexpr Key<int> kNumber{"number"};
  auto [root, cancel] = WithCancel(Background());
  auto [child, cancel_child] = WithCancel(root);
  auto [merged, cancel_merged] = Merge(Background(), child);
  int calls = 0;
  Registration on_child = AfterFunc(child, [&] { ++calls; });
  Registration on_value =
      AfterFunc(WithValue(child, kNumber, 1), [&] { ++calls; });
  Registration on_merged = AfterFunc(merged, [&] { ++calls; });
  cancel();
  EXPECT_EQ(calls, 3);
}

TEST_F(AfterFuncTest, RunsWhenTheDeadlinePasses) {
  SimulatedClock clock;
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(1));
  auto [child, cancel_child] = WithCancel(ctx);
  int calls = 0;
  Registration registration = AfterFunc(child, [&] { ++calls; });
  clock.Advance(absl::Milliseconds(999));
  EXPECT_EQ(calls, 0);
  clock.Advance(absl::Milliseconds(1));
  EXPECT_EQ(calls, 1);
}

TEST_F(AfterFuncTest, AllOfManyRun) {
  auto [ctx, cancel] = WithCancel(Background());
  int calls = 0;
  std::vector<std::unique_ptr<Registration>> registrations;
  for (int i = 0; i < 100; ++i) {
    registrations.push_back(
        std::make_unique<Registration>(ctx, [&] { ++calls; }));
  }
  for (int i = 0; i < 100; i += 3) registrations[i].reset();
  cancel();
  EXPECT_EQ(calls, 66);
}

TEST_F(AfterFuncTest, SeesTheContextDoneWithItsReason) {
  auto [ctx, cancel] = WithCancel(Background());
  bool ran = false;
  Registration registration = AfterFunc(ctx, [&, ctx = ctx] {
    ran = true;
    EXPECT_TRUE(ctx.Done());
    EXPECT_EQ(ctx.Cause(), absl::AbortedError("why"));
    ctx.Wait();
  });
  cancel(absl::AbortedError("why"));
  EXPECT_TRUE(ran);
}

TEST_F(AfterFuncTest, NeverRunsOnAContextThatNothingCanEnd) {
  auto [ended, cancel] = WithCancel(Background());
  cancel();
  for (const Context& ctx : {Background(), Todo(), WithoutCancel(ended)}) {
    bool ran = false;
    {
      Registration destroyed = AfterFunc(ctx, [&] { ran = true; });
    }
    Registration registration = AfterFunc(ctx, [&] { ran = true; });
    EXPECT_TRUE(registration.Stop());
    EXPECT_FALSE(registration.Stop());
    EXPECT_FALSE(ran);
  }
}

TEST_F(AfterFuncTest, ANullCallableIsNeverCalled) {
  auto [ctx, cancel] = WithCancel(Background());
  Registration null(ctx, nullptr);
  Registration on_root(Background(), nullptr);
  EXPECT_EQ(LiveCallbacks(), 0);
  cancel();
  Registration late(ctx, nullptr);
  EXPECT_FALSE(null.Stop());
  EXPECT_FALSE(on_root.Stop());
  EXPECT_FALSE(late.Stop());
  EXPECT_EQ(Exceptions(), 0);
}

TEST_F(AfterFuncTest, ExceptionsAreSwallowedAndCounted) {
  auto [ctx, cancel] = WithCancel(Background());
  int calls = 0;
  const auto throws = [&] {
    ++calls;
    throw std::runtime_error("callback");
  };
  Registration first = AfterFunc(ctx, throws);
  Registration second = AfterFunc(ctx, throws);
  cancel();
  Registration at_once = AfterFunc(ctx, throws);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(Exceptions(), 3);
}

// ---- What a callback may do ------------------------------------------------

TEST_F(AfterFuncTest, MayDropTheLastContextAndCancelFunc) {
  std::optional<Cancellable> parent = WithCancel(Background());
  std::optional<Cancellable> child = WithCancel(parent->ctx);
  std::optional<Registration> on_parent;
  std::optional<Registration> on_child;
  int calls = 0;
  const auto drop_everything = [&] {
    ++calls;
    on_parent.reset();
    on_child.reset();
    child.reset();
    parent.reset();
  };
  on_parent.emplace(parent->ctx, drop_everything);
  on_child.emplace(child->ctx, drop_everything);
  parent->cancel();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(LiveNodes(), 0);
}

TEST_F(AfterFuncTest, MayDropTheContextWhoseDeadlinePassed) {
  SimulatedClock clock;
  std::optional<Cancellable> timed =
      WithTimeout(Background(clock), absl::Seconds(1));
  std::optional<Registration> registration;
  bool ran = false;
  registration.emplace(timed->ctx, [&] {
    ran = true;
    registration.reset();
    timed.reset();
  });
  clock.Advance(absl::Seconds(1));
  EXPECT_TRUE(ran);
  EXPECT_EQ(LiveNodes(), 0);
}

TEST_F(AfterFuncTest, MayCancelAnyPartOfTheSameTree) {
  auto [root, cancel_root] = WithCancel(Background());
  auto [middle, cancel_middle] = WithCancel(root);
  auto [leaf, cancel_leaf] = WithCancel(middle);
  auto [other, cancel_other] = WithCancel(root);
  int calls = 0;
  Registration on_leaf = AfterFunc(
      leaf, [&, &cancel_middle = cancel_middle, &cancel_root = cancel_root] {
        ++calls;
        cancel_middle(absl::AbortedError("from the leaf"));
        cancel_root(absl::AbortedError("from the leaf"));
      });
  Registration on_other = AfterFunc(other, [&] { ++calls; });
  cancel_leaf();
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(root.Cause(), absl::AbortedError("from the leaf"));
  EXPECT_EQ(other.Cause(), absl::AbortedError("from the leaf"));
  EXPECT_TRUE(absl::IsCancelled(leaf.Cause()));
}

TEST_F(AfterFuncTest, MayRegisterFurtherCallbacks) {
  auto [root, cancel] = WithCancel(Background());
  auto [live, cancel_live] = WithCancel(Background());
  std::vector<std::unique_ptr<Registration>> registrations;
  int nested_calls = 0;
  Registration registration = AfterFunc(root, [&, root = root, live = live] {
    // A callback on the done context runs at once, one on another context when
    // that ends.
    registrations.push_back(
        std::make_unique<Registration>(root, [&] { ++nested_calls; }));
    EXPECT_EQ(nested_calls, 1);
    registrations.push_back(
        std::make_unique<Registration>(live, [&] { ++nested_calls; }));
  });
  cancel();
  EXPECT_EQ(nested_calls, 1);
  cancel_live();
  EXPECT_EQ(nested_calls, 2);
}

TEST_F(AfterFuncTest, MayMakeAndDropChildrenOfEveryContextAround) {
  auto [root, cancel] = WithCancel(Background());
  auto [child, cancel_child] = WithCancel(root);
  Registration registration = AfterFunc(child, [root = root, child = child] {
    for (const Context& ctx : {root, child}) {
      auto [a, cancel_a] = WithCancel(ctx);
      auto [b, cancel_b] = Merge(Background(), a);
      EXPECT_TRUE(b.Done());
      auto [c, cancel_c] = WithCancel(WithoutCancel(ctx));
      EXPECT_FALSE(c.Done());
    }
  });
  cancel();
}

TEST_F(AfterFuncTest, ACallbackSeesAllDescendantsDone) {
  // Callbacks run only when the whole subtree has ended, however deep it is.
  auto [root, cancel] = WithCancel(Background());
  std::vector<Cancellable> chain;
  for (int i = 0; i < 50; ++i) {
    chain.push_back(WithCancel(i == 0 ? root : chain.back().ctx));
  }
  int calls = 0;
  std::vector<std::unique_ptr<Registration>> registrations;
  for (const Cancellable& c : chain) {
    registrations.push_back(std::make_unique<Registration>(c.ctx, [&] {
      ++calls;
      for (const Cancellable& each : chain) EXPECT_TRUE(each.ctx.Done());
    }));
  }
  cancel();
  EXPECT_EQ(calls, 50);
}

// ---- The registration itself -----------------------------------------------

TEST_F(AfterFuncTest, ARegistrationKeepsItsContextAlive) {
  std::optional<Registration> registration;
  bool ran = false;
  {
    auto [ctx, cancel] = WithCancel(Background());
    registration.emplace(ctx, [&] { ran = true; });
  }
  EXPECT_TRUE(ran);
  EXPECT_EQ(LiveNodes(), 1);
  registration.reset();
  EXPECT_EQ(LiveNodes(), 0);
}

TEST_F(AfterFuncTest, TakesMoveOnlyCallables) {
  auto [ctx, cancel] = WithCancel(Background());
  int got = 0;
  auto number = std::make_unique<int>(7);
  Registration registration =
      AfterFunc(ctx, [&got, number = std::move(number)] { got = *number; });
  cancel();
  EXPECT_EQ(got, 7);
}

TEST_F(AfterFuncTest, ARegistrationCannotBeMovedOrCopied) {
  static_assert(!std::is_move_constructible_v<Registration>);
  static_assert(!std::is_copy_constructible_v<Registration>);
  static_assert(!std::is_move_assignable_v<Registration>);
}

}  // namespace
}  // namespace tether
