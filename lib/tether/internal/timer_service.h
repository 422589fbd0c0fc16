// SPDX-License-Identifier: Apache-2.0
//
// TimerService: the timers of one clock. Internal. The real clock also has
// threads that fire the timers (real_timer_service.h).
//
// The timers are spread over shards, each a timer wheel behind its own lock. A
// timer belongs to the shard of the thread that armed it first. So threads that
// arm and disarm their own timers share no lock and no written cache line. One
// thread fires the timers of all shards: an event is rare, since most timers
// are disarmed before they expire.
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
#include <memory>
#include <vector>

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

inline constexpr size_t kMaxShards = 64;

class TETHER_EXPORT TimerService {
 public:
  // See TimerWheel for tick_shift. `shards` is rounded up to a power of two.
  TimerService(int tick_shift, Nanos start, bool attended = true,
               size_t shards = 1);
  virtual ~TimerService();
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
  [[nodiscard]] Armed Arm(Timer& timer, Nanos deadline, bool near);

  // Makes the thread check the wheel again. May make a system call.
  virtual void Wake() = 0;

  // No effect if `timer` isn't armed or is already being fired.
  void Disarm(Timer& timer);

  // Fires the timers that are due at `now`: for deadlines that came near or
  // passed; earlier ones first. Runs callbacks of contexts.
  void RunDue(Nanos now);

  Nanos NextEvent();
  size_t armed();

 protected:
  // Like RunDue, but runs no user code: the result contains the callbacks, and
  // the scopes that nobody else refers to any more.
  [[nodiscard]] DeferredCallbacks FireDue(Nanos now);

  // Decides until when the thread sleeps, and returns that time; a timer that
  // is armed for an earlier time wakes the thread. The time is that of the next
  // event, or an earlier time for which the thread was woken before and which
  // is still to come. That timer may be gone. But if short timers come and go,
  // as those of requests do, each would otherwise wake the thread again.
  // Only that thread calls it.
  Nanos PlanSleep(Nanos now);

  // From now on the service is attended.
  void SetAttended();

  // From now on the service is unattended: all armed scopes become near.
  // O(armed). Runs no user code, like FireDue.
  [[nodiscard]] DeferredCallbacks SetUnattended();

  // For the child of a fork, which has none of its parent's other threads.
  // Timers armed before the fork never fire here, and the service is
  // unattended. Contexts made before the fork become near, if their locks were
  // free at the fork. O(armed). Requires LockAll.
  void AbandonAfterFork();

  // The locks of all shards, for fork.
  void LockAll();
  void UnlockAll();

 private:
  // Two cache lines, since processors fetch them in pairs.
  struct alignas(128) Shard {
    Shard(int tick_shift, Nanos start) : wheel(tick_shift, start) {}
    // It isn't contended by design: a shard is for one thread or few, and its
    // holders need some ten nanoseconds. A mutex that parks would cost each of
    // them a second atomic exchange.
    SpinLock lock;
    // How many times the process has forked. A timer with another number was
    // armed in the parent process, and is in no wheel.
    uint32_t generation ABSL_GUARDED_BY(lock) = 0;
    TimerWheel wheel ABSL_GUARDED_BY(lock);
  };

  virtual void TryToAttend() {}

  // Wakes the thread if it sleeps beyond `when`: true if the caller must.
  bool MustWakeFor(Nanos when);

  // Removes the due timers of all shards, the earliest first, and takes a
  // reference to each one's scope. They are linked by `next`.
  Timer* TakeDue(Nanos now);

  std::vector<std::unique_ptr<Shard>> shards_;  // constant; a power of two
  std::atomic<bool> attended_;
  // Read by all threads that arm timers, and written when the thread goes to
  // sleep or must be woken.
  alignas(128) std::atomic<Nanos> sleeping_until_{kNever};
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_TIMER_SERVICE_H_
