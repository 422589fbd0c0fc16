// SPDX-License-Identifier: Apache-2.0

#include "tether/first_of.h"

#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/end_reason.h"
#include "tether/executor.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"
#include "tether/testing/task_group_tools.h"

namespace tether {
namespace {

using testing::Gate;
using testing::RunAtOnce;

// The type of task for tests that choose tasks at run time.
using Task = std::function<absl::StatusOr<std::string>(const Context&)>;
using Answers = absl::StatusOr<std::vector<Answer<std::string>>>;

inline constexpr Key<std::string> kUser{"user"};

class FirstOfTest : public testing::LeakCheckedTest {};

// "0=a 2=c": the answers in their order, or the error.
std::string ToText(const Answers& answers) {
  if (!answers.ok()) return std::string(answers.status().message());
  std::string text;
  for (const Answer<std::string>& answer : *answers) {
    if (!text.empty()) text += ' ';
    text += std::to_string(answer.task) + "=" + answer.value;
  }
  return text;
}

Task Answering(const std::string& text) {
  return [text](const Context&) { return text; };
}
Task Failing(const absl::Status& error) {
  return [error](const Context&) { return error; };
}
Task After(const Gate& gate, Task task) {
  return [&gate, task = std::move(task)](const Context& ctx) {
    gate.Pass();
    return task(ctx);
  };
}

// A task that runs until its context has ended, and keeps why.
struct Straggler {
  // Opens `begun` first: a task that has not begun in time isn't run.
  Task task() {
    return [this](const Context& ctx) {
      begun.Open();
      ctx.Wait();
      cause = ctx.Cause();
      reason = EndReasonOf(ctx);
      return answer;
    };
  }

  Gate begun;
  absl::Status cause;
  EndReason reason = EndReason::kNone;
  absl::StatusOr<std::string> answer = absl::AbortedError("cancelled");
};

// ---- Enough answers ---------------------------------------------------------

TEST_F(FirstOfTest, ReturnsTheFirstAnswersAndCancelsTheRest) {
  Straggler straggler;  // would run forever
  const Answers answers =
      FirstOf(Background(), 2, After(straggler.begun, Answering("a")),
              straggler.task(), After(straggler.begun, Answering("c")));
  ASSERT_TRUE(answers.ok()) << answers.status();
  ASSERT_EQ(answers->size(), 2U);
  EXPECT_EQ((*answers)[0].task + (*answers)[1].task, 0 + 2);
  EXPECT_EQ(straggler.cause,
            absl::CancelledError("FirstOf has enough answers"));
  EXPECT_EQ(straggler.reason, EndReason::kCancelled);
}

TEST_F(FirstOfTest, AnswersAreInTheOrderOfTime) {
  std::vector<std::function<void()>> pending;
  const Executor in_reverse = [&pending](std::function<void()> task) {
    pending.push_back(std::move(task));
    if (pending.size() < 3) return;
    for (; !pending.empty(); pending.pop_back()) pending.back()();
  };
  const std::vector<Task> tasks = {Answering("a"), Answering("b"),
                                   Answering("c")};
  EXPECT_EQ(ToText(FirstOf(Background(), 2, tasks, in_reverse)), "2=c 1=b");
  EXPECT_EQ(ToText(FirstOf(Background(), 2, tasks, RunAtOnce)), "0=a 1=b");
}

TEST_F(FirstOfTest, FewFailuresDoNotMatter) {
  Straggler straggler;
  const Task down = Failing(absl::UnavailableError("down"));
  EXPECT_EQ(ToText(FirstOf(Background(), 1, down, straggler.task(),
                           After(straggler.begun, Answering("c")))),
            "2=c");
  EXPECT_EQ(straggler.reason, EndReason::kCancelled);
}

TEST_F(FirstOfTest, AnAnswerThatComesTooLateIsDropped) {
  Straggler straggler;
  straggler.answer = "too late";
  const Answers answers =
      FirstOf(Background(), 1, After(straggler.begun, Answering("a")),
              straggler.task());
  EXPECT_EQ(ToText(answers), "0=a");
  EXPECT_EQ(straggler.reason, EndReason::kCancelled);
}

TEST_F(FirstOfTest, ATaskThatHasNotBegunInTimeIsNotRun) {
  const auto run = [](int wanted) {
    int ran = 0;
    const Task count = [&ran](const Context&) { return std::to_string(++ran); };
    EXPECT_TRUE(
        FirstOf(Background(), wanted, std::vector<Task>(5, count), RunAtOnce)
            .ok());
    return ran;
  };
  EXPECT_EQ(run(2), 2);
  EXPECT_EQ(run(5), 5);  // control
}

TEST_F(FirstOfTest, AnswersMayBeMoveOnlyOrAbsent) {
  const auto pointers =
      FirstOf(Background(), 1,
              [](const Context&) -> absl::StatusOr<std::unique_ptr<int>> {
                return std::make_unique<int>(7);
              });
  ASSERT_TRUE(pointers.ok());
  EXPECT_EQ(*pointers->front().value, 7);

  const absl::StatusOr<std::vector<Answer<void>>> done = FirstOf(
      Background(), 1, [](const Context&) { return absl::AbortedError("no"); },
      [](const Context&) { return absl::OkStatus(); });
  ASSERT_TRUE(done.ok());
  ASSERT_EQ(done->size(), 1U);
  EXPECT_EQ(done->front().task, 1);
}

// ---- Too few answers --------------------------------------------------------

TEST_F(FirstOfTest, TooManyFailuresEndTheRestAndAreNamed) {
  Straggler straggler;
  const Task broken = [](const Context&) -> absl::StatusOr<std::string> {
    throw std::runtime_error("broken");
  };
  const Answers answers = FirstOf(
      Background(), 2,
      After(straggler.begun, Failing(absl::UnavailableError("no connection"))),
      straggler.task(), After(straggler.begun, broken));
  EXPECT_FALSE(answers.ok());
  const std::string text = ToText(answers);
  EXPECT_EQ(text.find("FirstOf: 0 of 2 answers, 2 of 3 tasks failed: task "),
            0U)
      << text;
  EXPECT_NE(text.find("task 0: UNAVAILABLE: no connection"), std::string::npos)
      << text;
  EXPECT_NE(text.find("task 2: INTERNAL: task threw: broken"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("task 1"), std::string::npos) << text;
  EXPECT_EQ(straggler.cause.message(), "too many tasks of FirstOf failed");
  EXPECT_EQ(straggler.reason, EndReason::kSiblingFailed);
}

TEST_F(FirstOfTest, TheErrorHasTheCodeOfTheFirstFailure) {
  const Answers answers = FirstOf(
      Background(), 2,
      std::vector<Task>{Failing(absl::NotFoundError("gone")), Answering("b"),
                        Failing(absl::UnavailableError("down"))},
      RunAtOnce);
  EXPECT_EQ(answers.status(),
            absl::NotFoundError(
                "FirstOf: 1 of 2 answers, 2 of 3 tasks failed: task 0: "
                "NOT_FOUND: gone; task 2: UNAVAILABLE: down"));
}

TEST_F(FirstOfTest, IfTheContextHasEndedTheErrorHasItsCode) {
  testing::SimulatedClock clock;
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(5));
  const Answers answers =
      FirstOf(ctx, 2,
              std::vector<Task>{Failing(absl::NotFoundError("gone")),
                                [&clock](const Context& c) {
                                  clock.Advance(absl::Seconds(5));
                                  return c.Err();
                                },
                                Answering("c")},
              RunAtOnce);
  EXPECT_EQ(answers.status(),
            absl::DeadlineExceededError(
                "FirstOf: 0 of 2 answers, 2 of 3 tasks failed: task 0: "
                "NOT_FOUND: gone; task 1: DEADLINE_EXCEEDED: context deadline "
                "exceeded"));
}

TEST_F(FirstOfTest, TheEndOfTheContextEndsTheTasksButIsNoErrorByItself) {
  testing::SimulatedClock clock;
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(5));
  const Answers answers = FirstOf(
      ctx, 1, [&clock](const Context& c) -> absl::StatusOr<std::string> {
        clock.Advance(absl::Seconds(5));
        return c.Done() ? "done, and there is an answer" : "not done";
      });
  EXPECT_EQ(ToText(answers), "0=done, and there is an answer");
}

TEST_F(FirstOfTest, WithAnEndedContextItRunsNothing) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel();
  bool ran = false;
  const Answers answers =
      FirstOf(ctx, 1, [&ran](const Context&) -> absl::StatusOr<std::string> {
        ran = true;
        return "a";
      });
  EXPECT_EQ(answers.status(), absl::CancelledError("context canceled"));
  EXPECT_FALSE(ran);
}

TEST_F(FirstOfTest, ImpossibleNumbersAreRejectedAndNoneIsNoWork) {
  bool ran = false;
  const Task task = [&ran](const Context&) {
    ran = true;
    return "a";
  };
  const std::vector<Task> two = {task, task};
  EXPECT_EQ(FirstOf(Background(), 3, two).status(),
            absl::InvalidArgumentError("FirstOf: 3 answers of 2 tasks"));
  EXPECT_EQ(FirstOf(Background(), -1, two).status(),
            absl::InvalidArgumentError("FirstOf: -1 answers of 2 tasks"));
  EXPECT_EQ(FirstOf(Background(), 1, std::vector<Task>()).status(),
            absl::InvalidArgumentError("FirstOf: 1 answers of 0 tasks"));
  EXPECT_EQ(ToText(FirstOf(Background(), 0, two)), "");
  EXPECT_TRUE(FirstOf(Background(), 0, two).ok());
  EXPECT_FALSE(ran);
}

// ---- Tasks that can't be run, lifetimes, threads ----------------------------

TEST_F(FirstOfTest, ATaskThatIsNullOrIsNotRunFails) {
  const Answers none = FirstOf(Background(), 1, std::vector<Task>{nullptr});
  EXPECT_EQ(none.status(), absl::InvalidArgumentError(
                               "FirstOf: 0 of 1 answers, 1 of 1 task failed: "
                               "task 0: INVALID_ARGUMENT: null task"));

  const Executor drops = [](const std::function<void()>&) {};
  const Executor throws = [](const std::function<void()>&) {
    throw std::runtime_error("full");
  };
  for (const Executor& executor : {drops, throws}) {
    const Answers answers =
        FirstOf(Background(), 1, std::vector<Task>{Answering("a")}, executor);
    EXPECT_EQ(answers.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ToText(answers),
              "FirstOf: 0 of 1 answers, 1 of 1 task failed: task 0: "
              "RESOURCE_EXHAUSTED: task not run: it got no thread, or its "
              "executor dropped it");
  }
}

TEST_F(FirstOfTest, CapturesAreGoneWhenItReturns) {
  const auto held = std::make_shared<int>(1);
  const Task task = [held](const Context&) { return "a"; };
  EXPECT_EQ(held.use_count(), 2);
  EXPECT_TRUE(FirstOf(Background(), 1, std::vector<Task>(8, task)).ok());
  EXPECT_EQ(held.use_count(), 2);
}

TEST_F(FirstOfTest, TheContextOfATaskHasTheValuesAndIsCurrent) {
  const Context ctx = WithValue(Background(), kUser, std::string("ada"));
  const Answers answers =
      FirstOf(ctx, 1, [](const Context& c) -> absl::StatusOr<std::string> {
        return Current() == c ? *c.Value(kUser) : "another context";
      });
  EXPECT_EQ(ToText(answers), "0=ada");
}

TEST_F(FirstOfTest, MayBeNestedAndUsedInTasks) {
  const Task waiting = [](const Context& ctx) {
    ctx.Wait();
    return ctx.Err();
  };
  const Task inner =
      [waiting](const Context& ctx) -> absl::StatusOr<std::string> {
    const Answers answers = FirstOf(ctx, 1, Answering("x"), waiting);
    if (!answers.ok()) return answers.status();
    return answers->front().value;
  };
  const Answers answers = FirstOf(Background(), 2, inner, inner, waiting);
  ASSERT_TRUE(answers.ok()) << answers.status();
  EXPECT_EQ(answers->front().value, "x");
  EXPECT_EQ(answers->back().value, "x");
}

TEST_F(FirstOfTest, ManyAnswersAtOnceGiveExactlyAsManyAsWanted) {
  for (int round = 0; round < 100; ++round) {
    std::vector<Task> tasks;
    for (int i = 0; i < 8; ++i) tasks.push_back(Answering(std::to_string(i)));
    tasks.push_back(Failing(absl::UnavailableError("down")));
    const Answers answers = FirstOf(Background(), 3, std::move(tasks));
    ASSERT_TRUE(answers.ok()) << answers.status();
    ASSERT_EQ(answers->size(), 3U);
    std::set<int> distinct;
    for (const Answer<std::string>& answer : *answers) {
      EXPECT_EQ(answer.value, std::to_string(answer.task));
      distinct.insert(answer.task);
    }
    EXPECT_EQ(distinct.size(), 3U);
  }
}

}  // namespace
}  // namespace tether
