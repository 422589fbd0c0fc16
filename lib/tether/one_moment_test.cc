// SPDX-License-Identifier: Apache-2.0
//
// A context, its descendants and the contexts merged with them end at one
// moment: for callbacks, for threads that wait, and for threads that poll.

#include <atomic>
#include <memory>
#include <random>
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

namespace tether {
namespace {

class OneMomentTest : public testing::LeakCheckedTest {};

// ---- Merges ----------------------------------------------------------------

TEST_F(OneMomentTest, ACallbackOfTheOtherParentFindsItsMergesDone) {
  auto [other, cancel_other] = WithCancel(Background());
  auto [merged, cancel] = Merge(Background(), other);
  auto [below, cancel_below] = WithCancel(merged);
  bool ran = false;
  // Registered after the merge, so it once ran before the merge had ended.
  Registration after = AfterFunc(other, [&, m = merged, b = below] {
    ran = true;
    EXPECT_EQ(m.Cause(), absl::AbortedError("why"));
    EXPECT_EQ(b.Cause(), absl::AbortedError("why"));
  });
  cancel_other(absl::AbortedError("why"));
  EXPECT_TRUE(ran);
}

TEST_F(OneMomentTest, ACallbackFindsMergesOfMergesAndOfDescendantsDone) {
  auto [root, cancel_root] = WithCancel(Background());
  auto [child, cancel_child] = WithCancel(root);
  std::vector<Cancellable> merges;
  merges.push_back(Merge(Background(), child));
  for (int i = 0; i < 4; ++i) {
    const Context last = merges.back().ctx;
    merges.push_back(i % 2 == 0 ? Merge(Background(), last)
                                : Merge(last, Background()));
    merges.push_back(WithCancel(merges.back().ctx));
  }
  int ran = 0;
  std::vector<std::unique_ptr<Registration>> registrations;
  const auto look = [&] {
    ++ran;
    for (const Cancellable& merge : merges) EXPECT_TRUE(merge.ctx.Done());
  };
  for (const Context& ctx :
       {Context(root), Context(child), merges.front().ctx, merges.back().ctx}) {
    registrations.push_back(std::make_unique<Registration>(ctx, look));
  }
  cancel_root();
  EXPECT_EQ(ran, 4);
}

TEST_F(OneMomentTest, AMergeOfAMergesBothParentsEndsForTheFirstReason) {
  // One end reaches it on several paths.
  auto [root, cancel_root] = WithCancel(Background());
  auto [a, cancel_a] = WithCancel(root);
  auto [b, cancel_b] = WithCancel(root);
  auto [ab, cancel_ab] = Merge(a, b);
  auto [again, cancel_again] = Merge(ab, a);
  auto [upward, cancel_upward] = Merge(root, again);
  int calls = 0;
  Registration count = AfterFunc(upward, [&] { ++calls; });
  cancel_root(absl::AbortedError("why"));
  for (const Context& ctx : {Context(ab), Context(again), Context(upward)}) {
    EXPECT_EQ(ctx.Cause(), absl::AbortedError("why"));
  }
  EXPECT_EQ(calls, 1);
}

TEST_F(OneMomentTest, AMergeOnAnotherClockEndsForTheReasonOfItsOther) {
  testing::SimulatedClock early, late;
  late.Advance(absl::Hours(1));
  auto [other, cancel_other] = WithTimeout(Background(early), absl::Seconds(1));
  auto [near, cancel_near] =
      WithTimeout(Background(late), absl::Milliseconds(50));
  auto [merged, cancel] = Merge(near, other);
  cancel_other(absl::AbortedError("why"));
  EXPECT_EQ(merged.Cause(), absl::AbortedError("why"));
}

TEST_F(OneMomentTest, AThreadThatWaitedForTheOtherParentFindsItsMergesDone) {
  for (int round = 0; round < 200; ++round) {
    auto [other, cancel_other] = WithCancel(Background());
    auto [merged, cancel] = Merge(Background(), other);
    auto [nested, cancel_nested] = Merge(Background(), merged);
    bool done = false;
    std::thread waiter([&done, o = other, m = merged, n = nested] {
      o.Wait();
      done = n.Done() && m.Done();
    });
    if (round % 2 == 0) std::this_thread::yield();
    cancel_other();
    waiter.join();
    ASSERT_TRUE(done) << "in round " << round;
  }
}

// ---- Threads that poll -----------------------------------------------------

TEST_F(OneMomentTest, AThreadThatSeesTheParentDoneSeesAllItsChildrenDone) {
  constexpr int kChildren = 2000;
  for (int round = 0; round < 20; ++round) {
    auto [parent, cancel] = WithCancel(Background());
    std::vector<Cancellable> children;
    for (int i = 0; i < kChildren; ++i) {
      children.push_back(WithCancel(
          i % 3 == 0 ? children.empty() ? Context(parent) : children.back().ctx
                     : Context(parent)));
    }
    std::atomic<int> alive{-1};
    std::thread onlooker([&, p = parent] {
      while (!p.Done()) {
      }
      int count = 0;
      // Both orders: each parent ends last once.
      for (int i = 0; i < 50; ++i) {
        if (!children[i].ctx.Done()) ++count;
        if (children[kChildren - 1 - i].ctx.Err().ok()) ++count;
      }
      alive = count;
    });
    std::this_thread::yield();
    cancel();
    onlooker.join();
    ASSERT_EQ(alive, 0) << "in round " << round;
  }
}

TEST_F(OneMomentTest, AThreadThatSeesAChildDoneSeesItsEndedParentDone) {
  constexpr int kChildren = 2000;
  for (int round = 0; round < 20; ++round) {
    auto [parent, cancel] = WithCancel(Background());
    std::vector<Cancellable> children;
    for (int i = 0; i < kChildren; ++i) children.push_back(WithCancel(parent));
    std::atomic<bool> first{false}, last{false}, waited{false};
    std::thread onlooker([&, p = parent] {
      while (!children.back().ctx.Done()) {
      }
      first = p.Done() && !p.Err().ok();
      while (!children.front().ctx.Done()) {
      }
      last = p.Done();
    });
    std::thread waiter([&, p = parent] {
      children.back().ctx.Wait();
      waited = p.Done();
    });
    std::this_thread::yield();
    cancel();
    onlooker.join();
    waiter.join();
    ASSERT_TRUE(first && last && waited) << "in round " << round;
  }
}

TEST_F(OneMomentTest, AWaitForATimeOnAContextThatEndsIsNeverCutShort) {
  for (int round = 0; round < 200; ++round) {
    auto [parent, cancel] = WithCancel(Background());
    std::atomic<bool> ended{false};
    std::thread waiter(
        [&, p = parent] { ended = p.WaitFor(absl::InfiniteDuration()); });
    if (round % 2 == 0) std::this_thread::yield();
    cancel();
    waiter.join();
    ASSERT_TRUE(ended) << "in round " << round;
  }
}

TEST_F(OneMomentTest, ACallbackRegisteredWhileItsTreeEndsRunsWhenThatIsDone) {
  constexpr int kDepth = 200;
  for (int round = 0; round < 100; ++round) {
    Cancellable root = WithCancel(Background());
    std::vector<Cancellable> chain;
    chain.push_back(WithCancel(root.ctx));
    for (int i = 1; i < kDepth; ++i) {
      chain.push_back(WithCancel(chain.back().ctx));
    }
    std::atomic<int> wrong{0};
    std::thread registrar([&] {
      for (int i = 0; i < kDepth; ++i) {
        const Context ctx = chain[kDepth - 1 - i].ctx;
        Registration r = AfterFunc(ctx, [&] {
          if (!ctx.Done() || !root.ctx.Done()) ++wrong;
        });
        auto [born, cancel_born] = WithCancel(ctx);
        if (born.Done() && !ctx.Done()) ++wrong;
      }
    });
    std::this_thread::yield();
    root.cancel();
    registrar.join();
    ASSERT_EQ(wrong, 0) << "in round " << round;
  }
}

TEST_F(OneMomentTest, AMergeThatTwoThreadsEndTakesAllBelowItAlong) {
  // The end of `slow` decides how `merged` and `below` will end, and takes
  // long. Meanwhile `quick` ends `merged`.
  constexpr int kOthers = 3000;
  for (int round = 0; round < 30; ++round) {
    auto [slow, cancel_slow] = WithCancel(Background());
    auto [quick, cancel_quick] = WithCancel(Background());
    // Younger children are ended first.
    std::vector<Cancellable> others;
    for (int i = 0; i < kOthers; ++i) others.push_back(WithCancel(slow));
    auto [to_merged, cancel_to_merged] = WithCancel(slow);
    auto [merged, cancel_merged] = Merge(quick, to_merged);
    auto [to_below, cancel_to_below] = WithCancel(slow);
    auto [below, cancel_below] = Merge(merged, to_below);
    std::atomic<bool> go{false};
    std::thread slowly([&, &cancel = cancel_slow] {
      while (!go) {
      }
      cancel();
    });
    std::thread quickly([&, &cancel = cancel_quick, b = to_below] {
      // Not before the end of `slow`.
      while (b.Err().ok() && !go) {
      }
      cancel();
    });
    int wrong = 0;
    go = true;
    while (!slow.Done()) {
      if (merged.Done() && !below.Done()) ++wrong;
      if (quick.Done() && !merged.Done()) ++wrong;
    }
    slowly.join();
    quickly.join();
    ASSERT_EQ(wrong, 0) << "in round " << round;
    EXPECT_TRUE(below.Done());
  }
}

TEST_F(OneMomentTest, ManyWaysUpDoNotTakeForEver) {
  // There are 2^200 paths.
  auto [root, cancel] = WithCancel(Background());
  std::vector<Cancellable> merges;
  merges.push_back(Merge(root, root));
  for (int i = 0; i < 200; ++i) {
    const Context last = merges.back().ctx;
    merges.push_back(Merge(last, last));
  }
  std::atomic<bool> done{false};
  std::thread onlooker([&, last = merges.back().ctx] {
    while (!last.Done()) {
    }
    done = true;
  });
  std::this_thread::yield();
  cancel();
  onlooker.join();
  EXPECT_TRUE(done);
  for (const Cancellable& merge : merges) EXPECT_TRUE(merge.ctx.Done());
}

TEST_F(OneMomentTest, HoldsInAnyGraphWithConcurrentEnds) {
  // A random graph of children and merges. Two threads end parts of it; two
  // others check every edge, parent first.
  constexpr int kNodes = 300;
  std::mt19937 random(11);
  for (int round = 0; round < 25; ++round) {
    struct Edge {
      int above;
      int below;
    };
    std::vector<Cancellable> nodes;
    std::vector<Edge> edges;
    nodes.push_back(WithCancel(Background()));
    nodes.push_back(WithCancel(Background()));
    const auto pick = [&] {
      // Mostly recent nodes, so that the graph gets deep.
      const int size = static_cast<int>(nodes.size());
      const int back = static_cast<int>(random() % 8);
      return random() % 4 == 0 || back >= size
                 ? static_cast<int>(random() % nodes.size())
                 : size - 1 - back;
    };
    while (nodes.size() < kNodes) {
      const int below = static_cast<int>(nodes.size());
      const int a = pick();
      edges.push_back({a, below});
      if (random() % 2 == 0) {
        nodes.push_back(WithCancel(nodes[a].ctx));
      } else {
        const int b = pick();
        edges.push_back({b, below});
        nodes.push_back(Merge(nodes[a].ctx, nodes[b].ctx));
      }
    }
    std::atomic<int> wrong{0};
    std::atomic<bool> go{false};
    const auto look = [&] {
      while (!go) {
      }
      bool all = false;
      while (!all) {
        all = true;
        for (const Edge& edge : edges) {
          const bool above = nodes[edge.above].ctx.Done();
          if (above && !nodes[edge.below].ctx.Done()) ++wrong;
          if (above && nodes[edge.below].ctx.Cause().ok()) ++wrong;
          all = all && above;
        }
      }
    };
    const auto end = [&](int first) {
      while (!go) {
      }
      nodes[first + 20].cancel(absl::AbortedError("part"));
      nodes[first].cancel(absl::AbortedError("root"));
      for (const Edge& edge : edges) {
        // cancel() has returned, so all nodes below are done.
        if (edge.above == first && !nodes[edge.below].ctx.Done()) ++wrong;
      }
    };
    std::vector<std::thread> threads;
    threads.emplace_back(look);
    threads.emplace_back(look);
    threads.emplace_back(end, 0);
    threads.emplace_back(end, 1);
    go = true;
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(wrong, 0) << "in round " << round;
    for (const Cancellable& node : nodes) ASSERT_TRUE(node.ctx.Done());
  }
}

}  // namespace
}  // namespace tether
