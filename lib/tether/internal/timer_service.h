// The timers of one clock: a wheel behind a lock, and, for the real clock,
// threads that tend it (real_timer_service.h).
//
// Thread safety: any thread. Every armed timer belongs to a DeadlineScope
// (invariant 1 of node.h says why the service may take a reference to it).
//
// Invariant: a scope that is armed for later than its deadline's near window,
// and so is not near, is armed while the service is attended. When that ends,
// what is armed becomes near (Unattend), and later scopes are near when they
// are armed. So Done() never depends on a thread that isn't there.

#ifndef TETHER_INTERNAL_TIMER_SERVICE_H_
#define TETHER_INTERNAL_TIMER_SERVICE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "tether/export.h"
#include "tether/internal/owed_callbacks.h"
#include "tether/internal/spin_lock.h"
#include "tether/internal/timer_wheel.h"

namespace tether::internal {

struct DeadlineScope;

// A deadline that is at most this far away is "near": Done() compares the
// clock. It is how late the timer thread may be scheduled without Done() being
// late.
inline constexpr Nanos kNearWindow = 100'000'000;

class TETHER_EXPORT TimerService {
 public:
  // See TimerWheel for tick_shift.
  TimerService(int tick_shift, Nanos start, bool attended = true)
      : wheel_(tick_shift, start), attended_(attended) {}
  virtual ~TimerService() = default;
  TimerService(const TimerService&) = delete;
  TimerService& operator=(const TimerService&) = delete;

  // Tries to see to it that somebody notes the timers: to be called, without
  // any lock, before Arm. Never throws.
  void Attend() {
    if (!attended_.load(std::memory_order_relaxed)) TryToAttend();
  }

  struct Armed {
    bool wake;  // the caller has to call Wake() once it holds no lock
    bool near;  // the scope has to be near from now on
  };

  // Arms `timer` for `deadline` where `near`, or else for when that comes near.
  [[nodiscard]] Armed Arm(Timer& timer, Nanos deadline, bool near)
      ABSL_LOCKS_EXCLUDED(lock_);

  // Makes the thread look at the wheel again. May make a system call.
  virtual void Wake() = 0;

  // No effect when `timer` isn't armed, or has just been taken to be fired.
  void Disarm(Timer& timer) ABSL_LOCKS_EXCLUDED(lock_);

  // Fires what is due at `now`: deadlines that came near, and those that
  // passed. Runs callbacks of contexts.
  void RunDue(Nanos now) ABSL_LOCKS_EXCLUDED(lock_);

  Nanos NextEvent() ABSL_LOCKS_EXCLUDED(lock_);
  size_t armed() ABSL_LOCKS_EXCLUDED(lock_);

 protected:
  // RunDue, but no code of a user runs: callbacks are left to the caller, and
  // so are scopes that nobody else refers to any more.
  [[nodiscard]] OwedCallbacks NoteDue(Nanos now) ABSL_LOCKS_EXCLUDED(lock_);

  // When the thread means to wake; an earlier timer must wake it. Returns that
  // time: the next event's, or an earlier one for which it was woken and which
  // is still to come. That one's timer may be gone by now; but where short
  // timers come and go, as those of requests do, each would else have to wake
  // the thread anew.
  Nanos PlanSleep(Nanos now) ABSL_LOCKS_EXCLUDED(lock_);

  // Somebody notes the timers from now on.
  void SetAttended() ABSL_LOCKS_EXCLUDED(lock_);

  // Nobody does: all that is armed becomes near. O(armed). No code of a user
  // runs, as with NoteDue.
  [[nodiscard]] OwedCallbacks Unattend() ABSL_LOCKS_EXCLUDED(lock_);

  // In the child of a fork, which has none of its parent's other threads.
  // Timers of before never fire here, and nobody notes new ones yet. Of the
  // contexts of before, those whose locks were free are near from now on.
  // O(armed).
  void AbandonAfterFork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  SpinLock lock_;

 private:
  virtual void TryToAttend() {}

  // Those of `timers` that fire, each with a reference for the caller. They are
  // no longer armed.
  static void RefAll(Timer* timers);

  TimerWheel wheel_ ABSL_GUARDED_BY(lock_);
  Nanos sleeping_until_ ABSL_GUARDED_BY(lock_) = kNever;
  // How many forks lie behind this service: a timer with another number was
  // armed in the parent process, and is in no wheel.
  uint32_t generation_ ABSL_GUARDED_BY(lock_) = 0;
  std::atomic<bool> attended_;  // written under lock_
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_TIMER_SERVICE_H_
