// SPDX-License-Identifier: Apache-2.0

#include "tether/first_of.h"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "tether/end_reason.h"
#include "tether/internal/error.h"
#include "tether/internal/mutex.h"
#include "tether/task_group.h"

namespace tether::internal {
namespace {

// Counts what has succeeded and failed, and ends the tasks' context once the
// outcome is decided. Thread safety: any thread. Needs no memory after it was
// made.
class Tally {
 public:
  Tally(const Context& parent, int wanted, int tasks)
      : parent_(parent), wanted_(wanted), tasks_(tasks) {
    succeeded_.reserve(static_cast<size_t>(wanted));
    failed_.reserve(static_cast<size_t>(tasks));
  }
  Tally(const Tally&) = delete;
  Tally& operator=(const Tally&) = delete;

  const Context& context() const { return cancellable_.ctx; }

  bool Decided() {
    MutexLock lock(mutex_);
    return decided_;
  }

  void Succeeded(int task) {
    {
      MutexLock lock(mutex_);
      if (decided_) return;
      succeeded_.push_back(task);
      if (static_cast<int>(succeeded_.size()) < wanted_) return;
      decided_ = true;
    }
    cancellable_.cancel(
        ErrorOf(absl::StatusCode::kCancelled, "FirstOf has enough answers"));
  }

  void Failed(int task, absl::Status error) {
    absl::StatusCode code;
    {
      MutexLock lock(mutex_);
      if (decided_) return;
      failed_.push_back({task, std::move(error)});
      if (static_cast<int>(failed_.size()) <= tasks_ - wanted_) return;
      decided_ = true;
      code = code_ =
          parent_.Done() ? parent_.Err().code() : failed_.front().error.code();
    }
    cancellable_.cancel(
        WithEndReason(ErrorOf(code, "too many tasks of FirstOf failed"),
                      EndReason::kSiblingFailed));
  }

  // Requires that all tasks are over.
  absl::StatusOr<std::vector<int>> Result() {
    MutexLock lock(mutex_);
    if (static_cast<int>(succeeded_.size()) == wanted_) return succeeded_;
    std::string message =
        absl::StrCat("FirstOf: ", succeeded_.size(), " of ", wanted_,
                     " answers, ", failed_.size(), " of ", tasks_,
                     tasks_ == 1 ? " task" : " tasks", " failed: ");
    const char* separator = "";
    for (const Failure& failure : failed_) {
      absl::StrAppend(&message, separator, "task ", failure.task, ": ",
                      absl::StatusCodeToString(failure.error.code()), ": ",
                      failure.error.message());
      separator = "; ";
    }
    return absl::Status(code_, message);
  }

 private:
  struct Failure {
    int task;
    absl::Status error;
  };

  const Context parent_;
  const Cancellable cancellable_ = WithCancel(parent_);
  const int wanted_;
  const int tasks_;
  Mutex mutex_;
  bool decided_ ABSL_GUARDED_BY(mutex_) = false;
  // Both in order of time, up to the decision.
  std::vector<int> succeeded_ ABSL_GUARDED_BY(mutex_);
  std::vector<Failure> failed_ ABSL_GUARDED_BY(mutex_);
  absl::StatusCode code_ ABSL_GUARDED_BY(mutex_) = absl::StatusCode::kOk;
};

// A task as it is passed to the group. It reports to the tally once: when it
// has run, or when it is destroyed without having been run.
class Attempt {
 public:
  Attempt(Tally* tally, int number, TaskFunction task)
      : tally_(tally), number_(number), task_(std::move(task)) {}
  Attempt(Attempt&& other) noexcept
      : tally_(std::exchange(other.tally_, nullptr)),
        number_(other.number_),
        task_(std::move(other.task_)) {}
  Attempt& operator=(Attempt&&) = delete;
  ~Attempt() {
    if (tally_ == nullptr) return;
    tally_->Failed(number_, ErrorOf(absl::StatusCode::kResourceExhausted,
                                    "task not run: it got no thread, or its "
                                    "executor dropped it"));
  }

  void operator()(const Context& ctx) {
    Tally* tally = std::exchange(tally_, nullptr);
    if (tally->Decided()) return;
    if (!task_) {
      return tally->Failed(
          number_, ErrorOf(absl::StatusCode::kInvalidArgument, "null task"));
    }
    absl::Status status = CallTask(task_, ctx);
    if (status.ok()) {
      tally->Succeeded(number_);
    } else {
      tally->Failed(number_, std::move(status));
    }
  }

 private:
  Tally* tally_;
  const int number_;
  TaskFunction task_;
};

}  // namespace

absl::StatusOr<std::vector<int>> RunFirstOf(const Context& ctx, int n,
                                            std::vector<TaskFunction> tasks,
                                            Executor executor) {
  const int count = static_cast<int>(tasks.size());
  if (n < 0 || n > count) {
    return absl::InvalidArgumentError(
        absl::StrCat("FirstOf: ", n, " answers of ", count,
                     count == 1 ? " task" : " tasks"));
  }
  if (ctx.Done()) return ctx.Err();
  if (n == 0) return std::vector<int>();
  Tally tally(ctx, n, count);
  {
    TaskGroup group(tally.context(), KeepGoing(), std::move(executor));
    for (int i = 0; i < count; ++i) {
      group.Go(Attempt(&tally, i, std::move(tasks[static_cast<size_t>(i)])));
    }
    (void)group.Wait();
  }
  return tally.Result();
}

}  // namespace tether::internal
