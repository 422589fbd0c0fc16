// What threads do to one another, each repeated a hundred times or more. These
// are the tests that ThreadSanitizer runs on.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/clock.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

using testing::SimulatedClock;

constexpr int kRounds = 150;

class RaceTest : public testing::LeakCheckedTest {
 protected:
  // Runs the functions at the same time, each on a thread of its own.
  static void Together(const std::vector<std::function<void()>>& functions) {
    std::atomic<size_t> ready{0};
    std::vector<std::thread> threads;
    for (const auto& f : functions) {
      threads.emplace_back([&] {
        ++ready;
        while (ready.load() < functions.size()) std::this_thread::yield();
        f();
      });
    }
    for (std::thread& t : threads) t.join();
  }

  static void Together(int threads, const std::function<void(int)>& function) {
    std::vector<std::function<void()>> functions;
    for (int i = 0; i < threads; ++i) {
      functions.push_back([&function, i] { function(i); });
    }
    Together(functions);
  }

  // A tree of 100 nodes; node 0 is its top, and node i is below node i / 3.
  static std::vector<Cancellable> MakeTree() {
    std::vector<Cancellable> tree;
    tree.push_back(WithCancel(Background()));
    for (int i = 1; i < 100; ++i) tree.push_back(WithCancel(tree[i / 3].ctx));
    return tree;
  }
};

// ---- Cancel against cancel -------------------------------------------------

TEST_F(RaceTest, WhenAnyOfManyCancelsReturnsAllDescendantsAreDone) {
  for (int round = 0; round < kRounds; ++round) {
    std::vector<Cancellable> tree = MakeTree();
    Together(4, [&](int) {
      tree[0].cancel();
      for (const Cancellable& c : tree) ASSERT_TRUE(c.ctx.Done());
    });
  }
}

TEST_F(RaceTest, CancelsOfNodesAboveAndBelowOneAnotherKeepTheirPromise) {
  for (int round = 0; round < kRounds; ++round) {
    std::vector<Cancellable> tree = MakeTree();
    // Nodes 0, 1, 4 and 13 lie on one path.
    const int path[] = {0, 1, 4, 13};
    Together(4, [&](int thread) {
      const int cancelled = path[thread];
      tree[cancelled].cancel();
      for (int i = cancelled; i < 100; ++i) {
        int up = i;
        while (up > cancelled) up /= 3;
        if (up == cancelled) {
          ASSERT_TRUE(tree[i].ctx.Done()) << i;
        }
      }
    });
  }
}

TEST_F(RaceTest, AReasonOnceSeenNeverChanges) {
  for (int round = 0; round < kRounds; ++round) {
    std::vector<Cancellable> tree = MakeTree();
    Together({
        [&] { tree[0].cancel(absl::AbortedError("0")); },
        [&] { tree[4].cancel(absl::AbortedError("4")); },
        [&] {
          const Context ctx = tree[13].ctx;
          while (!ctx.Done()) std::this_thread::yield();
          const absl::Status cause = ctx.Cause();
          ASSERT_FALSE(cause.ok());
          for (int i = 0; i < 100; ++i) ASSERT_EQ(ctx.Cause(), cause);
        },
    });
  }
}

TEST_F(RaceTest, EachCallbackOfATreeRunsOnceWhoeverCancels) {
  for (int round = 0; round < kRounds; ++round) {
    std::vector<Cancellable> tree = MakeTree();
    std::vector<std::atomic<int>> calls(tree.size());
    std::vector<std::unique_ptr<Registration>> registrations;
    for (size_t i = 0; i < tree.size(); ++i) {
      registrations.push_back(std::make_unique<Registration>(
          tree[i].ctx, [&calls, i] { ++calls[i]; }));
    }
    Together(4, [&](int thread) {
      for (int i = 99 - thread; i >= 0; i -= 4) tree[i].cancel();
    });
    for (const auto& count : calls) ASSERT_EQ(count.load(), 1);
  }
}

// ---- Cancel against birth and death ----------------------------------------

TEST_F(RaceTest, AChildMadeWhileItsParentIsCancelledEndsToo) {
  for (int round = 0; round < kRounds; ++round) {
    Cancellable parent = WithCancel(Background());
    std::vector<Cancellable> children[2];
    Together({
        [&] {
          std::this_thread::yield();
          parent.cancel(absl::AbortedError("parent"));
        },
        [&] {
          for (int i = 0; i < 20; ++i) {
            children[0].push_back(WithCancel(parent.ctx));
            children[0].push_back(WithTimeout(parent.ctx, absl::Hours(1)));
          }
        },
        [&] {
          for (int i = 0; i < 20; ++i) {
            children[1].push_back(Merge(parent.ctx, Background()));
            children[1].push_back(Merge(Background(), parent.ctx));
          }
        },
    });
    for (const auto& some : children) {
      for (const Cancellable& c : some) {
        ASSERT_EQ(c.ctx.Cause(), absl::AbortedError("parent"));
      }
    }
  }
}

TEST_F(RaceTest, ChildrenMayGoWhileTheirParentIsCancelled) {
  for (int round = 0; round < kRounds; ++round) {
    Cancellable parent = WithCancel(Background());
    std::vector<Cancellable> children[3];
    for (auto& some : children) {
      for (int i = 0; i < 30; ++i) {
        some.push_back(WithCancel(i % 3 == 0 ? parent.ctx : some.back().ctx));
      }
    }
    Together({
        [&] { parent.cancel(); },
        [&] { children[0].clear(); },
        [&] {
          while (!children[1].empty()) children[1].pop_back();
        },
        [&] {
          for (Cancellable& c : children[2]) {
            c.ctx = Context();
            c.cancel = CancelFunc();
          }
        },
    });
  }
}

TEST_F(RaceTest, TheLastContextMayGoWhileItIsCancelled) {
  for (int round = 0; round < kRounds * 4; ++round) {
    std::optional<Cancellable> parent = WithCancel(Background());
    std::optional<Cancellable> child = WithCancel(parent->ctx);
    std::optional<Context> copy = child->ctx;
    Together({
        [&] { parent.reset(); },
        [&] { child.reset(); },
        [&] { copy.reset(); },
    });
  }
}

TEST_F(RaceTest, ManyThreadsMakeAndDropChildrenOfOneParent) {
  Cancellable parent = WithTimeout(Background(), absl::Hours(1));
  Together(4, [&](int) {
    for (int i = 0; i < 1000; ++i) {
      Cancellable child = WithCancel(parent.ctx);
      Cancellable grandchild = WithCancel(child.ctx);
      ASSERT_FALSE(grandchild.ctx.Done());
    }
  });
  EXPECT_EQ(LiveNodes(), 1);
}

// ---- Cancel against callbacks ----------------------------------------------

TEST_F(RaceTest, ACallbackEitherRunsOrIsPreventedByStop) {
  int ran_first = 0;
  for (int round = 0; round < kRounds * 2; ++round) {
    Cancellable ctx = WithCancel(Background());
    std::atomic<int> calls{0};
    std::atomic<bool> running{false};
    bool prevented = false;
    Registration registration = AfterFunc(ctx.ctx, [&] {
      running = true;
      ++calls;
      std::this_thread::yield();
      running = false;
    });
    Together({
        [&] { ctx.cancel(); },
        [&] {
          prevented = registration.Stop();
          ASSERT_FALSE(running.load());
        },
    });
    ASSERT_EQ(calls.load(), prevented ? 0 : 1);
    ran_first += calls.load();
  }
  RecordProperty("callbacks_that_ran", ran_first);
}

TEST_F(RaceTest, WhatACallbackUsesMayGoAfterItsRegistration) {
  for (int round = 0; round < kRounds * 2; ++round) {
    Cancellable ctx = WithCancel(Background());
    auto used = std::make_unique<int>(0);
    auto registration =
        std::make_unique<Registration>(ctx.ctx, [p = used.get()] { ++*p; });
    Together({
        [&] { ctx.cancel(); },
        [&] {
          registration.reset();
          used.reset();
        },
    });
  }
}

TEST_F(RaceTest, RegistrationsMadeDuringTheCancelAllRun) {
  for (int round = 0; round < kRounds; ++round) {
    Cancellable parent = WithCancel(Background());
    Cancellable child = WithCancel(parent.ctx);
    std::atomic<int> calls{0};
    std::vector<std::unique_ptr<Registration>> registrations[2];
    const auto enroll = [&](int i) {
      for (int n = 0; n < 20; ++n) {
        registrations[i].push_back(std::make_unique<Registration>(
            n % 2 == 0 ? parent.ctx : child.ctx, [&] { ++calls; }));
      }
    };
    Together(
        {[&] { parent.cancel(); }, [&] { enroll(0); }, [&] { enroll(1); }});
    EXPECT_EQ(calls.load(), 40);
  }
}

TEST_F(RaceTest, CallbacksThatStopOneAnotherLeaveOneStandingInEachTree) {
  for (int round = 0; round < kRounds; ++round) {
    Cancellable ctx = WithCancel(Background());
    std::optional<Registration> registrations[8];
    std::atomic<int> calls{0};
    for (auto& registration : registrations) {
      registration.emplace(ctx.ctx, [&] {
        ++calls;
        for (auto& other : registrations) other->Stop();
      });
    }
    Together({
        [&] { ctx.cancel(); },
        [&] { ctx.cancel(); },
    });
    ASSERT_EQ(calls.load(), 1);
  }
}

// ---- Deadlines on the real clock -------------------------------------------

TEST_F(RaceTest, ATimerThatFiresAgainstACancelGivesOneReason) {
  for (int round = 0; round < kRounds; ++round) {
    std::atomic<int> calls{0};
    Cancellable ctx = WithTimeout(Background(), absl::Microseconds(round * 10));
    Cancellable child = WithCancel(ctx.ctx);
    Registration registration = AfterFunc(child.ctx, [&] { ++calls; });
    absl::Status seen[2];
    Together({
        [&] {
          while (ctx.ctx.Remaining() > absl::Microseconds(5)) {
          }
          ctx.cancel();
          seen[0] = ctx.ctx.Err();
        },
        [&] {
          while (!ctx.ctx.Done()) {
          }
          seen[1] = ctx.ctx.Err();
          while (!child.ctx.Done()) {
          }
          const absl::Status err = child.ctx.Err();
          for (int i = 0; i < 10; ++i) ASSERT_EQ(child.ctx.Err(), err);
        },
    });
    ASSERT_EQ(seen[0], seen[1]);
    ASSERT_EQ(ctx.ctx.Err(), seen[0]);
    // The one who ended it may still be at work on its callbacks.
    while (calls.load() == 0) std::this_thread::yield();
    EXPECT_FALSE(registration.Stop());
    ASSERT_EQ(calls.load(), 1);
  }
}

TEST_F(RaceTest, TimersMayFireWhileTheirContextsGo) {
  Together(3, [&](int thread) {
    for (int i = 0; i < kRounds * 4; ++i) {
      std::optional<Cancellable> ctx =
          WithTimeout(Background(), absl::Microseconds(i * (thread + 1)));
      Cancellable child = WithTimeout(ctx->ctx, absl::Microseconds(100));
      std::this_thread::yield();
      ctx.reset();
    }
  });
}

TEST_F(RaceTest, TimersThatFireTogetherMayLoseTheirContextsMeanwhile) {
  for (int round = 0; round < kRounds; ++round) {
    SimulatedClock clock;
    std::vector<Cancellable> contexts;
    for (int i = 0; i < 200; ++i) {
      contexts.push_back(WithTimeout(Background(clock), absl::Seconds(1)));
    }
    Together({
        [&] { clock.Advance(absl::Seconds(2)); },
        [&] {
          // Time comes to them from one end, and this from the other.
          while (!contexts.empty()) {
            if (round % 2 == 0) {
              contexts.pop_back();
            } else {
              contexts.erase(contexts.begin());
            }
          }
        },
    });
    ASSERT_EQ(clock.armed_timers(), 0u);
  }
}

TEST_F(RaceTest, TimeoutsChurnInFourThreads) {
  auto [parent, cancel] = WithTimeout(Background(), absl::Hours(1));
  Together(4, [&, parent = parent](int thread) {
    std::vector<Cancellable> window(16);
    for (int i = 0; i < 4000; ++i) {
      window[i % 16] = WithTimeout(
          parent, absl::Microseconds((i * 7919 + thread) % 1'000'000));
    }
  });
  EXPECT_EQ(LiveNodesOnceFired(1), 1);
}

TEST_F(RaceTest, EveryoneWhoWaitsForADeadlineWakes) {
  for (int round = 0; round < 20; ++round) {
    Cancellable ctx = WithTimeout(Background(), absl::Milliseconds(1));
    Together(8, [&](int) {
      ctx.ctx.Wait();
      ASSERT_TRUE(absl::IsDeadlineExceeded(ctx.ctx.Err()));
    });
  }
}

TEST_F(RaceTest, EveryoneWhoWaitsForACancelWakes) {
  for (int round = 0; round < kRounds; ++round) {
    Cancellable parent = WithCancel(Background());
    Cancellable child = WithCancel(parent.ctx);
    Together(8, [&](int thread) {
      if (thread == 0) return parent.cancel();
      const Context& ctx = thread % 2 == 0 ? parent.ctx : child.ctx;
      if (thread < 5) {
        ctx.Wait();
      } else {
        ASSERT_TRUE(ctx.WaitFor(absl::Hours(1)));
      }
      ASSERT_TRUE(ctx.Done());
    });
  }
}

TEST_F(RaceTest, ShortWaitsThatEndAtTheSameTimeAsTheContext) {
  for (int round = 0; round < kRounds; ++round) {
    Cancellable ctx = WithCancel(Background());
    Together({
        [&] {
          while (!ctx.ctx.WaitFor(absl::Microseconds(50))) {
          }
        },
        [&] {
          const absl::Time end = absl::Now() + absl::Microseconds(300);
          while (absl::Now() < end) {
          }
          ctx.cancel();
        },
    });
  }
}

TEST_F(RaceTest, ASimulatedClockMayBeAdvancedWhileContextsComeAndGo) {
  SimulatedClock clock;
  std::atomic<bool> over{false};
  Together({
      [&] {
        while (!over.load()) clock.Advance(absl::Milliseconds(1));
      },
      [&] {
        for (int i = 0; i < 3000; ++i) {
          Cancellable a =
              WithTimeout(Background(clock), absl::Milliseconds(150));
          Cancellable b = WithTimeout(a.ctx, absl::Milliseconds(i % 150));
          Cancellable c = WithCancel(b.ctx);
          if (i % 3 == 0) a.cancel();
          if (i % 3 == 1) c.ctx.Wait();
        }
        over = true;
      },
  });
  EXPECT_EQ(clock.armed_timers(), 0u);
}

// ---- Merge -----------------------------------------------------------------

TEST_F(RaceTest, AMergeEndsOnceWhenBothSidesEndAtOnce) {
  for (int round = 0; round < kRounds * 2; ++round) {
    Cancellable primary = WithCancel(Background());
    Cancellable other = WithCancel(Background());
    Cancellable merged = Merge(primary.ctx, other.ctx);
    std::atomic<int> calls{0};
    Registration registration = AfterFunc(merged.ctx, [&] { ++calls; });
    Together({
        [&] { primary.cancel(absl::AbortedError("primary")); },
        [&] { other.cancel(absl::AbortedError("other")); },
        [&] {
          if (round % 2 == 0) merged.cancel();
        },
    });
    ASSERT_TRUE(merged.ctx.Done());
    ASSERT_EQ(calls.load(), 1);
  }
}

TEST_F(RaceTest, AMergeMayBeMadeAndGoWhileBothSidesEnd) {
  for (int round = 0; round < kRounds * 2; ++round) {
    Cancellable primary = WithCancel(Background());
    Cancellable other = WithCancel(Background());
    Together({
        [&] { primary.cancel(); },
        [&] { other.cancel(); },
        [&] {
          for (int i = 0; i < 5; ++i) {
            (void)Merge(primary.ctx, other.ctx);
          }
          Cancellable merged = Merge(primary.ctx, other.ctx);
          Cancellable below = Merge(other.ctx, merged.ctx);
          merged.ctx.Wait();
          below.ctx.Wait();
        },
    });
  }
}

TEST_F(RaceTest, CrosswiseMergesThatEndAtOnceDoNotDeadlock) {
  for (int round = 0; round < kRounds; ++round) {
    Cancellable a = WithCancel(Background());
    Cancellable b = WithCancel(Background());
    std::vector<Cancellable> merges;
    merges.push_back(Merge(a.ctx, b.ctx));
    for (int i = 0; i < 30; ++i) {
      const Context& last = merges.back().ctx;
      const Context& side = i % 2 == 0 ? a.ctx : b.ctx;
      merges.push_back(i % 3 == 0 ? Merge(last, side) : Merge(side, last));
    }
    std::atomic<int> calls{0};
    std::vector<std::unique_ptr<Registration>> registrations;
    for (const Cancellable& m : merges) {
      registrations.push_back(
          std::make_unique<Registration>(m.ctx, [&] { ++calls; }));
    }
    Together({
        [&] { a.cancel(); },
        [&] { b.cancel(); },
        [&] { merges[15].cancel(); },
        [&] { registrations[20]->Stop(); },
    });
    registrations.clear();
    for (const Cancellable& m : merges) ASSERT_TRUE(m.ctx.Done());
    ASSERT_GE(calls.load(), 30);
  }
}

// ---- Size ------------------------------------------------------------------

TEST_F(RaceTest, ADeepChainIsCancelledAndFreedWithoutMuchStack) {
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
  // Now only the leaf keeps the chain.
  chain.clear();
  EXPECT_EQ(LiveNodes(), kDepth);
  leaf = Context();
  EXPECT_EQ(LiveNodes(), 0);
}

TEST_F(RaceTest, ADeepChainOfValuesIsFreedWithoutMuchStack) {
  static constexpr Key<int> kNumber{"number"};
  Context leaf;
  for (int i = 0; i < 100'000; ++i) leaf = WithValue(leaf, kNumber, i);
  EXPECT_EQ(*leaf.Value(kNumber), 99'999);
}

TEST_F(RaceTest, ADeepChainMayGoFromTheTopOrFromTheBottom) {
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

TEST_F(RaceTest, AWideTreeIsCancelledWhileItsLeavesGo) {
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
