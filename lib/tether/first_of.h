// SPDX-License-Identifier: Apache-2.0
//
// FirstOf: the first n answers of several tasks that run in parallel. As soon
// as it has them, the other tasks are cancelled, and awaited.
//
//   // Any two of three shards will do.
//   absl::StatusOr<std::vector<tether::Answer<Page>>> pages = tether::FirstOf(
//       ctx, 2,
//       [&](const tether::Context& c) { return Query(c, shard_a); },
//       [&](const tether::Context& c) { return Query(c, shard_b); },
//       [&](const tether::Context& c) { return Query(c, shard_c); });
//   if (!pages.ok()) return pages.status();
//   for (const tether::Answer<Page>& page : *pages) Show(page.value);
//
// If you need all answers, or an error if any task fails, use a TaskGroup.

#ifndef TETHER_FIRST_OF_H_
#define TETHER_FIRST_OF_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tether/context.h"
#include "tether/executor.h"
#include "tether/export.h"
#include "tether/internal/call_task.h"
#include "tether/internal/is_null.h"

namespace tether {

// What one task of FirstOf has returned.
template <typename T>
struct Answer {
  int task;  // the position of the task among the arguments, from 0
  T value;
};

// The answer of a task that returns absl::Status.
template <>
struct Answer<void> {
  int task;
};

namespace internal {

// What the tasks of FirstOf return: T for absl::StatusOr<T>, void for
// absl::Status.
template <typename Result>
struct AnswerOf {
  static_assert(std::is_same_v<Result, absl::Status>,
                "a task of FirstOf returns absl::StatusOr<T> or absl::Status");
  using type = void;
};
template <typename T>
struct AnswerOf<absl::StatusOr<T>> {
  using type = T;
};
template <typename F>
using TaskAnswer =
    typename AnswerOf<std::invoke_result_t<F, const Context&>>::type;

// Where a task leaves its answer.
template <typename T>
struct AnswerSlot {
  std::optional<T> value;
  Answer<T> Take(int task) { return {task, *std::move(value)}; }
};
template <>
struct AnswerSlot<void> {
  Answer<void> Take(int task) { return {task}; }
};

// A task that calls `fn`. `slot` must outlive it.
template <typename T, typename F>
TaskFunction ToAnswerTask(F fn, AnswerSlot<T>& slot) {
  if (IsNull(fn)) return nullptr;
  return [f = std::move(fn), &slot](const Context& ctx) mutable {
    if constexpr (std::is_void_v<T>) {
      (void)slot;
      return std::invoke(std::move(f), ctx);
    } else {
      absl::StatusOr<T> result = std::invoke(std::move(f), ctx);
      if (!result.ok()) return std::move(result).status();
      slot.value.emplace(*std::move(result));
      return absl::OkStatus();
    }
  };
}

// Returns the tasks that have succeeded, in order of time.
TETHER_EXPORT absl::StatusOr<std::vector<int>> RunFirstOf(
    const Context& ctx, int n, std::vector<TaskFunction> tasks,
    Executor executor);

template <typename T>
absl::StatusOr<std::vector<Answer<T>>> TakeAnswers(
    const Context& ctx, int n, std::vector<TaskFunction> tasks,
    std::vector<AnswerSlot<T>>& slots, Executor executor) {
  const absl::StatusOr<std::vector<int>> first =
      RunFirstOf(ctx, n, std::move(tasks), std::move(executor));
  if (!first.ok()) return first.status();
  std::vector<Answer<T>> answers;
  answers.reserve(first->size());
  for (const int task : *first) {
    answers.push_back(slots[static_cast<size_t>(task)].Take(task));
  }
  return answers;
}

}  // namespace internal

// What FirstOf returns for tasks of type F:
// absl::StatusOr<std::vector<Answer<T>>> if they return absl::StatusOr<T>, and
// absl::StatusOr<std::vector<Answer<void>>> if they return absl::Status.
template <typename F>
using AnswersOf =
    absl::StatusOr<std::vector<Answer<internal::TaskAnswer<std::decay_t<F>>>>>;

// Runs `tasks` in parallel, and returns the answers of the first `n` that
// succeed, in order of time.
//
// A task is a callable that takes a `const Context&` and returns an
// absl::StatusOr<T>, or an absl::Status if there is nothing to return. Its
// context is a child of `ctx`, and is Current() in the task. It is called at
// most once, on a thread of its own or on `executor`, which is as for a
// TaskGroup.
//
// Guarantees:
//  1. As soon as `n` tasks have succeeded, the context of the others ends:
//     Cause() is CANCELLED "FirstOf has enough answers". Later answers are
//     dropped.
//  2. As soon as too many tasks have failed, the context ends too: Cause() has
//     the code of the error below, and EndReasonOf (end_reason.h) returns
//     kSiblingFailed.
//  3. When FirstOf returns, all tasks are over, and everything that they
//     captured has been destroyed. So FirstOf takes as long as the slowest task
//     takes to notice that its context has ended. A ClientCall notices at once.
//     A task that `executor` hasn't begun yet is over when `executor` comes to
//     it and drops it. So on a busy pool, FirstOf waits for the pool; on one
//     that is full of tasks that wait for their own FirstOf, forever.
//  4. A task that has not begun by the time that 1. or 2. applies is not run.
//     If `executor` runs each task before it returns, the tasks run one after
//     the other, until there are enough answers.
//  5. A task that throws fails with INTERNAL "task threw: " and what(). A null
//     task fails with INVALID_ARGUMENT, and a task that can't be run with
//     RESOURCE_EXHAUSTED.
//
// Errors:
//   ctx.Err()         `ctx` had ended before; no task is run.
//   INVALID_ARGUMENT  `n` is negative, or larger than the number of tasks; no
//                     task is run.
//   otherwise         too many tasks have failed. The message names each of
//                     them with its error:
//                       "FirstOf: 1 of 2 answers, 2 of 3 tasks failed: task 0:
//                       UNAVAILABLE: no connection; task 2: ..."
//                     The code is that of ctx.Err() if `ctx` has ended, or else
//                     that of the first task that failed.
// If `n` is 0, it returns no answers, and runs no task. The end of `ctx` is no
// error by itself: the tasks should check their context and fail.
//
// If memory runs out, it throws std::bad_alloc; all tasks are over then, too.
// Thread safety: any thread, also in tasks of a TaskGroup or of FirstOf.
template <typename F>
[[nodiscard]] AnswersOf<F> FirstOf(const Context& ctx, int n,
                                   std::vector<F> tasks,
                                   Executor executor = nullptr) {
  using T = internal::TaskAnswer<F>;
  std::vector<internal::AnswerSlot<T>> slots(tasks.size());
  std::vector<internal::TaskFunction> functions;
  functions.reserve(tasks.size());
  for (F& task : tasks) {
    functions.push_back(
        internal::ToAnswerTask<T>(std::move(task), slots[functions.size()]));
  }
  return internal::TakeAnswers<T>(ctx, n, std::move(functions), slots,
                                  std::move(executor));
}

// The same, with the tasks as arguments, on threads of their own. All of them
// return the same type.
template <typename F, typename... More,
          std::enable_if_t<std::is_invocable_v<std::decay_t<F>, const Context&>,
                           int> = 0>
[[nodiscard]] AnswersOf<F> FirstOf(const Context& ctx, int n, F&& task,
                                   More&&... more) {
  using T = internal::TaskAnswer<std::decay_t<F>>;
  static_assert(
      (std::is_same_v<T, internal::TaskAnswer<std::decay_t<More>>> && ...),
      "all tasks of FirstOf return the same type");
  std::vector<internal::AnswerSlot<T>> slots(1 + sizeof...(More));
  std::vector<internal::TaskFunction> functions;
  functions.reserve(slots.size());
  functions.push_back(internal::ToAnswerTask<T>(
      std::decay_t<F>(std::forward<F>(task)), slots[0]));
  (functions.push_back(internal::ToAnswerTask<T>(
       std::decay_t<More>(std::forward<More>(more)), slots[functions.size()])),
   ...);
  return internal::TakeAnswers<T>(ctx, n, std::move(functions), slots, nullptr);
}

}  // namespace tether

#endif  // TETHER_FIRST_OF_H_
