// SPDX-License-Identifier: Apache-2.0
//
// TaskGroups whose tasks run on an executor.

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
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

using testing::ManualPool;

const absl::Status kOk = absl::OkStatus();

class TaskGroupExecutorTest : public testing::LeakCheckedTest {};

TEST_F(TaskGroupExecutorTest, TasksRunOnTheExecutor) {
  ManualPool pool;
  TaskGroup group(Background(), pool.AsExecutor());
  std::thread::id ran_on;
  group.Go([&] { ran_on = std::this_thread::get_id(); });
  EXPECT_EQ(ran_on, std::thread::id());
  pool.RunAll();
  EXPECT_EQ(ran_on, std::this_thread::get_id());
  EXPECT_EQ(group.Wait(), kOk);
}

TEST_F(TaskGroupExecutorTest, ANullExecutorMeansThreads) {
  TaskGroup group(Background(), Executor());
  std::thread::id ran_on;
  group.Go([&] { ran_on = std::this_thread::get_id(); });
  EXPECT_EQ(group.Wait(), kOk);
  EXPECT_NE(ran_on, std::this_thread::get_id());
}

TEST_F(TaskGroupExecutorTest, ATaskThatTheExecutorDropsFailsTheGroup) {
  ManualPool pool;
  auto captured = std::make_shared<int>(0);
  TaskGroup group(Background(), pool.AsExecutor());
  group.Go([captured] { ADD_FAILURE(); });
  pool.DropAll();
  EXPECT_EQ(captured.use_count(), 1);
  EXPECT_EQ(group.Wait(), absl::CancelledError("task dropped by its executor"));
}

TEST_F(TaskGroupExecutorTest, ATaskFailsIfTheExecutorThrows) {
  TaskGroup group(Background(), [](const std::function<void()>&) {
    throw std::runtime_error("queue full");
  });
  group.Go([] { ADD_FAILURE(); });
  EXPECT_EQ(group.Wait(),
            absl::ResourceExhaustedError("task not started: queue full"));
}

TEST_F(TaskGroupExecutorTest, ATaskIsRunOnceHoweverOftenTheExecutorCallsIt) {
  ManualPool pool;
  TaskGroup group(Background(), pool.AsExecutor());
  int calls = 0;
  group.Go([&] { ++calls; });
  const std::function<void()> kept = pool.front();
  pool.RunAll();
  kept();
  EXPECT_EQ(group.Wait(), kOk);
  EXPECT_EQ(calls, 1);
}

TEST_F(TaskGroupExecutorTest, CallablesThatTheExecutorKeepsMayOutliveTheGroup) {
  ManualPool pool;
  std::function<void()> kept;
  auto captured = std::make_shared<int>(0);
  {
    TaskGroup group(Background(), pool.AsExecutor());
    group.Go([captured] {});
    kept = pool.front();
    pool.RunAll();
  }
  EXPECT_EQ(captured.use_count(), 1);
  EXPECT_EQ(LiveNodes(), 0);
  kept();
}

struct ThrowsWhenCopied {
  ThrowsWhenCopied() = default;
  ThrowsWhenCopied(const ThrowsWhenCopied&) {
    throw std::runtime_error("no copies");
  }
  void operator()() const { ADD_FAILURE(); }
};

TEST_F(TaskGroupExecutorTest,
       ATaskThatThrowsWhenCopiedThrowsOutOfGoAndLeavesNoSlot) {
  TaskGroup group(Background());
  group.SetLimit(1);
  const ThrowsWhenCopied task;
  EXPECT_THROW(group.Go(task), std::runtime_error);
  EXPECT_THROW((void)group.TryGo(task), std::runtime_error);
  EXPECT_TRUE(group.TryGo([] {}));
  EXPECT_EQ(group.Wait(), kOk);
}

TEST_F(TaskGroupExecutorTest, ThousandsOfTasksOfAPool) {
  std::mutex mutex;
  std::deque<std::function<void()>> queue;
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&] {
      for (;;) {
        std::function<void()> task;
        {
          std::lock_guard<std::mutex> lock(mutex);
          if (!queue.empty()) {
            task = std::move(queue.front());
            queue.pop_front();
          } else if (stop) {
            return;
          }
        }
        if (task) {
          task();
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  std::atomic<int> calls{0};
  for (int round = 0; round < 100; ++round) {
    TaskGroup group(Background(), [&](auto task) {
      std::lock_guard<std::mutex> lock(mutex);
      queue.push_back(std::move(task));
    });
    for (int i = 0; i < 50; ++i) group.Go([&calls] { ++calls; });
    if (round % 2 == 0) {
      EXPECT_EQ(group.Wait(), kOk);
    }
  }
  EXPECT_EQ(calls, 5000);
  stop = true;
  for (std::thread& worker : workers) worker.join();
}

}  // namespace
}  // namespace tether
