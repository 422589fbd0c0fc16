// SPDX-License-Identifier: Apache-2.0

#include "tether/task_group.h"

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"
#include "tether/testing/task_group_tools.h"

namespace tether {
namespace {

using testing::Gate;
using testing::RunAtOnce;
using testing::WithoutReason;

const absl::Status kOk = absl::OkStatus();
const absl::Status kFailed = absl::AbortedError("failed");
const absl::Status kCancelled = absl::CancelledError("context canceled");

inline constexpr Key<int> kNumber{"number"};

class TaskGroupTest : public testing::LeakCheckedTest {};

void AwaitEnd(const Context& ctx) { ctx.Wait(); }

// ---- Tasks and their results -----------------------------------------------

TEST_F(TaskGroupTest, WaitReturnsOkWhenAllTasksDo) {
  TaskGroup group(Background());
  std::atomic<int> calls{0};
  for (int i = 0; i < 10; ++i) {
    group.Go([&calls](const Context&) {
      ++calls;
      return absl::OkStatus();
    });
  }
  EXPECT_EQ(group.Wait(), kOk);
  EXPECT_EQ(calls, 10);
}

TEST_F(TaskGroupTest, WithoutTasksWaitReturnsOkAtOnce) {
  TaskGroup group(Background());
  EXPECT_EQ(group.Wait(), kOk);
}

TEST_F(TaskGroupTest, TheFirstErrorEndsTheOthersAndIsReturned) {
  TaskGroup group(Background());
  absl::Status seen;
  group.Go([&seen](const Context& ctx) {
    ctx.Wait();
    seen = WithoutReason(ctx.Cause());
    return absl::DataLossError("later");
  });
  group.Go([] { return kFailed; });
  EXPECT_EQ(group.Wait(), kFailed);
  EXPECT_EQ(seen, kFailed);
  EXPECT_EQ(group.context().Err(), kCancelled);
  EXPECT_EQ(WithoutReason(group.context().Cause()), kFailed);
}

TEST_F(TaskGroupTest, ATaskThatSucceedsEndsNobody) {
  TaskGroup group(Background(), RunAtOnce);
  group.Go([] { return absl::OkStatus(); });
  EXPECT_FALSE(group.context().Done());
  EXPECT_EQ(group.Wait(), kOk);
}

TEST_F(TaskGroupTest, WaitEndsTheContext) {
  TaskGroup group(Background());
  EXPECT_FALSE(group.context().Done());
  EXPECT_EQ(group.Wait(), kOk);
  EXPECT_EQ(group.context().Err(), kCancelled);
  EXPECT_EQ(group.context().Cause(), kCancelled);
}

TEST_F(TaskGroupTest, TakesAllKindsOfCallables) {
  TaskGroup group(Background());
  std::atomic<int> calls{0};
  const std::function<void()> copied = [&] { ++calls; };
  group.Go(copied);
  group.Go(std::function<absl::Status(const Context&)>([&](const Context&) {
    ++calls;
    return absl::OkStatus();
  }));
  group.Go([&, only = std::make_unique<int>(1)] { calls += *only; });
  group.Go([&](Context) { ++calls; });
  group.Go(absl::AnyInvocable<void(const Context&) &&>(
      [&](const Context&) { ++calls; }));
  group.Go([&](auto&&...) { ++calls; });
  group.Go(AwaitEnd);
  group.Go(&AwaitEnd);
  group.Go([&group] {
    while (group.TryGo([] { return kFailed; })) {
      if (group.context().Done()) break;
    }
  });
  EXPECT_EQ(group.Wait(), kFailed);
  EXPECT_EQ(calls, 6);
}

TEST_F(TaskGroupTest, AnExceptionIsAnError) {
  TaskGroup group(Background());
  group.Go([] { throw std::runtime_error("out of cheese"); });
  EXPECT_EQ(group.Wait(), absl::InternalError("task threw: out of cheese"));
  EXPECT_EQ(WithoutReason(group.context().Cause()),
            absl::InternalError("task threw: out of cheese"));
}

TEST_F(TaskGroupTest, AnExceptionOfAnyTypeIsAnError) {
  TaskGroup group(Background());
  group.Go([] { throw 42; });
  EXPECT_EQ(group.Wait(),
            absl::InternalError("task threw: not a std::exception"));
}

TEST_F(TaskGroupTest, ANullTaskFailsTheGroup) {
  const auto rejects = [](auto null_task) {
    TaskGroup group(Background());
    group.Go(std::move(null_task));
    EXPECT_EQ(group.Wait(), absl::InvalidArgumentError("TaskGroup: null task"));
  };
  rejects(std::function<void()>());
  rejects(std::function<absl::Status(const Context&)>());
  rejects(absl::AnyInvocable<void() &&>());
  rejects(absl::AnyInvocable<absl::Status(const Context&) &&>());
  rejects(static_cast<void (*)(const Context&)>(nullptr));
}

TEST_F(TaskGroupTest, CapturesAreDestroyedWhenWaitReturns) {
  auto captured = std::make_shared<int>(0);
  TaskGroup group(Background());
  for (int i = 0; i < 20; ++i) group.Go([captured] {});
  EXPECT_EQ(group.Wait(), kOk);
  EXPECT_EQ(captured.use_count(), 1);
}

TEST_F(TaskGroupTest, ManyRacingErrorsAgreeOnTheFirst) {
  for (int round = 0; round < 50; ++round) {
    TaskGroup group(Background());
    Gate start;
    for (int i = 0; i < 8; ++i) {
      group.Go([&start, i] {
        start.Pass();
        return absl::AbortedError(std::to_string(i));
      });
    }
    start.Open();
    const absl::Status first = group.Wait();
    EXPECT_EQ(first.code(), absl::StatusCode::kAborted);
    EXPECT_EQ(WithoutReason(group.context().Cause()), first);
    EXPECT_EQ(group.Wait(), first);
  }
}

// ---- The context -----------------------------------------------------------

TEST_F(TaskGroupTest, TheContextIsAChildOfTheParent) {
  auto [parent, cancel] = WithCancel(WithValue(Background(), kNumber, 7));
  TaskGroup group(parent);
  EXPECT_EQ(*group.context().Value(kNumber), 7);
  absl::Status seen;
  group.Go([&seen](const Context& ctx) {
    ctx.Wait();
    seen = ctx.Cause();
  });
  cancel(kFailed);
  EXPECT_EQ(group.Wait(), kOk);
  EXPECT_EQ(seen, kFailed);
}

TEST_F(TaskGroupTest, AnErrorDoesNotReachTheParent) {
  auto [parent, cancel] = WithCancel(Background());
  TaskGroup group(parent);
  group.Go([] { return kFailed; });
  EXPECT_EQ(group.Wait(), kFailed);
  EXPECT_FALSE(parent.Done());
}

TEST_F(TaskGroupTest, TheContextIsCurrentInTasks) {
  TaskGroup group(Background());
  bool current = false;
  group.Go([&] { current = Current() == group.context(); });
  EXPECT_EQ(group.Wait(), kOk);
  EXPECT_TRUE(current);

  TaskGroup at_once(Background(), RunAtOnce);
  at_once.Go([&](const Context& ctx) { current = Current() == ctx; });
  EXPECT_TRUE(current);
  EXPECT_EQ(Current(), Background());
}

TEST_F(TaskGroupTest, TasksOfADoneParentStillRun) {
  auto [parent, cancel] = WithCancel(Background());
  cancel(kFailed);
  TaskGroup group(parent);
  EXPECT_TRUE(group.context().Done());
  absl::Status seen;
  group.Go([&seen](const Context& ctx) { seen = ctx.Cause(); });
  EXPECT_EQ(group.Wait(), kOk);
  EXPECT_EQ(seen, kFailed);
}

TEST_F(TaskGroupTest, TheParentsDeadlineEndsTasks) {
  testing::SimulatedClock clock;
  {
    auto [parent, cancel] = WithTimeout(Background(clock), absl::Seconds(1));
    TaskGroup group(parent);
    group.Go([](const Context& ctx) {
      ctx.Wait();
      return ctx.Err();
    });
    clock.Advance(absl::Seconds(1));
    EXPECT_EQ(group.Wait(),
              absl::DeadlineExceededError("context deadline exceeded"));
  }
}

TEST_F(TaskGroupTest, TheDestructorCancelsAndJoins) {
  auto captured = std::make_shared<int>(0);
  std::atomic<int> over{0};
  {
    TaskGroup group(Background());
    for (int i = 0; i < 5; ++i) {
      group.Go([&over, captured](const Context& ctx) {
        ctx.Wait();
        ++over;
      });
    }
  }
  EXPECT_EQ(over, 5);
  EXPECT_EQ(captured.use_count(), 1);
}

// ---- After Wait, and in tasks ----------------------------------------------

TEST_F(TaskGroupTest, TasksAfterWaitRunWithAnEndedContext) {
  TaskGroup group(Background());
  group.Go([] { return kFailed; });
  EXPECT_EQ(group.Wait(), kFailed);
  bool done = false;
  group.Go([&done](const Context& ctx) {
    done = ctx.Done();
    return absl::DataLossError("later");
  });
  EXPECT_EQ(group.Wait(), kFailed);
  EXPECT_TRUE(done);
}

TEST_F(TaskGroupTest, WaitIsSafeFromSeveralThreads) {
  TaskGroup group(Background());
  Gate gate;
  group.Go([&] {
    gate.Pass();
    return kFailed;
  });
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&group] { EXPECT_EQ(group.Wait(), kFailed); });
  }
  gate.Open();
  for (std::thread& t : waiters) t.join();
}

void Spread(TaskGroup& group, std::atomic<int>& calls, int depth) {
  ++calls;
  if (depth == 0) return;
  for (int i = 0; i < 2; ++i) {
    group.Go([&group, &calls, depth] { Spread(group, calls, depth - 1); });
  }
}

TEST_F(TaskGroupTest, TasksMayStartTasksAndWaitSeesThemAll) {
  TaskGroup group(Background());
  std::atomic<int> calls{0};
  group.Go([&] { Spread(group, calls, 7); });
  EXPECT_EQ(group.Wait(), kOk);
  EXPECT_EQ(calls, 255);
}

TEST_F(TaskGroupTest, WaitInATaskIsRejected) {
  const auto rejects = [](TaskGroup& group) {
    absl::Status result;
    group.Go([&] {
      result = group.Wait();
      EXPECT_FALSE(group.context().Done());
    });
    EXPECT_EQ(group.Wait(), kOk);
    EXPECT_EQ(result.code(), absl::StatusCode::kFailedPrecondition);
  };
  TaskGroup on_threads(Background());
  rejects(on_threads);
  TaskGroup at_once(Background(), RunAtOnce);
  rejects(at_once);
}

TEST_F(TaskGroupTest, ATaskMayWaitForAnotherGroup) {
  TaskGroup outer(Background());
  std::atomic<int> calls{0};
  for (int i = 0; i < 4; ++i) {
    outer.Go([&calls](const Context& ctx) {
      TaskGroup inner(ctx);
      for (int j = 0; j < 4; ++j) inner.Go([&calls] { ++calls; });
      inner.Go([] { return kFailed; });
      return inner.Wait();
    });
  }
  EXPECT_EQ(outer.Wait(), kFailed);
  EXPECT_EQ(calls, 16);
}

using TaskGroupDeathTest = TaskGroupTest;

TEST_F(TaskGroupDeathTest, DestroyingItInATaskAborts) {
  const auto destroy_in_task = [] {
    auto* group = new TaskGroup(Background(), RunAtOnce);
    group->Go([group] { delete group; });
  };
  EXPECT_DEATH(destroy_in_task(), "destroyed by one of its own tasks");
}

// ---- Many ------------------------------------------------------------------

TEST_F(TaskGroupTest, ThousandsOfTasks) {
  TaskGroup group(Background());
  group.SetLimit(16);
  std::atomic<int> calls{0};
  for (int i = 0; i < 5000; ++i) group.Go([&calls] { ++calls; });
  EXPECT_EQ(group.Wait(), kOk);
  EXPECT_EQ(calls, 5000);
}

TEST_F(TaskGroupTest, ErrorsGoAndTheEndOfTheParentMayRace) {
  for (int round = 0; round < 100; ++round) {
    auto [parent, cancel] = WithCancel(Background());
    std::atomic<int> calls{0};
    {
      TaskGroup group(parent);
      group.SetLimit(3);
      std::thread canceller(
          [&end = cancel] { end(absl::DataLossError("parent")); });
      std::thread goer([&] {
        for (int i = 0; i < 10; ++i) group.Go([&] { ++calls; });
      });
      for (int i = 0; i < 10; ++i) {
        group.Go([&, i] {
          ++calls;
          return i % 3 == 0 ? kFailed : absl::OkStatus();
        });
      }
      canceller.join();
      goer.join();
      EXPECT_EQ(group.Wait(), kFailed);
      const absl::Status cause = WithoutReason(group.context().Cause());
      EXPECT_TRUE(cause == kFailed || cause == absl::DataLossError("parent"));
    }
    EXPECT_EQ(calls, 20);
  }
}

}  // namespace
}  // namespace tether
