// SPDX-License-Identifier: Apache-2.0
//
// RealTimerService: the timers of the machine's clock, and the threads that
// fire them. Internal.
//
// The timekeeper thread ("tether-timer") is started by the first deadline. It
// sleeps until the next event, then fires the timers of deadlines that came
// near or passed. It runs no user code, so nothing delays it. Callbacks of
// passed deadlines run on the callback thread ("tether-callback"), one after
// the other; the first of them starts it. A callback that blocks delays other
// callbacks, and nothing else: Done() compares the clock near a deadline, and a
// thread that waits watches the time itself (Context::Wait).
//
// If a thread can't be started, the next deadline or callback tries again.
// Without a timekeeper the service is unattended (timer_service.h). Without a
// callback thread the timekeeper runs the callbacks, and the service is
// unattended meanwhile.
//
// Process exit: when static objects are destroyed, the timekeeper is stopped
// and joined, then the callback thread, after the callbacks of deadlines that
// have passed. Afterwards no deadline fires, and the service stays unattended.
//
// fork: BeforeFork waits until the timekeeper is not firing timers, and takes
// all locks. The child has no threads; it abandons them and all timers, and its
// first deadline starts new threads.
//
// Lock order: firing_, then mutex_, then the locks of the shards. Under
// firing_, the timekeeper also takes the locks of scopes, and those of shards
// under them.

#ifndef TETHER_INTERNAL_REAL_TIMER_SERVICE_H_
#define TETHER_INTERNAL_REAL_TIMER_SERVICE_H_

#include "absl/base/thread_annotations.h"
#include "tether/internal/deferred_callbacks.h"
#include "tether/internal/mutex.h"
#include "tether/internal/nanos.h"
#include "tether/internal/service_thread.h"
#include "tether/internal/timer_service.h"

namespace tether::internal {

// The time of std::chrono::steady_clock.
Nanos RealSteadyNanos();

// There is one per process. It is never destroyed.
class RealTimerService final : public TimerService {
 public:
  // Also registers handlers for fork, so make it before other threads exist.
  RealTimerService();

  void Wake() override;

 private:
  void TryToAttend() override;

  // The bodies of the two threads.
  void KeepTime();
  void RunCallbacks();

  // Passes callbacks to the callback thread, or runs them here if that can't be
  // started.
  void RunOnCallbackThread(DeferredCallbacks deferred);

  void StopAtExit();
  void Stop();

  void BeforeFork();
  void AfterForkInParent();
  void AfterForkInChild();

  Mutex firing_;  // held while the timekeeper fires timers
  Mutex mutex_;
  CondVar wake_;
  CondVar wake_callbacks_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool no_more_callbacks_ ABSL_GUARDED_BY(mutex_) = false;
  DeferredCallbacks deferred_ ABSL_GUARDED_BY(mutex_);
  ServiceThread timekeeper_ ABSL_GUARDED_BY(mutex_);
  ServiceThread callback_thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_REAL_TIMER_SERVICE_H_
