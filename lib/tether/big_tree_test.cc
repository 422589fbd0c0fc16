// SPDX-License-Identifier: Apache-2.0
//
// Chains and trees of thousands of contexts.

#include <cstddef>
#include <optional>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/together.h"

namespace tether {
namespace {

using testing::Together;

class BigTreeTest : public testing::LeakCheckedTest {};

TEST_F(BigTreeTest, ADeepChainIsCancelledAndFreedWithoutMuchStack) {
  constexpr int kDepth = 10'000;
  std::vector<Cancellable> chain;
  chain.push_back(WithCancel(Background()));
  for (int i = 1; i < kDepth; ++i) {
    chain.push_back(WithCancel(chain.back().ctx));
  }
  Context leaf = chain.back().ctx;
  Together({
      [&] { chain[0].cancel(); },
      [&] { chain[kDepth / 2].cancel(); },
      [&] { leaf.Wait(); },
  });
  EXPECT_TRUE(leaf.Done());
  // Now only the leaf keeps the chain alive.
  chain.clear();
  EXPECT_EQ(LiveNodes(), kDepth);
  leaf = Context();
  EXPECT_EQ(LiveNodes(), 0);
}

TEST_F(BigTreeTest, ADeepChainOfValuesIsFreedWithoutMuchStack) {
  static constexpr Key<int> kNumber{"number"};
  Context leaf;
  for (int i = 0; i < 100'000; ++i) leaf = WithValue(leaf, kNumber, i);
  EXPECT_EQ(*leaf.Value(kNumber), 99'999);
}

TEST_F(BigTreeTest, ADeepChainMayGoFromTheTopOrFromTheBottom) {
  for (bool from_the_top : {true, false}) {
    std::vector<std::optional<Cancellable>> chain;
    chain.emplace_back(WithCancel(Background()));
    for (int i = 1; i < 10'000; ++i) {
      chain.emplace_back(WithCancel(chain.back()->ctx));
    }
    for (size_t i = 0; i < chain.size(); ++i) {
      chain[from_the_top ? i : chain.size() - 1 - i].reset();
    }
  }
}

TEST_F(BigTreeTest, AWideTreeIsCancelledWhileItsLeavesGo) {
  constexpr int kWidth = 10'000;
  Cancellable root = WithTimeout(Background(), absl::Milliseconds(120));
  std::vector<Cancellable> children[2];
  for (int i = 0; i < kWidth; ++i) {
    children[i % 2].push_back(i % 4 < 2
                                  ? WithCancel(root.ctx)
                                  : WithTimeout(root.ctx, absl::Seconds(i)));
  }
  Together({
      [&] {
        root.cancel();
        for (const Cancellable& c : children[1]) ASSERT_TRUE(c.ctx.Done());
      },
      [&] { children[0].clear(); },
      [&] {
        while (!root.ctx.Done()) std::this_thread::yield();
      },
  });
}

}  // namespace
}  // namespace tether
