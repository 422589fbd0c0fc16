// SPDX-License-Identifier: Apache-2.0
//
// SpinLock: a one-byte lock for critical sections of a few instructions.
// Internal.
//
// Every cancellable context has a lock, so it must be small (1 byte; std::mutex
// has 40) and cheap without contention (one atomic exchange). It uses only
// std::atomic, so ThreadSanitizer sees every acquire and release.
//
// Do not block, allocate or call user code while holding it. A thread that
// finds it taken pauses for some microseconds, then yields, then sleeps, so a
// holder that was preempted gets to run again. Not recursive.
//
// Only the lock of a scope is contended by design: threads that make children
// of one parent take the parent's lock twice for each child, some ten
// nanoseconds each time. It doesn't park its waiters. Parking takes a system
// call, longer than a hundred such sections, and to find waiters unlock would
// need an atomic exchange instead of a store: 5 ns more for each of the three
// locks that a child's life takes, which nearly always nobody waits for. A
// section is long only if its thread is preempted, or ends a tree of thousands
// of scopes. Then the waiters sleep, and find the lock free up to 50 us late.

#ifndef TETHER_INTERNAL_SPIN_LOCK_H_
#define TETHER_INTERNAL_SPIN_LOCK_H_

#include <atomic>

#include "absl/base/thread_annotations.h"
#include "tether/export.h"

namespace tether::internal {

class ABSL_LOCKABLE TETHER_EXPORT SpinLock {
 public:
  constexpr SpinLock() = default;
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;

  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    if (taken_.exchange(true, std::memory_order_acquire)) LockSlow();
  }
  void unlock() ABSL_UNLOCK_FUNCTION() {
    taken_.store(false, std::memory_order_release);
  }

  // True if some thread holds it at this moment.
  bool taken() const { return taken_.load(std::memory_order_relaxed); }

 private:
  bool TryLock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true);
  void LockSlow() ABSL_EXCLUSIVE_LOCK_FUNCTION();

  std::atomic<bool> taken_{false};
};

class ABSL_SCOPED_LOCKABLE SpinLockHolder {
 public:
  explicit SpinLockHolder(SpinLock& lock) ABSL_EXCLUSIVE_LOCK_FUNCTION(lock)
      : lock_(lock) {
    lock_.lock();
  }
  ~SpinLockHolder() ABSL_UNLOCK_FUNCTION() { lock_.unlock(); }
  SpinLockHolder(const SpinLockHolder&) = delete;
  SpinLockHolder& operator=(const SpinLockHolder&) = delete;

 private:
  SpinLock& lock_;
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_SPIN_LOCK_H_
