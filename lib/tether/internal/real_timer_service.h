// The timers of the machine's clock, and the threads that tend them.
//
// The timekeeper ("tether-timer") is started by the first deadline, and asleep
// until the next event. It notes which deadlines came near and which passed; no
// code of a user runs on it, so nothing keeps it. The callbacks of deadlines
// that passed run on a second thread ("tether-callback"), one after the other.
// It is started by the first of them. Who keeps it delays callbacks, and
// nothing else: Done() compares the clock near a deadline, and waits are timed
// by the waiting thread itself (Context::Wait).
//
// Where a thread can't be started, that is tried again with the next deadline,
// or the next callback. Without a timekeeper the service is unattended: see
// timer_service.h. Without the other, the timekeeper runs the callbacks, and
// the service is unattended for that time.
//
// Process exit: the threads are stopped and joined when static objects are
// destroyed (in that order: callbacks of deadlines that have passed still run).
// Deadlines no longer fire then, and the service is unattended for good.
//
// fork: BeforeFork waits for the timekeeper to finish what it is at, and takes
// all locks. In the child there are no threads; it forgets them, and all timers
// of before, and starts its own with its first deadline.
//
// Lock order: noting_, then mutex_, then the service's lock_. Under noting_,
// the timekeeper also takes the locks of scopes, and lock_ under those.

#ifndef TETHER_INTERNAL_REAL_TIMER_SERVICE_H_
#define TETHER_INTERNAL_REAL_TIMER_SERVICE_H_

#include "absl/base/thread_annotations.h"
#include "tether/internal/mutex.h"
#include "tether/internal/nanos.h"
#include "tether/internal/owed_callbacks.h"
#include "tether/internal/service_thread.h"
#include "tether/internal/timer_service.h"

namespace tether::internal {

// std::chrono::steady_clock's.
Nanos RealSteadyNanos();

// One in a process, and never destroyed.
class RealTimerService final : public TimerService {
 public:
  // Also makes fork handle the process's locks: so it has to be made before
  // other threads are there.
  RealTimerService();

  void Wake() override;

 private:
  void TryToAttend() override;

  // What the two threads do.
  void KeepTime();
  void RunCallbacks();

  // Has callbacks run, here if it must be.
  void HandOver(OwedCallbacks owed);

  void StopAtExit();
  void Stop();

  void BeforeFork();
  void AfterForkInParent();
  void AfterForkInChild();

  Mutex noting_;  // held while the timekeeper handles what is due
  Mutex mutex_;
  CondVar wake_;
  CondVar wake_callbacks_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool no_more_callbacks_ ABSL_GUARDED_BY(mutex_) = false;
  OwedCallbacks owed_ ABSL_GUARDED_BY(mutex_);
  ServiceThread timekeeper_ ABSL_GUARDED_BY(mutex_);
  ServiceThread callback_thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_REAL_TIMER_SERVICE_H_
