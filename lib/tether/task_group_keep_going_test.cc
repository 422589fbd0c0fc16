// SPDX-License-Identifier: Apache-2.0
//
// Tests of a TaskGroup whose tasks are independent (KeepGoing).

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/task_group.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"
#include "tether/testing/task_group_tools.h"

namespace tether {
namespace {

using testing::ManualPool;
using testing::RunAtOnce;

class KeepGoingTest : public testing::LeakCheckedTest {};

// Runs a task that throws, one that fails and one that counts itself, in that
// order. Returns how many tasks found their context alive.
int RunThree(TaskGroup& group) {
  int alive = 0;
  group.Go([&alive](const Context& ctx) {
    alive += ctx.Done() ? 0 : 1;
    throw std::runtime_error("first");
  });
  group.Go([&alive](const Context& ctx) {
    alive += ctx.Done() ? 0 : 1;
    return absl::AbortedError("second");
  });
  group.Go([&alive](const Context& ctx) { alive += ctx.Done() ? 0 : 1; });
  return alive;
}

TEST_F(KeepGoingTest, ATaskThatThrowsOrFailsEndsNoOther) {
  TaskGroup group(Background(), KeepGoing(), RunAtOnce);
  EXPECT_EQ(RunThree(group), 3);
  EXPECT_FALSE(group.context().Done());
  EXPECT_EQ(group.Wait(), absl::InternalError("task threw: first"));
  EXPECT_TRUE(group.context().Done());

  // Control: without KeepGoing, the first error ends the other two.
  TaskGroup control(Background(), RunAtOnce);
  EXPECT_EQ(RunThree(control), 1);
  EXPECT_EQ(control.Wait(), absl::InternalError("task threw: first"));
}

TEST_F(KeepGoingTest, ErrorsReturnsAllInTheOrderOfTime) {
  TaskGroup group(Background(), KeepGoing(), RunAtOnce);
  EXPECT_EQ(group.Errors(), std::vector<absl::Status>());
  RunThree(group);
  (void)group.Wait();
  const std::vector<absl::Status> all = {
      absl::InternalError("task threw: first"), absl::AbortedError("second")};
  EXPECT_EQ(group.Errors(), all);

  // Control: without KeepGoing, it returns the first only.
  TaskGroup control(Background(), RunAtOnce);
  EXPECT_EQ(control.Errors(), std::vector<absl::Status>());
  RunThree(control);
  (void)control.Wait();
  EXPECT_EQ(control.Errors(), std::vector<absl::Status>{all[0]});
}

TEST_F(KeepGoingTest, ATaskThatCannotRunEndsNoOther) {
  ManualPool pool;
  TaskGroup group(Background(), KeepGoing(), pool.AsExecutor());
  group.Go([] {});
  pool.DropAll();
  EXPECT_FALSE(group.context().Done());
  group.Go([] { return absl::OkStatus(); });
  pool.RunAll();
  EXPECT_EQ(group.Wait(), absl::CancelledError("task dropped by its executor"));
  EXPECT_EQ(group.Errors().size(), 1U);
}

TEST_F(KeepGoingTest, TheEndOfTheParentEndsTheTasks) {
  testing::SimulatedClock clock;
  auto [parent, cancel] = WithTimeout(Background(clock), absl::Seconds(5));
  TaskGroup group(parent, KeepGoing());
  for (int i = 0; i < 3; ++i) {
    group.Go([](const Context& ctx) {
      ctx.Wait();
      return ctx.Err();
    });
  }
  clock.Advance(absl::Seconds(5));
  EXPECT_EQ(group.Wait(),
            absl::DeadlineExceededError("context deadline exceeded"));
  EXPECT_EQ(group.Errors().size(), 3U);
}

TEST_F(KeepGoingTest, ManyTasksThatFailAtOnceAreAllCounted) {
  TaskGroup group(Background(), KeepGoing());
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i) {
    group.Go([&ran, i] {
      ++ran;
      return absl::UnavailableError(std::to_string(i));
    });
  }
  const absl::Status first = group.Wait();
  EXPECT_EQ(ran, 100);
  const std::vector<absl::Status> errors = group.Errors();
  ASSERT_EQ(errors.size(), 100U);
  EXPECT_EQ(errors.front(), first);
}

}  // namespace
}  // namespace tether
