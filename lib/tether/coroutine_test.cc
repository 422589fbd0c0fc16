// SPDX-License-Identifier: Apache-2.0

#include "tether/coroutine.h"

#include <atomic>
#include <coroutine>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace {

std::atomic<int> allocations{0};

}  // namespace

// Not inlined, since the compiler would warn of a mismatched pair.
ABSL_ATTRIBUTE_NOINLINE void* operator new(size_t size) {
  ++allocations;
  void* p = std::malloc(size);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
// AddressSanitizer's version would not call the operator new above.
ABSL_ATTRIBUTE_NOINLINE void* operator new(size_t size,
                                           const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
ABSL_ATTRIBUTE_NOINLINE void operator delete(void* p) noexcept { std::free(p); }
ABSL_ATTRIBUTE_NOINLINE void operator delete(void* p, size_t) noexcept {
  std::free(p);
}

namespace tether {
namespace {

constexpr int kRounds = 300;

std::atomic<int> live_frames{0};

// A coroutine that starts at once and frees its frame when it is over. It can
// be destroyed while it is suspended.
class Task {
 public:
  struct promise_type {
    promise_type() { ++live_frames; }
    ~promise_type() { --live_frames; }
    Task get_return_object() {
      return Task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };

  void Destroy() { handle_.destroy(); }

 private:
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

class CoroutineTest : public testing::LeakCheckedTest {
 protected:
  void TearDown() override {
    EXPECT_EQ(live_frames, 0) << "coroutines are left";
    LeakCheckedTest::TearDown();
  }
};

Task SetWhenDone(Context ctx, std::atomic<bool>& done) {
  co_await Done(ctx);
  EXPECT_TRUE(ctx.Done());
  done = true;
}

TEST_F(CoroutineTest, IsSuspendedUntilTheContextEnds) {
  auto [ctx, cancel] = WithCancel(Background());
  std::atomic<bool> done{false};
  SetWhenDone(ctx, done);
  EXPECT_FALSE(done);
  cancel();
  EXPECT_TRUE(done);
}

TEST_F(CoroutineTest, IsResumedAtTheDeadline) {
  testing::SimulatedClock clock;
  {
    auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(1));
    std::atomic<bool> done{false};
    SetWhenDone(ctx, done);
    clock.Advance(absl::Milliseconds(999));
    EXPECT_FALSE(done);
    clock.Advance(absl::Milliseconds(1));
    EXPECT_TRUE(done);
  }
}

TEST_F(CoroutineTest, IsNotSuspendedIfTheContextIsDone) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel();
  std::atomic<bool> done{false};
  SetWhenDone(ctx, done);
  EXPECT_TRUE(done);
}

TEST_F(CoroutineTest, IsSuspendedForEverIfNothingCanEndTheContext) {
  std::atomic<bool> done{false};
  Task task = SetWhenDone(Background(), done);
  EXPECT_FALSE(done);
  task.Destroy();
}

TEST_F(CoroutineTest, KeepsTheContextAlive) {
  bool done = false;
  const auto wait = [](Context ctx, bool& flag) -> Task {
    auto awaited = Done(ctx);
    ctx = Background();
    co_await awaited;
    flag = true;
  };
  {
    auto [ctx, cancel] = WithCancel(Background());
    wait(std::move(ctx), done);
    EXPECT_EQ(LiveNodes(), 1);
  }
  EXPECT_TRUE(done);
}

TEST_F(CoroutineTest, AllocatesNothingButTheFrame) {
  auto [ctx, cancel] = WithCancel(Background());
  std::atomic<bool> done{false};
  {
    // The first callback on a thread allocates the counters of that thread.
    const Registration registration = AfterFunc(ctx, [] {});
  }
  const int before = allocations;
  SetWhenDone(ctx, done);
  cancel();
  EXPECT_EQ(allocations - before, 1);
  EXPECT_TRUE(done);
}

TEST_F(CoroutineTest, ResumesOnTheThreadThatCancels) {
  auto [ctx, cancel] = WithCancel(Background());
  std::thread::id resumed_on;
  const auto wait = [](Context context, std::thread::id& where) -> Task {
    co_await Done(context);
    where = std::this_thread::get_id();
  };
  wait(ctx, resumed_on);
  std::thread([&end = cancel, &resumed_on] {
    end();
    EXPECT_EQ(resumed_on, std::this_thread::get_id());
  }).join();
}

// An event loop that the test runs by hand.
class Loop {
 public:
  void Post(std::coroutine_handle<> handle) {
    const std::lock_guard<std::mutex> lock(mutex_);
    handles_.push_back(handle);
  }

  int RunAll() {
    std::vector<std::coroutine_handle<>> handles;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      handles.swap(handles_);
    }
    for (const std::coroutine_handle<> handle : handles) handle();
    return static_cast<int>(handles.size());
  }

 private:
  std::mutex mutex_;
  std::vector<std::coroutine_handle<>> handles_;
};

Task SetWhenDone(Context ctx, std::atomic<bool>& done, Loop& loop) {
  co_await Done(ctx,
                [&loop](std::coroutine_handle<> handle) { loop.Post(handle); });
  done = true;
}

TEST_F(CoroutineTest, IsResumedWhereTheCallerSays) {
  auto [ctx, cancel] = WithCancel(Background());
  Loop loop;
  std::atomic<bool> done{false};
  SetWhenDone(ctx, done, loop);
  cancel();
  EXPECT_FALSE(done);
  EXPECT_EQ(loop.RunAll(), 1);
  EXPECT_TRUE(done);
}

TEST_F(CoroutineTest, ResumeIsNotCalledIfTheContextIsDone) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel();
  Loop loop;
  std::atomic<bool> done{false};
  SetWhenDone(ctx, done, loop);
  EXPECT_TRUE(done);
  EXPECT_EQ(loop.RunAll(), 0);
}

TEST_F(CoroutineTest, ResumeMayOwnThingsAndIsDestroyedOnce) {
  auto [ctx, cancel] = WithCancel(Background());
  auto owned = std::make_shared<int>(0);
  const auto wait = [](Context context, std::shared_ptr<int> count) -> Task {
    auto resume = [count](std::coroutine_handle<> handle) {
      ++*count;
      handle.resume();
    };
    co_await Done(context, std::move(resume));
  };
  wait(ctx, owned);
  cancel();
  EXPECT_EQ(*owned, 1);
  EXPECT_EQ(owned.use_count(), 1);
}

TEST_F(CoroutineTest, ANullResumeIsAsNone) {
  auto [ctx, cancel] = WithCancel(Background());
  bool done = false;
  const auto wait = [](Context context, bool& flag) -> Task {
    co_await Done(context, std::function<void(std::coroutine_handle<>)>());
    flag = true;
  };
  wait(ctx, done);
  cancel();
  EXPECT_TRUE(done);
}

TEST_F(CoroutineTest, SeveralMayAwaitOneContextAndOneSeveral) {
  auto [first, cancel_first] = WithCancel(Background());
  auto [second, cancel_second] = WithCancel(Background());
  std::atomic<int> calls{0};
  const auto wait = [](Context a, Context b, std::atomic<int>& count) -> Task {
    co_await Done(a);
    ++count;
    co_await Done(b);
    ++count;
  };
  for (int i = 0; i < 10; ++i) wait(first, second, calls);
  cancel_first();
  EXPECT_EQ(calls, 10);
  cancel_second();
  EXPECT_EQ(calls, 20);
}

TEST_F(CoroutineTest, ExceptionsOfResumeStayInTheCallback) {
  auto [ctx, cancel] = WithCancel(Background());
  bool done = false;
  const auto wait = [](Context context, bool& flag) -> Task {
    co_await Done(context, [](std::coroutine_handle<> handle) {
      handle.resume();
      throw std::runtime_error("nobody hears this");
    });
    flag = true;
  };
  bool after = false;
  // Callbacks run in reverse order of registration.
  const Registration registration = AfterFunc(ctx, [&after] { after = true; });
  wait(ctx, done);
  cancel();
  EXPECT_TRUE(done);
  EXPECT_TRUE(after);
}

TEST_F(CoroutineTest, DestroyingASuspendedOneDeregistersIt) {
  auto [ctx, cancel] = WithCancel(Background());
  std::atomic<bool> done{false};
  Task task = SetWhenDone(ctx, done);
  EXPECT_EQ(LiveCallbacks(), 1);
  task.Destroy();
  EXPECT_EQ(LiveCallbacks(), 0);
  cancel();
  EXPECT_FALSE(done);
}

TEST_F(CoroutineTest, MayBeDestroyedByAnotherCallbackOfTheSameEnd) {
  auto [ctx, cancel] = WithCancel(Background());
  std::atomic<bool> done{false};
  Task task = SetWhenDone(ctx, done);
  // Callbacks run in reverse order of registration.
  const Registration registration = AfterFunc(ctx, [&task] { task.Destroy(); });
  cancel();
  EXPECT_FALSE(done);
}

TEST_F(CoroutineTest, MayDropTheContextThatItAwaited) {
  auto held = std::make_unique<Cancellable>(WithCancel(Background()));
  const auto wait = [](std::unique_ptr<Cancellable>& owner) -> Task {
    co_await Done(owner->ctx);
    owner.reset();
  };
  wait(held);
  held->cancel();
  EXPECT_EQ(held, nullptr);
}

// ---- Races -----------------------------------------------------------------

// Runs `a` on this thread and `b` on another, at the same time.
template <typename A, typename B>
void Race(A&& a, B&& b) {
  std::atomic<int> ready{0};
  const auto meet = [&ready] {
    ++ready;
    while (ready < 2) std::this_thread::yield();
  };
  std::thread other([&] {
    meet();
    b();
  });
  meet();
  a();
  other.join();
}

TEST_F(CoroutineTest, AwaitingMayRaceWithTheEnd) {
  for (int round = 0; round < kRounds; ++round) {
    auto [ctx, cancel] = WithCancel(Background());
    std::atomic<int> calls{0};
    const auto wait = [](Context context, std::atomic<int>& count) -> Task {
      co_await Done(context);
      EXPECT_TRUE(context.Done());
      ++count;
    };
    Race(
        [&, &context = ctx] {
          for (int i = 0; i < 20; ++i) wait(context, calls);
        },
        [&end = cancel] { end(); });
    EXPECT_EQ(calls, 20);
  }
}

TEST_F(CoroutineTest, ResumingElsewhereMayRaceWithTheEnd) {
  for (int round = 0; round < kRounds; ++round) {
    auto [ctx, cancel] = WithCancel(Background());
    Loop loop;
    std::vector<std::atomic<bool>> done(20);
    Race(
        [&, &context = ctx] {
          for (std::atomic<bool>& flag : done) SetWhenDone(context, flag, loop);
          for (std::atomic<bool>& flag : done) {
            while (!flag) {
              loop.RunAll();
              std::this_thread::yield();
            }
          }
        },
        [&end = cancel] { end(); });
  }
}

TEST_F(CoroutineTest, CoroutinesMayBeDestroyedWhileOthersAreResumed) {
  for (int round = 0; round < kRounds; ++round) {
    auto [parent, cancel_parent] = WithCancel(Background());
    auto [never, cancel_never] = WithCancel(Background());
    std::atomic<bool> done{false}, not_done{false};
    SetWhenDone(parent, done);
    Race(
        [&, &ctx = never] {
          for (int i = 0; i < 20; ++i) {
            Task task = SetWhenDone(ctx, not_done);
            task.Destroy();
          }
        },
        [&end = cancel_parent] { end(); });
    EXPECT_TRUE(done);
    EXPECT_FALSE(not_done);
  }
}

}  // namespace
}  // namespace tether
