// TaskGroup: several tasks of one request, side by side, as Go's errgroup. The
// first error ends the others; none outlives the group.

#ifndef TETHER_TASK_GROUP_H_
#define TETHER_TASK_GROUP_H_

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "tether/context.h"
#include "tether/executor.h"
#include "tether/export.h"
#include "tether/internal/is_null.h"
#include "tether/internal/mutex.h"

namespace tether {

// Runs tasks under a context of its own, a child of the one given, which is
// also Current() in the tasks.
//
// A task is a callable that takes a `const Context&` or nothing, and returns an
// absl::Status or nothing. It is called once, on a thread of its own or on the
// executor given. To end early when the others fail, it looks at its context.
//
// Guarantees:
//  1. The first task to fail ends the group's context: Cause() has its code
//     and message, EndReasonOf (end_reason.h) says kSiblingFailed, and Wait
//     returns the error itself. Later errors are dropped.
//  2. What a task throws is its error: INTERNAL "task threw: " and what().
//  3. When Wait or the destructor returns, all tasks are over, and all that
//     they captured is destroyed.
//  4. Every task is run, even where the context has ended: it knows best what
//     it owes to others.
//  5. Where memory runs out, Go throws and has started nothing; or the task
//     fails with RESOURCE_EXHAUSTED, as one without a thread does. An error
//     that comes then may lack its message and its EndReason. Wait returns.
//  6. A task that can't be run doesn't block anybody. It is destroyed, and
//     fails the group in its stead. Those are:
//      - a null task (INVALID_ARGUMENT);
//      - one for which the system has no thread, or over which the executor
//        throws (RESOURCE_EXHAUSTED), or which it drops (CANCELLED);
//      - any task at a limit of 0, and one given to Go by a task when every
//        running task of the group is blocked in Go (FAILED_PRECONDITION).
//        Go's errgroup blocks there for ever: each slot is held by a task that
//        waits for one. As long as another task runs, Go blocks here, too.
//
// Thread safety: any thread, tasks included, except for the destructor: no call
// may be under way or start then, but for those made by tasks. A call of Go by
// anyone but a task isn't ordered with Wait, which may return without having
// seen that task; the destructor has. Lifetime: keeps the parent alive.
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
  // Each task gets a thread of its own.
  [[nodiscard]] explicit TaskGroup(const Context& parent);

  // The tasks run on `executor`; null is as above. It must be safe to call from
  // all threads that call Go. A pool that is too small for tasks that wait for
  // one another blocks them, and the group can't tell.
  //
  //   tether::TaskGroup group(ctx, [&pool](auto task) {
  //     pool.Schedule(std::move(task));
  //   });
  [[nodiscard]] TaskGroup(const Context& parent, Executor executor);

  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Cancels the context and waits for all tasks. In a task of the group itself
  // that can't be, and aborts the program; so it does where a failing task ends
  // the context, in a callback of that.
  ~TaskGroup();

  // Ends with the parent, with the first error, or when Wait returns.
  const Context& context() const { return cancellable_.ctx; }

  // At most `limit` tasks at a time from now on; negative: any number, as at
  // first. At 0 none may start (guarantee 6). Those that run, go on; where they
  // are more than the limit, the next has to wait until they are fewer.
  void SetLimit(int limit);

  // Starts a task; blocks while the limit is reached.
  template <typename F>
  void Go(F&& fn) {
    if (SlotPtr slot = AwaitSlot()) {
      Start(std::move(slot), ToTask(std::forward<F>(fn)));
    }
  }

  // Starts a task and returns true, unless the limit is reached: then returns
  // false, and `fn` is as it was.
  template <typename F>
  [[nodiscard]] bool TryGo(F&& fn) {
    SlotPtr slot = TakeSlot();
    if (slot == nullptr) return false;
    Start(std::move(slot), ToTask(std::forward<F>(fn)));
    return true;
  }

  // Blocks until all tasks are over, ends the context, and returns the first
  // error, or OK. That the parent has ended is no error by itself.
  //
  // Can be called again, also after more tasks, which find their context ended;
  // the first error stays. In a task of the group itself, which it would wait
  // for, it returns FAILED_PRECONDITION at once, and does nothing else; also in
  // the destructor of what a task captured, and in a callback of the group's
  // context that runs because a task failed. In a
  // task of another group for which a task of this one waits, it blocks for
  // ever.
  absl::Status Wait();

 private:
  class Slot;  // a place under the limit, and the task in it
  using SlotPtr = std::shared_ptr<Slot>;
  using Task = absl::AnyInvocable<absl::Status(const Context&) &&>;
  using Threads = std::list<std::thread>;

  template <typename F>
  static Task ToTask(F&& fn);

  // Null when the task is rejected. May block.
  SlotPtr AwaitSlot();
  // Null when the limit is reached.
  SlotPtr TakeSlot();
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return limit_ < 0 || running_ < limit_;
  }

  void Start(SlotPtr slot, Task task);
  void StartThread(const SlotPtr& slot);
  // Records the error if it is the first, and ends the context.
  void Fail(absl::Status error);
  // The last thing that a task does with the group: it may be gone afterwards.
  void Release(std::optional<Threads::iterator> thread);

  const Cancellable cancellable_;
  const Executor executor_;
  internal::Mutex mutex_;
  internal::CondVar changed_;  // a slot may be free, or all tasks are over
  int limit_ ABSL_GUARDED_BY(mutex_) = -1;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;  // slots taken
  int blocked_ ABSL_GUARDED_BY(mutex_) = 0;  // of these, those blocked in Go
  absl::Status first_error_ ABSL_GUARDED_BY(mutex_);
  // Each thread moves its own entry over when it ends; Go and Wait join those.
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
