// A one-byte lock for sections of a few instructions.
//
// Every cancellable context has a lock of its own, so its size (1 byte;
// std::mutex has 40) and its price without contention (one atomic exchange) are
// the price of a context. It is made of std::atomic alone, so ThreadSanitizer
// sees each acquire and release. Nothing under it blocks, allocates or calls
// user code, and a thread that finds it taken yields after a short spin and
// sleeps after a long one, so a holder that lost its core gets it back.
//
// Thread safety: it is a lock. Not recursive.

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

  // Whether somebody holds it at this moment.
  bool taken() const { return taken_.load(std::memory_order_relaxed); }

 private:
  void LockSlow();

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
