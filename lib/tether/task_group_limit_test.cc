// SPDX-License-Identifier: Apache-2.0
//
// The limit on how many tasks of a TaskGroup run at a time.

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/task_group.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/task_group_tools.h"

namespace tether {
namespace {

using testing::Gate;
using testing::ManualPool;
using testing::RunAtOnce;
using testing::WithoutReason;

const absl::Status kOk = absl::OkStatus();

class TaskGroupLimitTest : public testing::LeakCheckedTest {};

TEST_F(TaskGroupLimitTest, NeverMoreTasksThanTheLimitAtATime) {
  for (const int limit : {1, 3, 10}) {
    TaskGroup group(Background());
    group.SetLimit(limit);
    std::atomic<int> now{0}, most{0}, calls{0};
    for (int i = 0; i < 200; ++i) {
      group.Go([&] {
        const int n = ++now;
        int seen = most;
        while (n > seen && !most.compare_exchange_weak(seen, n)) {
        }
        ++calls;
        std::this_thread::yield();
        --now;
      });
    }
    EXPECT_EQ(group.Wait(), kOk);
    EXPECT_EQ(calls, 200);
    EXPECT_LE(most, limit);
  }
}

TEST_F(TaskGroupLimitTest, GoBlocksUntilASlotIsFree) {
  TaskGroup group(Background());
  group.SetLimit(1);
  Gate gate;
  std::atomic<bool> first_over{false};
  group.Go([&] {
    gate.Pass();
    first_over = true;
  });
  std::thread opener([&] { gate.Open(); });
  bool was_over = false;
  group.Go([&] { was_over = first_over; });
  opener.join();
  EXPECT_EQ(group.Wait(), kOk);
  EXPECT_TRUE(was_over);
}

TEST_F(TaskGroupLimitTest, TryGoFailsAtTheLimitAndLeavesTheTaskAsItWas) {
  ManualPool pool;
  TaskGroup group(Background(), pool.AsExecutor());
  group.SetLimit(2);
  std::vector<int> calls;
  EXPECT_TRUE(group.TryGo([&] { calls.push_back(1); }));
  EXPECT_TRUE(group.TryGo([&] { calls.push_back(2); }));
  auto third = [&, n = std::make_unique<int>(3)] { calls.push_back(*n); };
  EXPECT_FALSE(group.TryGo(std::move(third)));
  pool.RunAll();
  EXPECT_TRUE(group.TryGo(std::move(third)));
  pool.RunAll();
  EXPECT_EQ(group.Wait(), kOk);
  EXPECT_EQ(calls, (std::vector<int>{1, 2, 3}));
}

TEST_F(TaskGroupLimitTest, ANegativeLimitIsNone) {
  ManualPool pool;
  TaskGroup group(Background(), pool.AsExecutor());
  group.SetLimit(1);
  group.Go([] {});
  group.SetLimit(-1);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(group.TryGo([] {}));
  pool.RunAll();
  EXPECT_EQ(group.Wait(), kOk);
}

TEST_F(TaskGroupLimitTest, ALimitOfZeroRejectsTasks) {
  TaskGroup group(Background());
  group.SetLimit(0);
  EXPECT_FALSE(group.TryGo([] { ADD_FAILURE(); }));
  EXPECT_FALSE(group.context().Done());
  group.Go([] { ADD_FAILURE(); });
  EXPECT_EQ(WithoutReason(group.context().Cause()),
            absl::FailedPreconditionError("TaskGroup::Go: the limit is 0"));
  EXPECT_EQ(group.Wait(), WithoutReason(group.context().Cause()));
}

TEST_F(TaskGroupLimitTest, ALimitOfZeroRejectsATaskThatWaitsForASlot) {
  TaskGroup group(Background());
  group.SetLimit(1);
  Gate gate;
  group.Go([&] { gate.Pass(); });
  std::thread blocked([&] { group.Go([] { ADD_FAILURE(); }); });
  group.SetLimit(0);
  blocked.join();
  gate.Open();
  EXPECT_EQ(group.Wait(),
            absl::FailedPreconditionError("TaskGroup::Go: the limit is 0"));
}

TEST_F(TaskGroupLimitTest, RaisingTheLimitLetsAWaitingTaskStart) {
  TaskGroup group(Background());
  group.SetLimit(1);
  Gate gate;
  group.Go([&] { gate.Pass(); });
  std::thread blocked([&] { group.Go([&] { gate.Open(); }); });
  group.SetLimit(2);
  blocked.join();
  EXPECT_EQ(group.Wait(), kOk);
}

TEST_F(TaskGroupLimitTest, ALoweredLimitHoldsOnceTasksHaveEnded) {
  ManualPool pool;
  TaskGroup group(Background(), pool.AsExecutor());
  for (int i = 0; i < 3; ++i) group.Go([] {});
  group.SetLimit(1);
  EXPECT_FALSE(group.TryGo([] {}));
  pool.RunAll();
  EXPECT_TRUE(group.TryGo([] {}));
  EXPECT_FALSE(group.TryGo([] {}));
  pool.RunAll();
  EXPECT_EQ(group.Wait(), kOk);
}

TEST_F(TaskGroupLimitTest, IfAllTasksBlockInGoOneFailsInsteadOfADeadlock) {
  for (const int limit : {1, 2, 5}) {
    TaskGroup group(Background());
    group.SetLimit(limit);
    std::atomic<int> started{0}, calls{0};
    for (int i = 0; i < limit; ++i) {
      group.Go([&, limit] {
        ++started;
        while (started < limit) std::this_thread::yield();
        group.Go([&] { ++calls; });
      });
    }
    const absl::Status error = group.Wait();
    EXPECT_EQ(error.code(), absl::StatusCode::kFailedPrecondition) << limit;
    EXPECT_EQ(error.message(),
              "TaskGroup::Go: all tasks are blocked in Go, at the limit");
    // The task that got the error left its slot to the others.
    EXPECT_EQ(calls, limit - 1);
  }
}

TEST_F(TaskGroupLimitTest, ATaskRunAtOnceByAnotherBlocksBoth) {
  TaskGroup group(Background(), RunAtOnce);
  group.SetLimit(2);
  group.Go([&] { group.Go([&] { group.Go([] { ADD_FAILURE(); }); }); });
  EXPECT_EQ(group.Wait().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(TaskGroupLimitTest, ATaskThatBlocksInGoContinuesWhenAnotherEnds) {
  for (int round = 0; round < 100; ++round) {
    TaskGroup group(Background());
    group.SetLimit(2);
    std::atomic<int> calls{0};
    Gate gate;
    group.Go([&] { gate.Pass(); });
    group.Go([&] {
      gate.Open();
      group.Go([&] { ++calls; });
    });
    EXPECT_EQ(group.Wait(), kOk);
    EXPECT_EQ(calls, 1);
  }
}

}  // namespace
}  // namespace tether
