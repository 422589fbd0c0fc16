// The timers of one clock: a wheel behind a lock, and, for the real clock, one
// thread that sleeps until the next event.
//
// Thread safety: any thread. Every armed timer belongs to a DeadlineScope
// (invariant 1 of node.h says why the service may take a reference to it).

#ifndef TETHER_INTERNAL_TIMER_SERVICE_H_
#define TETHER_INTERNAL_TIMER_SERVICE_H_

#include <cstddef>

#include "absl/base/thread_annotations.h"
#include "tether/internal/spin_lock.h"
#include "tether/internal/timer_wheel.h"

namespace tether::internal {

class TimerService {
 public:
  // See TimerWheel for tick_shift.
  TimerService(int tick_shift, Nanos start) : wheel_(tick_shift, start) {}
  virtual ~TimerService() = default;
  TimerService(const TimerService&) = delete;
  TimerService& operator=(const TimerService&) = delete;

  // Arms `timer`. Returns whether the caller has to call Wake() once it holds
  // no lock.
  [[nodiscard]] bool Arm(Timer& timer, Nanos when) ABSL_LOCKS_EXCLUDED(lock_);

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
  // When the thread means to wake; an earlier timer must wake it. Returns that
  // time: the next event's, or an earlier one for which it was woken and which
  // is still to come. That one's timer may be gone by now; but where short
  // timers come and go, as those of requests do, each would else have to wake
  // the thread anew.
  Nanos PlanSleep(Nanos now) ABSL_LOCKS_EXCLUDED(lock_);

  // There is no thread that sleeps: the next timer has to wake one.
  void ForgetSleep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    sleeping_until_ = kNever;
  }

  SpinLock lock_;

 private:
  TimerWheel wheel_ ABSL_GUARDED_BY(lock_);
  Nanos sleeping_until_ ABSL_GUARDED_BY(lock_) = kNever;
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_TIMER_SERVICE_H_
