// SPDX-License-Identifier: Apache-2.0

#include "tether/current.h"

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"

namespace tether {
namespace {

constexpr Key<int> kNumber{"number"};

Context Numbered(int n) { return WithValue(Background(), kNumber, n); }

// The number in the current context, or 0 if it has none.
int CurrentNumber() {
  const int* n = Current().Value(kNumber);
  return n == nullptr ? 0 : *n;
}

class CurrentTest : public testing::LeakCheckedTest {};

TEST_F(CurrentTest, IsBackgroundWithoutAScope) {
  EXPECT_TRUE(Current() == Background());
}

TEST_F(CurrentTest, IsThatOfTheInnermostScope) {
  const Context outer = Numbered(1);
  {
    ScopedContext scope(outer);
    EXPECT_TRUE(Current() == outer);
    {
      const Context inner = Numbered(2);
      ScopedContext inner_scope(inner);
      EXPECT_TRUE(Current() == inner);
      ScopedContext same_block(Background());
      EXPECT_TRUE(Current() == Background());
    }
    EXPECT_TRUE(Current() == outer);
  }
  EXPECT_TRUE(Current() == Background());
}

TEST_F(CurrentTest, KeepsTheContextAlive) {
  ScopedContext scope(Numbered(1));
  EXPECT_EQ(CurrentNumber(), 1);
  EXPECT_EQ(LiveNodes(), 1);
}

TEST_F(CurrentTest, OutlivesItsScopeWhenCopied) {
  Context copy;
  {
    ScopedContext scope(Numbered(1));
    copy = Current();
  }
  EXPECT_EQ(*copy.Value(kNumber), 1);
}

TEST_F(CurrentTest, IsRestoredAfterAnException) {
  ScopedContext scope(Numbered(1));
  try {
    ScopedContext inner(Numbered(2));
    throw std::runtime_error("out of the scope");
  } catch (const std::runtime_error&) {
    EXPECT_EQ(CurrentNumber(), 1);
  }
  EXPECT_EQ(CurrentNumber(), 1);
}

TEST_F(CurrentTest, BelongsToOneThread) {
  ScopedContext scope(Numbered(1));
  std::thread other([] {
    EXPECT_TRUE(Current() == Background());
    ScopedContext scope_there(Numbered(2));
    EXPECT_EQ(CurrentNumber(), 2);
  });
  other.join();
  EXPECT_EQ(CurrentNumber(), 1);
}

TEST_F(CurrentTest, CodeThatAsksForItCannotCancelIt) {
  auto [ctx, cancel] = WithCancel(Background());
  ScopedContext scope(ctx);
  auto [child, cancel_child] = WithCancel(Current());
  cancel_child();
  EXPECT_FALSE(Current().Done());
  cancel();
  EXPECT_TRUE(Current().Done());
}

// ---- Bind ------------------------------------------------------------------

TEST_F(CurrentTest, BindCarriesTheContextToAnotherThread) {
  ScopedContext scope(Numbered(1));
  int seen = 0;
  std::thread other(Bind(Current(), [&] { seen = CurrentNumber(); }));
  other.join();
  EXPECT_EQ(seen, 1);
}

TEST_F(CurrentTest, ABoundFunctionRunsInItsContextAndRestoresTheCallers) {
  ScopedContext scope(Numbered(1));
  auto bound = Bind(Numbered(2), [] { return CurrentNumber(); });
  EXPECT_EQ(bound(), 2);
  EXPECT_EQ(CurrentNumber(), 1);
  EXPECT_EQ(bound(), 2);
}

TEST_F(CurrentTest, ABoundFunctionThatThrowsRestoresTheCallersContext) {
  ScopedContext scope(Numbered(1));
  auto bound = Bind(Numbered(2), [] { throw std::runtime_error("bound"); });
  EXPECT_THROW(bound(), std::runtime_error);
  EXPECT_EQ(CurrentNumber(), 1);
  EXPECT_THROW(std::move(bound)(), std::runtime_error);
  EXPECT_EQ(CurrentNumber(), 1);
}

TEST_F(CurrentTest, BindPassesArgumentsAndResultsThrough) {
  auto add =
      Bind(Numbered(10), [](int a, int b) { return a + b + CurrentNumber(); });
  EXPECT_EQ(add(1, 2), 13);

  int target = 0;
  auto reference = Bind(Numbered(1), [&target]() -> int& { return target; });
  static_assert(std::is_same_v<decltype(reference()), int&>);
  reference() = 5;
  EXPECT_EQ(target, 5);

  auto by_reference = Bind(Numbered(1), [](int& out) { out = 7; });
  by_reference(target);
  EXPECT_EQ(target, 7);

  auto moves = Bind(Numbered(1), [](std::unique_ptr<int> p) { return p; });
  EXPECT_EQ(*moves(std::make_unique<int>(8)), 8);
}

TEST_F(CurrentTest, BindCopiesAnLvalueAndMovesAnRvalue) {
  auto shared = std::make_shared<int>(1);
  const auto f = [shared] { return *shared; };
  auto copied = Bind(Numbered(1), f);
  EXPECT_EQ(shared.use_count(), 3);
  auto g = f;
  auto moved = Bind(Numbered(1), std::move(g));
  EXPECT_EQ(shared.use_count(), 4);
  EXPECT_EQ(copied() + moved(), 2);
}

TEST_F(CurrentTest, BindTakesMoveOnlyFunctions) {
  auto bound = Bind(Numbered(1), [p = std::make_unique<int>(3)] {
    return *p + CurrentNumber();
  });
  static_assert(!std::is_copy_constructible_v<decltype(bound)>);
  auto elsewhere = std::move(bound);
  EXPECT_EQ(elsewhere(), 4);
  EXPECT_EQ(std::move(elsewhere)(), 4);
}

TEST_F(CurrentTest, BindKeepsStateBetweenCallsOfAMutableFunction) {
  auto count = Bind(Numbered(1), [n = 0]() mutable { return ++n; });
  EXPECT_EQ(count(), 1);
  EXPECT_EQ(count(), 2);
}

TEST_F(CurrentTest, AConstBoundFunctionCanBeCalled) {
  const auto bound = Bind(Numbered(1), [] { return CurrentNumber(); });
  EXPECT_EQ(bound(), 1);
}

TEST_F(CurrentTest, BindTakesFunctionPointersAndMembers) {
  struct Thing {
    int Add(int n) const { return n + CurrentNumber(); }
  };
  EXPECT_EQ(Bind(Numbered(1), &CurrentNumber)(), 1);
  EXPECT_EQ(Bind(Numbered(1), &Thing::Add)(Thing(), 4), 5);
}

TEST_F(CurrentTest, ABoundFunctionFitsTheUsualWrappers) {
  std::function<int()> function =
      Bind(Numbered(1), [] { return CurrentNumber(); });
  EXPECT_EQ(function(), 1);
  const auto copy = function;
  EXPECT_EQ(copy(), 1);
  absl::AnyInvocable<int()&&> once =
      Bind(Numbered(2),
           [p = std::make_unique<int>(1)] { return *p + CurrentNumber(); });
  EXPECT_EQ(std::move(once)(), 3);
}

TEST_F(CurrentTest, ABoundFunctionKeepsItsContextUntilItIsGone) {
  {
    auto bound = Bind(Numbered(1), [] {});
    EXPECT_EQ(LiveNodes(), 1);
  }
  EXPECT_EQ(LiveNodes(), 0);
}

// ---- Out of order ----------------------------------------------------------

using CurrentDeathTest = CurrentTest;

TEST_F(CurrentDeathTest, ScopesDestroyedOutOfOrderAreReportedInDebugBuilds) {
  internal::scopes_must_nest = true;
  EXPECT_DEATH(
      {
        std::optional<ScopedContext> outer(std::in_place, Background());
        std::optional<ScopedContext> inner(std::in_place, Todo());
        outer.reset();
      },
      "ScopedContext destroyed out of order");
  EXPECT_DEATH(
      {
        std::optional<ScopedContext> scope(std::in_place, Background());
        std::thread([&] { scope.reset(); }).join();
      },
      "or on another thread");
}

TEST_F(CurrentTest, ScopesDestroyedOutOfOrderLeaveNothingDangling) {
  const bool before = std::exchange(internal::scopes_must_nest, false);
  {
    auto [a, cancel_a] = WithCancel(Background());
    auto [b, cancel_b] = WithCancel(Background());
    auto [c, cancel_c] = WithCancel(Background());
    // On the heap, so that ASan detects dangling pointers.
    auto first = std::make_unique<ScopedContext>(a);
    auto second = std::make_unique<ScopedContext>(b);
    auto third = std::make_unique<ScopedContext>(c);
    second.reset();
    EXPECT_EQ(Current(), c);
    third.reset();
    EXPECT_EQ(Current(), a);
    auto fourth = std::make_unique<ScopedContext>(b);
    first.reset();
    EXPECT_EQ(Current(), b);
    fourth.reset();
    EXPECT_EQ(Current(), Background());
  }
  internal::scopes_must_nest = before;
}

}  // namespace
}  // namespace tether
