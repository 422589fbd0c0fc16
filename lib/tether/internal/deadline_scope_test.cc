// SPDX-License-Identifier: Apache-2.0
//
// How much work it takes to make scopes near.

#include "tether/internal/deadline_scope.h"

#include <cstddef>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/internal/spin_lock.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether::internal {
namespace {

class DeadlineScopeTest : public tether::testing::LeakCheckedTest {
 protected:
  // How many scopes are visited when `ctx` comes near.
  static size_t Visited(const Context& ctx) {
    Scope* scope = ContextAccess::NodeOf(ctx)->scope;
    SpinLockHolder lock(scope->lock);
    return MarkNear(scope);
  }
  static bool IsNear(const Context& ctx) {
    return (ContextAccess::NodeOf(ctx)->scope->state.load() & kNear) != 0;
  }

  tether::testing::SimulatedClock clock_;
};

TEST_F(DeadlineScopeTest,
       NestedDeadlinesThatComeNearOneByOneAreVisitedTwiceAtMost) {
  constexpr int kDepth = 8000;
  constexpr int kLeaves = 3;
  // The deepest context comes near first, since each deadline is earlier than
  // its parent's.
  std::vector<Cancellable> chain;
  std::vector<Cancellable> leaves;
  Context at = Background(clock_);
  for (int i = 0; i < kDepth; ++i) {
    chain.push_back(
        WithTimeout(at, absl::Hours(1) - absl::Microseconds(1) * i));
    at = chain.back().ctx;
    for (int j = 0; j < kLeaves; ++j) leaves.push_back(WithCancel(at));
  }
  size_t visited = 0;
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
    visited += Visited(it->ctx);
    ASSERT_TRUE(IsNear(it->ctx));
  }
  EXPECT_LE(visited, 2 * chain.size() + leaves.size());
  for (const Cancellable& c : leaves) ASSERT_TRUE(IsNear(c.ctx));
  while (!chain.empty()) chain.pop_back();
}

// The control: scopes that are not near yet are reached, next to and below
// scopes that are.
TEST_F(DeadlineScopeTest, AllBelowIsNearAfterwards) {
  auto [top, cancel_top] = WithTimeout(Background(clock_), absl::Hours(1));
  std::vector<Cancellable> tree;
  Context at = top;
  for (int i = 0; i < 100; ++i) {
    tree.push_back(WithCancel(at));
    tree.push_back(WithTimeout(at, absl::Minutes(30)));
    tree.push_back(WithCancel(tree.back().ctx));
    at = tree[tree.size() - 3].ctx;
  }
  // Every third subtree is near already, and some scopes have ended.
  for (size_t i = 1; i < tree.size(); i += 9) Visited(tree[i].ctx);
  for (size_t i = 5; i < tree.size(); i += 30) tree[i].cancel();
  EXPECT_GE(Visited(top), 200u);
  for (const Cancellable& c : tree) EXPECT_TRUE(c.ctx.Done() || IsNear(c.ctx));
  EXPECT_EQ(Visited(top), 1u);
}

}  // namespace
}  // namespace tether::internal
