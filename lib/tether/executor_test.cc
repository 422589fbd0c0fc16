// SPDX-License-Identifier: Apache-2.0

#include "tether/executor.h"

#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/testing/leak_checked_test.h"

namespace tether {
namespace {

inline constexpr Key<int> kNumber{"number"};

int CurrentNumber() {
  const int* number = Current().Value(kNumber);
  return number == nullptr ? -1 : *number;
}

class ExecutorTest : public testing::LeakCheckedTest {};

// Runs `fn` on another thread and waits for it.
template <typename F>
void OnAnotherThread(F&& fn) {
  std::thread([&fn] { fn(); }).join();
}

TEST_F(ExecutorTest, WorkRunsWithTheContextOfItsSubmitter) {
  std::deque<std::function<void()>> queue;
  auto submit = BindExecutor(
      [&queue](std::function<void()> fn) { queue.push_back(std::move(fn)); });
  std::vector<int> seen;
  for (int n = 1; n <= 3; ++n) {
    const ScopedContext scope(WithValue(Background(), kNumber, n));
    submit([&seen] { seen.push_back(CurrentNumber()); });
  }
  submit([&seen] { seen.push_back(CurrentNumber()); });
  for (const std::function<void()>& fn : queue) OnAnotherThread(fn);
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 3, -1}));
}

TEST_F(ExecutorTest, WorkThatSubmitsWorkHandsItsContextOn) {
  std::deque<std::function<void()>> queue;
  const auto submit = BindExecutor(
      [&queue](std::function<void()> fn) { queue.push_back(std::move(fn)); });
  int seen = 0;
  {
    const ScopedContext scope(WithValue(Background(), kNumber, 5));
    submit([&] { submit([&] { seen = CurrentNumber(); }); });
  }
  while (!queue.empty()) {
    OnAnotherThread(queue.front());
    queue.pop_front();
  }
  EXPECT_EQ(seen, 5);
}

TEST_F(ExecutorTest, WorkKeepsTheContextAliveUntilItIsDestroyed) {
  std::deque<absl::AnyInvocable<void() &&>> queue;
  auto submit = BindExecutor([&queue](absl::AnyInvocable<void() &&> fn) {
    queue.push_back(std::move(fn));
  });
  {
    const ScopedContext scope(WithValue(Background(), kNumber, 5));
    submit([] {});
  }
  EXPECT_EQ(LiveNodes(), 1);
  queue.clear();
  EXPECT_EQ(LiveNodes(), 0);
}

TEST_F(ExecutorTest, MoveOnlyWorkGoesToPoolsThatTakeIt) {
  int seen = 0;
  auto submit =
      BindExecutor([](absl::AnyInvocable<void() &&> fn) { std::move(fn)(); });
  submit([&seen, n = std::make_unique<int>(4)] { seen = *n; });
  EXPECT_EQ(seen, 4);
}

TEST_F(ExecutorTest, ArgumentsAndResultsPassThrough) {
  auto submit = BindExecutor([](auto fn, int a, std::unique_ptr<int> b) {
    return std::async(std::launch::async, std::move(fn), a + *b);
  });
  const ScopedContext scope(WithValue(Background(), kNumber, 100));
  std::future<int> sum = submit([](int n) { return n + CurrentNumber(); }, 1,
                                std::make_unique<int>(2));
  EXPECT_EQ(sum.get(), 103);
}

TEST_F(ExecutorTest, ANullCallableIsRejectedBeforeAnythingIsSubmitted) {
  int submitted = 0;
  auto submit = BindExecutor([&](const auto&) { ++submitted; });
  EXPECT_THROW(submit(std::function<void()>()), std::bad_function_call);
  EXPECT_THROW(submit(absl::AnyInvocable<void()>()), std::bad_function_call);
  EXPECT_THROW(submit(static_cast<void (*)()>(nullptr)),
               std::bad_function_call);
  EXPECT_EQ(submitted, 0);
  submit(CurrentNumber);
  submit(&CurrentNumber);
  submit([] {});
  EXPECT_EQ(submitted, 3);
}

TEST_F(ExecutorTest, ExceptionsOfThePoolArePassedOn) {
  auto submit =
      BindExecutor([](const auto&) { throw std::runtime_error("queue full"); });
  const ScopedContext scope(WithValue(Background(), kNumber, 1));
  EXPECT_THROW(submit([] {}), std::runtime_error);
}

TEST_F(ExecutorTest, ABoundExecutorIsAnExecutor) {
  int seen = 0;
  const Executor executor = BindExecutor(
      [](const std::function<void()>& fn) { OnAnotherThread(fn); });
  const ScopedContext scope(WithValue(Background(), kNumber, 8));
  executor([&seen] { seen = CurrentNumber(); });
  EXPECT_EQ(seen, 8);
}

}  // namespace
}  // namespace tether
