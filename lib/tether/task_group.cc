// SPDX-License-Identifier: Apache-2.0

#include "tether/task_group.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <utility>
#include <vector>

#include "tether/current.h"
#include "tether/end_reason.h"
#include "tether/internal/call_task.h"
#include "tether/internal/error.h"
#include "tether/internal/exceptions.h"

namespace tether {

using internal::ErrorOf;

namespace {

// A task that this thread is running. There are several if an executor runs
// tasks at once, or if a task waits for another group.
struct Frame;
thread_local const Frame* innermost_frame = nullptr;

struct Frame {
  explicit Frame(const TaskGroup* frame_group)
      : group(frame_group), outer(innermost_frame) {
    innermost_frame = this;
  }
  ~Frame() { innermost_frame = outer; }

  const TaskGroup* const group;
  const Frame* const outer;
};

// How many tasks of `group` this thread is running.
int FramesOf(const TaskGroup* group) {
  int frames = 0;
  for (const Frame* f = innermost_frame; f != nullptr; f = f->outer) {
    if (f->group == group) ++frames;
  }
  return frames;
}

void JoinAll(std::list<std::thread>& threads) {
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

// Invariants:
//  1. The thread that sets `group_` to null owns the end of the task: it runs
//     the task or gives it up, and releases the slot. So this happens once,
//     whether the executor runs the callable, runs it twice or drops it.
//  2. The slot is released last, after the task was destroyed.
//  3. All user code that runs while the slot is taken runs within a Frame,
//     including destructors of captures and callbacks of the group's context: a
//     Wait there would wait for itself.
class TaskGroup::Slot {
 public:
  Slot() = default;
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  // There is no task if Go threw while copying one. Its caller got the
  // exception.
  ~Slot() {
    GiveUp(task_ ? ErrorOf(absl::StatusCode::kCancelled,
                           "task dropped by its executor")
                 : absl::OkStatus());
  }

  // Call it when the group counts the slot as taken.
  void Occupy(TaskGroup* group) { group_.store(group); }

  void set_task(Task task) { task_ = std::move(task); }
  void set_thread(std::optional<Threads::iterator> thread) { thread_ = thread; }

  void Run() {
    TaskGroup* group = group_.exchange(nullptr);
    if (group == nullptr) return;
    {
      Frame frame(group);
      absl::Status status;
      {
        ScopedContext scope(group->context());
        status = internal::CallTask(task_, group->context());
      }
      if (!status.ok()) group->Fail(std::move(status));
    }
    group->Release(thread_);
  }

  // No effect if the task is running or has run.
  void GiveUp(absl::Status error) {
    TaskGroup* group = group_.exchange(nullptr);
    if (group == nullptr) return;
    {
      Frame frame(group);
      task_ = nullptr;
      if (!error.ok()) group->Fail(std::move(error));
    }
    group->Release(thread_);
  }

 private:
  std::atomic<TaskGroup*> group_{nullptr};
  Task task_;
  std::optional<Threads::iterator> thread_;  // set if it has its own thread
};

TaskGroup::TaskGroup(const Context& parent)
    : TaskGroup(parent, /*keep_going=*/false, nullptr) {}

TaskGroup::TaskGroup(const Context& parent, Executor executor)
    : TaskGroup(parent, /*keep_going=*/false, std::move(executor)) {}

TaskGroup::TaskGroup(const Context& parent, KeepGoing, Executor executor)
    : TaskGroup(parent, /*keep_going=*/true, std::move(executor)) {}

TaskGroup::TaskGroup(const Context& parent, bool keep_going, Executor executor)
    : cancellable_(WithCancel(parent)),
      keep_going_(keep_going),
      executor_(std::move(executor)) {}

TaskGroup::~TaskGroup() {
  if (FramesOf(this) > 0) {
    std::fputs("tether::TaskGroup destroyed by one of its own tasks\n", stderr);
    std::abort();
  }
  cancellable_.cancel();
  (void)Wait();
}

void TaskGroup::SetLimit(int limit) {
  internal::MutexLock lock(mutex_);
  limit_ = limit;
  changed_.NotifyAll();
}

TaskGroup::SlotPtr TaskGroup::TakeSlot() {
  auto slot = std::make_shared<Slot>();
  internal::MutexLock lock(mutex_);
  if (!HasRoom()) return nullptr;
  ++running_;
  slot->Occupy(this);
  return slot;
}

TaskGroup::SlotPtr TaskGroup::AwaitSlot() {
  auto slot = std::make_shared<Slot>();
  const int frames = FramesOf(this);
  const char* hopeless = nullptr;
  {
    internal::MutexLock lock(mutex_);
    blocked_ += frames;
    while (!HasRoom()) {
      if (limit_ == 0) {
        hopeless = "TaskGroup::Go: the limit is 0";
        break;
      }
      if (frames > 0 && blocked_ == running_) {
        hopeless = "TaskGroup::Go: all tasks are blocked in Go, at the limit";
        break;
      }
      changed_.Wait(mutex_);
    }
    blocked_ -= frames;
    if (hopeless == nullptr) {
      ++running_;
      slot->Occupy(this);
      return slot;
    }
  }
  Fail(ErrorOf(absl::StatusCode::kFailedPrecondition, hopeless));
  return nullptr;
}

void TaskGroup::Start(SlotPtr slot, Task task) {
  if (!task) {
    return slot->GiveUp(
        ErrorOf(absl::StatusCode::kInvalidArgument, "TaskGroup: null task"));
  }
  slot->set_task(std::move(task));
  absl::Status refused;
  TETHER_TRY {
    if (executor_) {
      // Copies `slot`, since the task may destroy the callable that runs it.
      executor_([slot] { SlotPtr(slot)->Run(); });
    } else {
      StartThread(slot);
    }
    return;
  }
  TETHER_CATCH_AS(const std::exception&, e) {
    refused = ErrorOf(absl::StatusCode::kResourceExhausted,
                      "task not started: ", e.what());
  }
  TETHER_CATCH(...) {
    refused = ErrorOf(absl::StatusCode::kResourceExhausted, "task not started");
  }
  slot->GiveUp(std::move(refused));
}

void TaskGroup::StartThread(const SlotPtr& slot) {
  Threads ended;
  Threads added(1);  // allocated before there is anything to undo
  const auto thread = added.begin();
  {
    internal::MutexLock lock(mutex_);
    threads_.splice(threads_.end(), added);
    slot->set_thread(thread);
    TETHER_TRY {
      // Assigned under the lock, which the thread takes to move its entry.
      *thread = std::thread([slot] { slot->Run(); });
    }
    TETHER_CATCH(...) {
      slot->set_thread(std::nullopt);
      threads_.erase(thread);
      TETHER_RETHROW;
    }
    ended.swap(ended_threads_);
  }
  JoinAll(ended);
}

void TaskGroup::Fail(absl::Status error) {
  {
    internal::MutexLock lock(mutex_);
    const bool first = first_error_.ok();
    if (first) first_error_ = error;
    if (keep_going_) {
      TETHER_TRY { errors_.push_back(std::move(error)); }
      TETHER_CATCH(const std::bad_alloc&) {  // first_error_ needs no memory
      }
      return;
    }
    if (!first) return;
  }
  cancellable_.cancel(
      WithEndReason(std::move(error), EndReason::kSiblingFailed));
}

void TaskGroup::Release(std::optional<Threads::iterator> thread) {
  internal::MutexLock lock(mutex_);
  if (thread.has_value()) {
    ended_threads_.splice(ended_threads_.end(), threads_, *thread);
  }
  --running_;
  // Under the lock: a waiter that sees the change may destroy the group.
  changed_.NotifyAll();
}

absl::Status TaskGroup::Wait() {
  if (FramesOf(this) > 0) {
    return ErrorOf(absl::StatusCode::kFailedPrecondition,
                   "TaskGroup::Wait called by one of its own tasks");
  }
  Threads ended;
  absl::Status result;
  {
    internal::MutexLock lock(mutex_);
    while (running_ > 0) changed_.Wait(mutex_);
    ended.swap(ended_threads_);
    result = first_error_;
  }
  JoinAll(ended);
  cancellable_.cancel();
  return result;
}

std::vector<absl::Status> TaskGroup::Errors() {
  internal::MutexLock lock(mutex_);
  if (keep_going_) return errors_;
  if (first_error_.ok()) return {};
  return {first_error_};
}

}  // namespace tether
