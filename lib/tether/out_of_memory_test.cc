// SPDX-License-Identifier: Apache-2.0
//
// Every operation throws std::bad_alloc or copes when memory runs out, and
// nothing hangs, leaks or terminates. Each scenario runs once for each of its
// allocations, and that allocation fails.

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/channel.h"
#include "tether/context.h"
#include "tether/coroutine.h"
#include "tether/current.h"
#include "tether/end_reason.h"
#include "tether/executor.h"
#include "tether/first_of.h"
#include "tether/merge_all.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"
#include "tether/select.h"
#include "tether/stop_token.h"
#include "tether/task_group.h"
#include "tether/testing/failing_allocations.h"
#include "tether/testing/give_up.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

using testing::fail_at;
using testing::live_allocations;

inline constexpr Key<std::string> kText{"text"};
// Too long for a std::string or an AnyInvocable to store it without an
// allocation.
constexpr char kLong[] = "longer than what fits into an object without memory";
struct Large {
  char bytes[64] = {};
};

class OutOfMemoryTest : public testing::LeakCheckedTest {
 protected:
  // Runs `scenario` once for each of its allocations, which then fails, on a
  // thread that has not used tether before. Scenarios check with Require, since
  // EXPECT would allocate.
  //
  // tether's threads may allocate some memory once, at any time, and keep it.
  // So only memory that is left every time is a leak.
  template <typename Scenario>
  void FailEach(const Scenario& scenario) {
    const int64_t nodes = LiveNodes();
    for (int64_t n = 1;; ++n) {
      SCOPED_TRACE(n);
      bool failed = false;
      int64_t left = 1;
      for (int attempt = 0; attempt < 4 && left > 0; ++attempt) {
        const int64_t allocations = live_allocations;
        failed = RunFailing(n, scenario);
        ASSERT_EQ(broken_.exchange(0), 0) << "what was required isn't so";
        // tether's threads release their references a moment later.
        const auto start = std::chrono::steady_clock::now();
        std::chrono::nanoseconds waited(0);
        do {
          std::this_thread::yield();
          waited = std::chrono::steady_clock::now() - start;
          left = live_allocations - allocations;
        } while (
            (LiveNodes() != nodes &&
             absl::FromChrono(waited) < testing::kGiveUp) ||
            (left > 0 && waited < std::chrono::milliseconds(50 << attempt)));
        ASSERT_EQ(LiveNodes(), nodes);
        ASSERT_EQ(LiveCallbacks(), 0);
      }
      ASSERT_LE(left, 0) << "leaked";
      if (!failed) {
        EXPECT_GT(n, 1) << "nothing was injected";
        return;
      }
    }
  }

  // Returns true if there were at least `n` allocations, so that one failed.
  template <typename Scenario>
  static bool RunFailing(int64_t n, const Scenario& scenario) {
    bool failed = false;
    std::thread([&] {
      fail_at = n;
      try {
        scenario();
      } catch (const std::bad_alloc&) {
      }
      failed = fail_at.exchange(0) <= 0;
    }).join();
    return failed;
  }

  void Require(bool condition) {
    if (!condition) ++broken_;
  }

 private:
  std::atomic<int> broken_{0};
};

TEST_F(OutOfMemoryTest, AllocationsAreInjected) {
  // The control for all other tests. It calls operator new by name, since a
  // compiler may omit a new-expression.
  const int64_t before = live_allocations;
  fail_at = 2;
  void* first = ::operator new(8);
  EXPECT_THROW((void)::operator new(8), std::bad_alloc);
  fail_at = 0;
  void* second = ::operator new(8);
  EXPECT_EQ(live_allocations, before + 2);
  ::operator delete(first);
  ::operator delete(second);
  EXPECT_EQ(live_allocations, before);
}

TEST_F(OutOfMemoryTest, MakersThrowAndLeaveNothing) {
  FailEach([&] {
    auto [root, cancel_root] = WithCancel(Background());
    const Context value = WithValue(root, kText, kLong);
    auto [timed, cancel_timed] = WithTimeout(value, absl::Hours(1));
    auto [dated, cancel_dated] = WithDeadline(
        timed, absl::Now() + absl::Minutes(1), absl::AbortedError(kLong));
    const Context detached = WithoutCancel(dated);
    auto [merged, cancel_merged] = Merge(detached, dated);
    Require(merged.Value(kText) != nullptr && !merged.Done());
    Require(merged.Remaining() < absl::Hours(1));
    (void)merged.Deadline();
    (void)merged.DebugString();
    cancel_root(absl::AbortedError(kLong));
    Require(merged.Done() && !merged.Err().ok() && !merged.Cause().ok());
  });
}

TEST_F(OutOfMemoryTest, ErrNeedsNoMemory) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel();
  FailEach([&, c = ctx] {
    const std::unique_ptr<Large> something(new Large);
    try {
      Require(absl::IsCancelled(c.Err()) && absl::IsCancelled(c.Cause()));
    } catch (const std::bad_alloc&) {
      Require(false);
    }
  });
}

TEST_F(OutOfMemoryTest, ContextsEndOnThreadsThatAreNewToTether) {
  FailEach([&] {
    auto made = std::make_unique<Cancellable>(WithCancel(Background()));
    const Context ctx = made->ctx;
    bool ran = false;
    auto registration = std::make_unique<Registration>(
        made->ctx, [&ran, large = Large()] { ran = true; });
    auto stopped = std::make_unique<Registration>(made->ctx, [] {});
    // Allocates nothing, so the first allocation on that thread is tether's.
    const auto drop = [&] {
      stopped.reset();
      made.reset();
      registration.reset();
    };
    std::thread(std::ref(drop)).join();
    Require(ran && ctx.Done());
  });
}

TEST_F(OutOfMemoryTest, CallbacksAreRegisteredOrNot) {
  FailEach([&] {
    auto [ctx, cancel] = WithCancel(Background());
    int ran = 0;
    Registration first = AfterFunc(ctx, [&, large = Large()] { ++ran; });
    Registration throws = AfterFunc(ctx, [] { throw std::bad_alloc(); });
    Registration stopped =
        AfterFunc(ctx, [&, text = std::string(kLong)] { ++ran; });
    Require(stopped.Stop());
    cancel();
    Require(ran == 1);
    Registration late = AfterFunc(ctx, [&, large = Large()] { ++ran; });
    Require(ran == 2);
  });
}

TEST_F(OutOfMemoryTest, WaitsEnd) {
  FailEach([&] {
    auto [ctx, cancel] = WithCancel(Background());
    Require(!ctx.WaitFor(absl::Microseconds(100)));
    Require(!ctx.WaitUntil(absl::Now() + absl::Microseconds(100)));
    auto [timed, cancel_timed] = WithTimeout(ctx, absl::Milliseconds(1));
    timed.Wait();
    Require(timed.Done());
    cancel();
    ctx.Wait();
  });
}

TEST_F(OutOfMemoryTest, SimulatedDeadlinesPass) {
  FailEach([&] {
    testing::SimulatedClock clock;
    auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(1));
    auto [child, cancel_child] = WithCancel(ctx);
    clock.Advance(absl::Seconds(1));
    Require(child.Done() && absl::IsDeadlineExceeded(ctx.Err()));
  });
}

TEST_F(OutOfMemoryTest, ChannelsLoseAndKeepNothing) {
  FailEach([&] {
    Channel<std::string> channel(2);
    auto [ctx, cancel] = WithCancel(Background());
    Require(channel.Send(ctx, kLong).ok());
    Require(channel.Send(ctx, "second").ok());
    Require(channel.Receive(ctx).value() == kLong);
    channel.Close();
    Require(channel.Send(ctx, kLong).code() ==
            absl::StatusCode::kFailedPrecondition);
    Require(channel.Receive(ctx).ok());
    Require(absl::IsOutOfRange(channel.Receive(ctx).status()));
    cancel();
    Require(absl::IsCancelled(channel.Receive(ctx).status()));
  });
}

TEST_F(OutOfMemoryTest, ChannelsThatAreTriedLoseAndKeepNothing) {
  FailEach([&] {
    Channel<std::string> channel(1);
    Require(absl::IsUnavailable(channel.TryReceive().status()));
    Require(channel.TrySend(kLong).ok());
    Require(absl::IsResourceExhausted(channel.TrySend(kLong)));
    Require(channel.TryReceive().value() == kLong);
    channel.Close();
    Require(absl::IsFailedPrecondition(channel.TrySend(kLong)));
    Require(absl::IsOutOfRange(channel.TryReceive().status()));
  });
}

TEST_F(OutOfMemoryTest, ChannelsThatBlockAreWoken) {
  FailEach([&] {
    Channel<std::string> channel(1);
    auto [ctx, cancel] = WithCancel(Background());
    std::thread receiver([&, c = ctx] {
      for (;;) {
        try {
          if (!channel.Receive(c).ok()) return;
        } catch (const std::bad_alloc&) {
        }
      }
    });
    try {
      for (int i = 0; i < 3; ++i) (void)channel.Send(ctx, kLong);
    } catch (const std::bad_alloc&) {
    }
    channel.Close();
    receiver.join();
  });
}

TEST_F(OutOfMemoryTest, SelectsLoseAndKeepNothing) {
  FailEach([&] {
    Channel<std::string> meet(0), buffered(1);
    auto [ctx, cancel] = WithCancel(Background());
    std::thread sender([&, c = ctx] {
      for (bool sent = false; !sent;) {
        try {
          SendTo<std::string> send(meet, kLong);
          const absl::StatusOr<int> chosen = Select(c, {&send});
          sent = chosen.ok() || c.Done();
        } catch (const std::bad_alloc&) {
        }
      }
    });
    try {
      ReceiveFrom<std::string> from_meet(meet), from_buffered(buffered);
      auto [ended, cancel_ended] = WithTimeout(ctx, absl::ZeroDuration());
      EndOf end(ended);
      Require(TrySelect({&from_buffered}) == std::nullopt);
      Require(Select(ctx, {&from_meet, &from_buffered}).value() == 0);
      Require(from_meet.Take().value() == kLong);
      Require(Select(ctx, {&from_buffered, &end}).value() == 1);
    } catch (const std::bad_alloc&) {
    }
    cancel();
    sender.join();
  });
}

TEST_F(OutOfMemoryTest, MergeAllAddsOrThrows) {
  FailEach([&] {
    auto [a, cancel_a] = WithCancel(Background());
    auto [b, cancel_b] = WithCancel(Background());
    MergeAll all(Background());
    bool added = false;
    Require(all.Add(a));
    try {
      added = all.Add(b);
    } catch (const std::bad_alloc&) {
    }
    cancel_a();
    Require(all.context().Done() != added);
    cancel_b();
    Require(all.context().Done());
  });
}

// ---- TaskGroup -------------------------------------------------------------

TEST_F(OutOfMemoryTest, AGroupWhoseTaskFailsIsJoined) {
  FailEach([&] {
    bool failed_by_task = false;
    TaskGroup group(Background());
    group.Go([&](const Context& ctx) { ctx.Wait(); });
    group.Go([&] {
      failed_by_task = true;
      return absl::AbortedError(kLong);
    });
    const absl::Status status = group.Wait();
    Require(!status.ok() && group.context().Done());
    Require(failed_by_task || absl::IsResourceExhausted(status));
    // The reason is kSiblingFailed, unless there was no memory to attach it.
    const EndReason reason = EndReasonOf(group.context());
    Require(reason == EndReason::kSiblingFailed ||
            reason == EndReason::kCancelled);
  });
}

TEST_F(OutOfMemoryTest, AGroupWhoseTaskThrowsIsJoined) {
  FailEach([&] {
    TaskGroup group(Background());
    group.SetLimit(1);
    group.Go([text = std::string(kLong)] { throw std::runtime_error(text); });
    group.Go([] { throw 1; });
    group.Go(std::function<void()>());
    Require(!group.Wait().ok());
    Require(!group.Wait().ok());
  });
}

TEST_F(OutOfMemoryTest, AGroupThatCannotStartATaskIsJoined) {
  FailEach([&] {
    std::vector<std::function<void()>> queue;
    {
      TaskGroup group(Background(), [&](std::function<void()> task) {
        if (queue.size() == 2) return;  // drops the task
        queue.push_back(std::move(task));
      });
      bool all = true;
      try {
        for (int i = 0; i < 3; ++i) group.Go([large = Large()] {});
      } catch (const std::bad_alloc&) {
        all = false;
      }
      for (auto& task : queue) task();
      group.SetLimit(0);
      try {
        group.Go([] {});
      } catch (const std::bad_alloc&) {
      }
      const absl::Status status = group.Wait();
      Require(!all || !status.ok());
    }
  });
}

TEST_F(OutOfMemoryTest, AGroupOfManyThreadsIsJoined) {
  FailEach([&] {
    std::atomic<int> ran{0};
    TaskGroup group(Background());
    group.SetLimit(2);
    int started = 0;
    try {
      for (int i = 0; i < 5; ++i) {
        group.Go([&] { ++ran; });
        ++started;
      }
      (void)group.TryGo([&] { --ran; });
    } catch (const std::bad_alloc&) {
    }
    const absl::Status status = group.Wait();
    Require(!status.ok() || ran >= started - 1);
  });
}

TEST_F(OutOfMemoryTest, FirstOfAnswersOrThrowsAndIsJoined) {
  FailEach([&] {
    std::atomic<int> running{0};
    const auto task = [&](const Context&) -> absl::StatusOr<std::string> {
      ++running;
      std::string answer;
      try {
        answer = kLong;
      } catch (const std::bad_alloc&) {
        --running;
        throw;
      }
      --running;
      return answer;
    };
    try {
      const auto answers = FirstOf(Background(), 2, task, task, task);
      // One allocation fails, so at most one task.
      Require(answers.ok() && answers->size() == 2);
    } catch (const std::bad_alloc&) {
    }
    Require(running == 0);
  });
}

// ---- The rest --------------------------------------------------------------

TEST_F(OutOfMemoryTest, TheAmbientContextIsRestored) {
  FailEach([&] {
    auto [ctx, cancel] = WithCancel(Background());
    try {
      ScopedContext scope(ctx);
      auto bound = Bind(
          Current(),
          [large = Large(), text = std::string(kLong)] { return Current(); });
      const std::function<Context()> copy = bound;
      Require(copy() == ctx);
      auto submit = BindExecutor([](const std::function<void()>& fn) { fn(); });
      submit([&, &ctx = ctx, large = Large()] { Require(Current() == ctx); });
    } catch (const std::bad_alloc&) {
    }
    Require(Current() == Background());
  });
}

TEST_F(OutOfMemoryTest, StopTokensAreMadeOrNot) {
  FailEach([&] {
    auto [ctx, cancel] = WithCancel(Background());
    StopToken token(ctx);
    std::stop_source source;
    auto [both, cancel_both] = WithStopToken(ctx, source.get_token());
    auto [twice, cancel_twice] = WithStopToken(both, token);
    source.request_stop();
    Require(both.Done() && twice.Done());
    cancel();
    Require(token.get().stop_requested());
  });
}

struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { throw; }
  };
};

Detached AwaitEnd(Context ctx, bool& resumed) {
  co_await Done(ctx);
  resumed = true;
}

TEST_F(OutOfMemoryTest, CoroutinesAreResumed) {
  FailEach([&] {
    auto [ctx, cancel] = WithCancel(Background());
    bool resumed = false;
    AwaitEnd(ctx, resumed);
    Require(!resumed);
    cancel();
    Require(resumed);
  });
}

TEST_F(OutOfMemoryTest, PropagatorsThrowOrDrop) {
  const auto make = [] {
    std::vector<std::shared_ptr<const Propagator>> parts;
    parts.push_back(std::make_shared<TraceContextPropagator>());
    parts.push_back(std::make_shared<BaggagePropagator>());
    parts.push_back(std::make_shared<RequestIdPropagator>());
    return std::make_unique<CompositePropagator>(std::move(parts));
  };
  FailEach([&] {
    const auto propagator = make();
    MapCarrier in;
    in.Set("traceparent",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    in.Set("baggage", "user=alice,place=somewhere that is long enough");
    in.Set("x-request-id", kLong);
    const Context ctx = propagator->Extract(in, Background());
    MapCarrier out;
    propagator->Inject(ctx, out);
  });
}

}  // namespace
}  // namespace tether
