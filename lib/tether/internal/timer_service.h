// SPDX-License-Identifier: Apache-2.0
//
// TimerService: the timers of one clock. Internal. It is a timer wheel behind a
// lock; the real clock also has threads that fire the timers
// (real_timer_service.h).
//
// The service is "attended" while something fires its timers: a thread or, for
// a simulated clock, the test.
//
// Thread safety: any thread. Every armed timer belongs to a DeadlineScope
// (invariant 1 of node.h says why the service may take a reference to it).
//
// Invariant: a scope that is not near, and so is armed for the moment when it
// comes near, is armed only while the service is attended. When the service
// becomes unattended, all armed scopes become near (SetUnattended); from then
// on, scopes become near when they are armed. So Done() never depends on a
// thread that does not exist.

#ifndef TETHER_INTERNAL_TIMER_SERVICE_H_
#define TETHER_INTERNAL_TIMER_SERVICE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "tether/export.h"
#include "tether/internal/deferred_callbacks.h"
#include "tether/internal/spin_lock.h"
#include "tether/internal/timer_wheel.h"

namespace tether::internal {

struct DeadlineScope;

// A deadline that is at most this far away is "near": Done() compares the
// clock. The timer thread may run this late without making Done() late.
inline constexpr Nanos kNearWindow = 100'000'000;

class TETHER_EXPORT TimerService {
 public:
  // See TimerWheel for tick_shift.
  TimerService(int tick_shift, Nanos start, bool attended = true)
      : wheel_(tick_shift, start), attended_(attended) {}
  virtual ~TimerService() = default;
  TimerService(const TimerService&) = delete;
  TimerService& operator=(const TimerService&) = delete;

  // Tries to make the service attended. Call it before Arm, without any lock.
  // Never throws.
  void EnsureAttended() {
    if (!attended_.load(std::memory_order_relaxed)) TryToAttend();
  }

  struct Armed {
    bool wake;  // the caller must call Wake() once it holds no lock
    bool near;  // the scope must be near from now on
  };

  // Arms `timer` for `deadline` if `near`, or else for the moment when the
  // deadline comes near.
  [[nodiscard]] Armed Arm(Timer& timer, Nanos deadline, bool near)
      ABSL_LOCKS_EXCLUDED(lock_);

  // Makes the thread check the wheel again. May make a system call.
  virtual void Wake() = 0;

  // No effect if `timer` isn't armed or is already being fired.
  void Disarm(Timer& timer) ABSL_LOCKS_EXCLUDED(lock_);

  // Fires the timers that are due at `now`: for deadlines that came near or
  // passed. Runs callbacks of contexts.
  void RunDue(Nanos now) ABSL_LOCKS_EXCLUDED(lock_);

  Nanos NextEvent() ABSL_LOCKS_EXCLUDED(lock_);
  size_t armed() ABSL_LOCKS_EXCLUDED(lock_);

 protected:
  // Like RunDue, but runs no user code: the result contains the callbacks, and
  // the scopes that nobody else refers to any more.
  [[nodiscard]] DeferredCallbacks FireDue(Nanos now) ABSL_LOCKS_EXCLUDED(lock_);

  // Decides until when the thread sleeps, and returns that time; a timer that
  // is armed for an earlier time wakes the thread. The time is that of the next
  // event, or an earlier time for which the thread was woken before and which
  // is still to come. That timer may be gone. But if short timers come and go,
  // as those of requests do, each would otherwise wake the thread again.
  Nanos PlanSleep(Nanos now) ABSL_LOCKS_EXCLUDED(lock_);

  // From now on the service is attended.
  void SetAttended() ABSL_LOCKS_EXCLUDED(lock_);

  // From now on the service is unattended: all armed scopes become near.
  // O(armed). Runs no user code, like FireDue.
  [[nodiscard]] DeferredCallbacks SetUnattended() ABSL_LOCKS_EXCLUDED(lock_);

  // For the child of a fork, which has none of its parent's other threads.
  // Timers armed before the fork never fire here, and the service is
  // unattended. Contexts made before the fork become near, if their locks were
  // free at the fork. O(armed).
  void AbandonAfterFork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  SpinLock lock_;

 private:
  virtual void TryToAttend() {}

  // Takes a reference to the scope of each timer in the list.
  static void RefAll(Timer* timers);

  TimerWheel wheel_ ABSL_GUARDED_BY(lock_);
  Nanos sleeping_until_ ABSL_GUARDED_BY(lock_) = kNever;
  // How many times the process has forked. A timer with another number was
  // armed in the parent process, and is in no wheel.
  uint32_t generation_ ABSL_GUARDED_BY(lock_) = 0;
  std::atomic<bool> attended_;  // written under lock_
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_TIMER_SERVICE_H_
