// SPDX-License-Identifier: Apache-2.0
//
// TaskGroup: several tasks of one request, run in parallel, like Go's errgroup.
// The first error ends the other tasks, unless they are independent of each
// other (KeepGoing); no task outlives the group. If you need only the first
// answers of several tasks, see tether/first_of.h.

#ifndef TETHER_TASK_GROUP_H_
#define TETHER_TASK_GROUP_H_

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "tether/context.h"
#include "tether/executor.h"
#include "tether/export.h"
#include "tether/internal/call_task.h"
#include "tether/internal/is_null.h"
#include "tether/internal/mutex.h"

namespace tether {

// For independent tasks: an error ends no other task. An argument of TaskGroup.
struct KeepGoing {
  explicit KeepGoing() = default;
};

// Runs tasks under the group's context, which is a child of `parent` and the
// Current() context of the tasks.
//
// A task is a callable that takes a `const Context&` or nothing, and returns an
// absl::Status or nothing. It is called once, on a thread of its own or on the
// group's executor. It should check its context, to end early when another task
// fails.
//
// Guarantees:
//  1. The first task that fails ends the group's context: Cause() has its code
//     and message, EndReasonOf (end_reason.h) returns kSiblingFailed, and Wait
//     returns the error itself. Later errors are dropped. With KeepGoing, an
//     error ends nothing: every task runs to its end, Wait returns the first
//     error, and Errors returns all of them.
//  2. A task that throws fails with INTERNAL "task threw: " and what().
//  3. When Wait or the destructor returns, all tasks are over, and everything
//     that they captured has been destroyed.
//  4. Every task is run, even if the context has ended already.
//  5. If memory runs out, Go throws and starts nothing, or the task fails with
//     RESOURCE_EXHAUSTED, as if it had got no thread. An error may then lack
//     its message and its EndReason, and Errors may lack errors after the
//     first. Wait returns in any case.
//  6. A task that can't be run blocks no one. It is destroyed, and counts as
//     failed. This applies to:
//      - a null task (INVALID_ARGUMENT);
//      - a task for which the system has no thread, or for which the executor
//        throws (RESOURCE_EXHAUSTED), or which the executor drops (CANCELLED);
//      - any task at a limit of 0, and a task passed to Go by another task
//        while every running task of the group is blocked in Go
//        (FAILED_PRECONDITION). Go's errgroup blocks forever in that case,
//        since every slot is held by a task that waits for a slot. While
//        another task runs, Go blocks here too.
//
// Thread safety: any thread, tasks included. The destructor requires that no
// call is running or starts, except calls made by tasks. If a thread that is
// not a task calls Go while another calls Wait, then Wait may return without
// waiting for that task; the destructor waits for it. Lifetime: keeps the
// parent alive.
//
// Example:
//
//   absl::StatusOr<Page> Render(const tether::Context& ctx) {
//     Page page;
//     tether::TaskGroup group(ctx);
//     group.Go([&](const tether::Context& c) { return Load(c, page.head); });
//     group.Go([&](const tether::Context& c) { return Load(c, page.body); });
//     if (absl::Status s = group.Wait(); !s.ok()) return s;
//     return page;
//   }
class [[nodiscard]] TETHER_EXPORT TaskGroup {
 public:
  // Each task runs on a thread of its own.
  [[nodiscard]] explicit TaskGroup(const Context& parent);

  // The tasks run on `executor`, or on threads of their own if it is null. It
  // must be safe to call from all threads that call Go. If tasks wait for each
  // other and the pool is too small for them, they block forever; the group
  // can't detect that.
  //
  //   tether::TaskGroup group(ctx, [&pool](auto task) {
  //     pool.Schedule(std::move(task));
  //   });
  [[nodiscard]] TaskGroup(const Context& parent, Executor executor);

  // For independent tasks, such as one write to each of several caches.
  //
  //   tether::TaskGroup group(ctx, tether::KeepGoing());
  [[nodiscard]] TaskGroup(const Context& parent, KeepGoing,
                          Executor executor = nullptr);

  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Cancels the context and waits for all tasks. Aborts the program if it is
  // called by a task of the group, or by a callback of the group's context that
  // runs because a task failed.
  ~TaskGroup();

  // The group's context. Ends with the parent, with the first error (not with
  // KeepGoing), or when Wait returns.
  const Context& context() const { return cancellable_.ctx; }

  // From now on, at most `limit` tasks run at a time. A negative limit, which
  // is the default, means any number; at 0 no task may start (guarantee 6).
  // Running tasks continue; if there are more than `limit`, the next task waits
  // until there are fewer.
  void SetLimit(int limit);

  // Starts a task; blocks while the limit is reached.
  template <typename F>
  void Go(F&& fn) {
    if (SlotPtr slot = AwaitSlot()) {
      Start(std::move(slot), ToTask(std::forward<F>(fn)));
    }
  }

  // Starts a task and returns true. If the limit is reached, returns false and
  // leaves `fn` unchanged.
  template <typename F>
  [[nodiscard]] bool TryGo(F&& fn) {
    SlotPtr slot = TakeSlot();
    if (slot == nullptr) return false;
    Start(std::move(slot), ToTask(std::forward<F>(fn)));
    return true;
  }

  // Blocks until all tasks are over, ends the context, and returns the first
  // error, or OK. The end of the parent is no error by itself.
  //
  // May be called again, also after more tasks were started, which find their
  // context ended. The first error stays.
  //
  // Returns FAILED_PRECONDITION at once, without any effect, if it would
  // wait for itself: in a task of the group, in the destructor of a task's
  // capture, and in a callback of the group's context that runs because a task
  // failed. If a task of another group calls it, and a task of this group waits
  // for that task, both block forever.
  absl::Status Wait();

  // The errors so far, in the order in which the tasks failed. Without
  // KeepGoing, that is the first error only. A task that wants to be found in
  // the list names itself in its error's message.
  std::vector<absl::Status> Errors();

 private:
  class Slot;  // a place under the limit, and the task in it
  using SlotPtr = std::shared_ptr<Slot>;
  using Task = internal::TaskFunction;
  using Threads = std::list<std::thread>;

  TaskGroup(const Context& parent, bool keep_going, Executor executor);

  template <typename F>
  static Task ToTask(F&& fn);

  // Returns null if the task is rejected. May block.
  SlotPtr AwaitSlot();
  // Returns null if the limit is reached.
  SlotPtr TakeSlot();
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return limit_ < 0 || running_ < limit_;
  }

  void Start(SlotPtr slot, Task task);
  void StartThread(const SlotPtr& slot);
  // Records the error if it is the first, and ends the context. With KeepGoing,
  // records each, and ends nothing.
  void Fail(absl::Status error);
  // The last access of a task to the group, which may be destroyed afterwards.
  void Release(std::optional<Threads::iterator> thread);

  const Cancellable cancellable_;
  const bool keep_going_;
  const Executor executor_;
  internal::Mutex mutex_;
  internal::CondVar changed_;  // a slot may be free, or all tasks are over
  int limit_ ABSL_GUARDED_BY(mutex_) = -1;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;  // slots taken
  int blocked_ ABSL_GUARDED_BY(mutex_) = 0;  // slots of tasks blocked in Go
  absl::Status first_error_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Status> errors_ ABSL_GUARDED_BY(mutex_);  // with KeepGoing
  // A thread that ends moves its entry to ended_threads_; Go and Wait join it.
  Threads threads_ ABSL_GUARDED_BY(mutex_);
  Threads ended_threads_ ABSL_GUARDED_BY(mutex_);
};

// Implementation details only below.

template <typename F>
TaskGroup::Task TaskGroup::ToTask(F&& fn) {
  using Fn = std::decay_t<F>;
  if (internal::IsNull(fn)) return nullptr;
  if constexpr (std::is_invocable_v<Fn, const Context&>) {
    using Result = std::invoke_result_t<Fn, const Context&>;
    if constexpr (std::is_void_v<Result>) {
      return [f = Fn(std::forward<F>(fn))](const Context& ctx) mutable {
        std::invoke(std::move(f), ctx);
        return absl::OkStatus();
      };
    } else {
      static_assert(std::is_convertible_v<Result, absl::Status>,
                    "a task returns absl::Status or nothing");
      return Task(std::forward<F>(fn));
    }
  } else {
    static_assert(std::is_invocable_v<Fn>,
                  "a task takes a const tether::Context& or nothing");
    using Result = std::invoke_result_t<Fn>;
    static_assert(
        std::is_void_v<Result> || std::is_convertible_v<Result, absl::Status>,
        "a task returns absl::Status or nothing");
    return [f = Fn(std::forward<F>(fn))](const Context&) mutable {
      if constexpr (std::is_void_v<Result>) {
        std::invoke(std::move(f));
        return absl::OkStatus();
      } else {
        return absl::Status(std::invoke(std::move(f)));
      }
    };
  }
}

}  // namespace tether

#endif  // TETHER_TASK_GROUP_H_
