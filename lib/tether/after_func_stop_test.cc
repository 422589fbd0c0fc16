// SPDX-License-Identifier: Apache-2.0
//
// Registration::Stop() prevents the callback or waits for it.

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/internal/mutex.h"
#include "tether/testing/leak_checked_test.h"

namespace tether {
namespace {

// An event that ThreadSanitizer can see. It can't see absl::Notification, whose
// library is not built with it.
class Event {
 public:
  void Notify() {
    internal::MutexLock lock(mutex_);
    notified_ = true;
    changed_.NotifyAll();
  }
  void Wait() {
    internal::MutexLock lock(mutex_);
    while (!notified_) changed_.Wait(mutex_);
  }

 private:
  internal::Mutex mutex_;
  internal::CondVar changed_;
  bool notified_ ABSL_GUARDED_BY(mutex_) = false;
};

class AfterFuncStopTest : public testing::LeakCheckedTest {};

TEST_F(AfterFuncStopTest, StopPreventsTheCallAndSaysSoOnce) {
  auto [ctx, cancel] = WithCancel(Background());
  bool ran = false;
  Registration registration = AfterFunc(ctx, [&] { ran = true; });
  EXPECT_TRUE(registration.Stop());
  EXPECT_FALSE(registration.Stop());
  cancel();
  EXPECT_FALSE(registration.Stop());
  EXPECT_FALSE(ran);
}

TEST_F(AfterFuncStopTest, TheDestructorPreventsTheCall) {
  auto [ctx, cancel] = WithCancel(Background());
  bool ran = false;
  {
    Registration registration = AfterFunc(ctx, [&] { ran = true; });
    EXPECT_EQ(LiveCallbacks(), 1);
  }
  EXPECT_EQ(LiveCallbacks(), 0);
  cancel();
  EXPECT_FALSE(ran);
}

TEST_F(AfterFuncStopTest, CapturedObjectsAreGoneWhenStopReturns) {
  auto [ctx, cancel] = WithCancel(Background());
  auto captured = std::make_shared<int>(1);
  Registration live = AfterFunc(ctx, [captured] {});
  Registration on_root = AfterFunc(Background(), [captured] {});
  EXPECT_EQ(captured.use_count(), 3);
  EXPECT_TRUE(live.Stop());
  EXPECT_TRUE(on_root.Stop());
  EXPECT_EQ(captured.use_count(), 1);
}

TEST_F(AfterFuncStopTest, CapturedObjectsAreGoneWhenItHasRun) {
  auto [ctx, cancel] = WithCancel(Background());
  auto captured = std::make_shared<int>(1);
  // One capture fits into the registration, the other does not.
  Registration small = AfterFunc(ctx, [captured] {});
  Registration large = AfterFunc(
      ctx, [captured, bytes = std::array<char, 100>()] { (void)bytes; });
  cancel();
  EXPECT_EQ(captured.use_count(), 1);
  Registration at_once = AfterFunc(ctx, [captured] {});
  EXPECT_EQ(captured.use_count(), 1);
}

TEST_F(AfterFuncStopTest, StopFromWithinReturnsFalse) {
  auto [ctx, cancel] = WithCancel(Background());
  std::optional<Registration> registration;
  bool ran = false;
  registration.emplace(ctx, [&] {
    EXPECT_FALSE(registration->Stop());
    ran = true;
  });
  cancel();
  EXPECT_TRUE(ran);
}

TEST_F(AfterFuncStopTest, MayDestroyItsOwnRegistration) {
  auto [ctx, cancel] = WithCancel(Background());
  auto captured = std::make_shared<int>(1);
  std::optional<Registration> registration;
  int calls = 0;
  Registration runs_after_it = AfterFunc(ctx, [&] { ++calls; });
  registration.emplace(ctx, [&, captured] {
    registration.reset();
    calls += *captured;  // captures live until it returns
  });
  Registration runs_before_it = AfterFunc(ctx, [&] { ++calls; });
  cancel();
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(captured.use_count(), 1);
}

TEST_F(AfterFuncStopTest, MayStopASiblingThatHasNotRun) {
  auto [ctx, cancel] = WithCancel(Background());
  std::optional<Registration> a;
  std::optional<Registration> b;
  int calls = 0;
  bool prevented = false;
  a.emplace(ctx, [&] {
    ++calls;
    prevented |= b->Stop();
  });
  b.emplace(ctx, [&] {
    ++calls;
    prevented |= a->Stop();
  });
  cancel();
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(prevented);
}

TEST_F(AfterFuncStopTest, MayDestroyAllItsSiblings) {
  auto [ctx, cancel] = WithCancel(Background());
  std::vector<std::unique_ptr<Registration>> registrations;
  int calls = 0;
  for (int i = 0; i < 10; ++i) {
    registrations.push_back(std::make_unique<Registration>(ctx, [&] {
      ++calls;
      registrations.clear();
    }));
  }
  cancel();
  EXPECT_EQ(calls, 1);
}

TEST_F(AfterFuncStopTest, StopWaitsForACallOnAnotherThread) {
  auto [ctx, cancel] = WithCancel(Background());
  Event entered;
  std::atomic<bool> stop_called{false};
  std::atomic<bool> over{false};
  auto captured = std::make_shared<int>(1);
  Registration registration = AfterFunc(ctx, [&, captured] {
    entered.Notify();
    while (!stop_called.load()) std::this_thread::yield();
    // The thread is about to call Stop(): give that time to return too early.
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    over = true;
  });
  std::thread canceller([&cancel = cancel] { cancel(); });
  entered.Wait();
  stop_called = true;
  EXPECT_FALSE(registration.Stop());
  EXPECT_TRUE(over.load());
  EXPECT_EQ(captured.use_count(), 1);
  canceller.join();
}

TEST_F(AfterFuncStopTest, StopDoesNotWaitForTheCallOfASibling) {
  auto [ctx, cancel] = WithCancel(Background());
  Event entered;
  Event go_on;
  // Either may run first, and the other can then be stopped.
  std::atomic<int> running{-1};
  std::optional<Registration> registrations[2];
  for (int i = 0; i < 2; ++i) {
    registrations[i].emplace(ctx, [&, i] {
      running = i;
      entered.Notify();
      go_on.Wait();
    });
  }
  std::thread canceller([&cancel = cancel] { cancel(); });
  entered.Wait();
  EXPECT_TRUE(registrations[1 - running.load()]->Stop());
  go_on.Notify();
  canceller.join();
}

TEST_F(AfterFuncStopTest, ManyThreadsMayWaitInStopForOneCall) {
  auto [ctx, cancel] = WithCancel(Background());
  Event entered;
  std::atomic<int> waiting{0};
  std::atomic<bool> over{false};
  Registration registration = AfterFunc(ctx, [&] {
    entered.Notify();
    while (waiting.load() < 4) std::this_thread::yield();
    over = true;
  });
  std::thread canceller([&cancel = cancel] { cancel(); });
  entered.Wait();
  std::vector<std::thread> stoppers;
  for (int i = 0; i < 4; ++i) {
    stoppers.emplace_back([&] {
      ++waiting;
      EXPECT_FALSE(registration.Stop());
      EXPECT_TRUE(over.load());
    });
  }
  for (std::thread& t : stoppers) t.join();
  canceller.join();
}

TEST_F(AfterFuncStopTest, OneOfManyConcurrentStopsPreventsTheCall) {
  for (int round = 0; round < 200; ++round) {
    auto [parent, cancel] = WithCancel(Background());
    // The same on a context that nothing can end.
    const Context ctx = round % 2 == 0 ? parent : Background();
    Registration registration = AfterFunc(ctx, [] {});
    std::atomic<int> prevented{0};
    std::thread other([&] { prevented += registration.Stop() ? 1 : 0; });
    prevented += registration.Stop() ? 1 : 0;
    other.join();
    EXPECT_EQ(prevented.load(), 1);
  }
}

TEST_F(AfterFuncStopTest, ARegistrationAtTheAddressOfADeadOneDoesNotWaitForIt) {
  // The callback destroys its own registration and waits for another thread.
  // That thread makes a registration at the same address, on the same context,
  // and destroys it.
  auto [ctx, cancel] = WithCancel(Background());
  std::optional<Registration> place;
  bool second_ran = false;
  place.emplace(ctx, [&, ctx = ctx] {
    place.reset();
    std::thread other([&] {
      place.emplace(ctx, [&] { second_ran = true; });
      place.reset();
    });
    other.join();
  });
  cancel();
  EXPECT_TRUE(second_ran);
}

}  // namespace
}  // namespace tether
