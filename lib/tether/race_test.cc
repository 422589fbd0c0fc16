// SPDX-License-Identifier: Apache-2.0
//
// Threads that end, observe and destroy contexts at the same time. Each race is
// repeated a hundred times or more. Run these tests with ThreadSanitizer.

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
#include "tether/testing/together.h"

namespace tether {
namespace {

using testing::Together;

constexpr int kRounds = 150;

class RaceTest : public testing::LeakCheckedTest {
 protected:
  // A tree of 100 nodes. Node 0 is the root; node i is a child of node i / 3.
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
    // Nodes 0, 1, 4 and 13 are on one path.
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

TEST_F(RaceTest, EachCallbackOfATreeRunsOnceWhicheverThreadCancels) {
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

TEST_F(RaceTest, ObjectsThatACallbackUsesMayBeDestroyedAfterItsRegistration) {
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

TEST_F(RaceTest, AMergeMayBeMadeAndDestroyedWhileBothSidesEnd) {
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

}  // namespace
}  // namespace tether
