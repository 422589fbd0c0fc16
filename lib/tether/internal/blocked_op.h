// An operation that blocks until one of several things has happened: what Send,
// Receive and Select of channels are made of. Internal.
//
// Invariants:
//  1. Each operation is claimed once: by whoever completes one of its cases, or
//     by the end of a context. Who loses leaves it alone.
//  2. A case is claimed, completed and woken under its channel's lock. The
//     operation takes that lock once more before it returns; so nobody touches
//     it afterwards.
//  3. An entry is in a queue only while its operation blocks, or until somebody
//     popped it; both under the channel's lock.

#ifndef TETHER_INTERNAL_BLOCKED_OP_H_
#define TETHER_INTERNAL_BLOCKED_OP_H_

#include <atomic>

#include "absl/base/thread_annotations.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/internal/mutex.h"
#include "tether/internal/nanos.h"

namespace tether::internal {

// On the stack of the thread that blocks. Thread safety: any thread.
class TETHER_EXPORT BlockedOp {
 public:
  static constexpr int kContextEnded = -1;

  BlockedOp() = default;
  BlockedOp(const BlockedOp&) = delete;
  BlockedOp& operator=(const BlockedOp&) = delete;

  // Whether the caller is the first. It then completes case `index`, and calls
  // Wake.
  bool Claim(int index) {
    int nobody = kNobody;
    return winner_.compare_exchange_strong(nobody, index,
                                           std::memory_order_acq_rel);
  }
  void Wake();

  // For a callback of AfterFunc.
  void ClaimAndWake(int index) {
    if (Claim(index)) Wake();
  }

  // A context whose end is case `index`: its deadline, if it has one on the
  // real clock, is watched by Await itself, whatever the timer thread is at.
  // Before Await.
  void WatchDeadline(const Context& ctx, int index);

  // Blocks until somebody has claimed it and woken it. Returns the case.
  int Await();

 private:
  static constexpr int kNobody = -2;

  std::atomic<int> winner_{kNobody};
  Nanos until_ = kNever;
  int at_deadline_ = kContextEnded;
  Context watched_;
  Mutex mutex_;
  CondVar cv_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
};

// One case of a blocked operation, in the queue of its channel.
struct BlockedEntry {
  BlockedOp* op = nullptr;
  int index = 0;
  bool queued = false;
  BlockedEntry* prev = nullptr;
  BlockedEntry* next = nullptr;
};

// First come, first served. Thread safety: under the channel's lock.
class TETHER_EXPORT BlockedQueue {
 public:
  BlockedQueue() = default;
  BlockedQueue(const BlockedQueue&) = delete;
  BlockedQueue& operator=(const BlockedQueue&) = delete;

  void Push(BlockedEntry& entry);
  // No effect where it is in none.
  void Remove(BlockedEntry& entry);
  // Takes the first entry whose operation it can claim off; null: there is
  // none. The caller completes it and wakes its operation.
  BlockedEntry* ClaimFirst();

 private:
  BlockedEntry* first_ = nullptr;
  BlockedEntry* last_ = nullptr;
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_BLOCKED_OP_H_
