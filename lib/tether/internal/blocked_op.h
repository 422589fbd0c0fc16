// SPDX-License-Identifier: Apache-2.0
//
// BlockedOp: an operation that blocks until one of several cases is completed
// or a context ends. Internal: Send, Receive and Select are built on it.
//
// Invariants:
//  1. Each operation is claimed once: by the thread that completes one of its
//     cases, or by the end of a context. A thread whose claim fails leaves the
//     operation alone.
//  2. A case is claimed and completed, and its thread is woken, under the
//     channel's lock. The operation takes that lock again before it returns. So
//     no thread accesses it afterwards.
//  3. An entry is in a queue only while its operation blocks and nobody has
//     popped it. Both change under the channel's lock.

#ifndef TETHER_INTERNAL_BLOCKED_OP_H_
#define TETHER_INTERNAL_BLOCKED_OP_H_

#include <atomic>

#include "absl/base/thread_annotations.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/internal/mutex.h"
#include "tether/internal/nanos.h"

namespace tether::internal {

// It lies on the stack of the thread that blocks. Thread safety: any thread.
class TETHER_EXPORT BlockedOp {
 public:
  static constexpr int kContextEnded = -1;

  BlockedOp() = default;
  BlockedOp(const BlockedOp&) = delete;
  BlockedOp& operator=(const BlockedOp&) = delete;

  // Returns true if the caller is the first. It must then complete case `index`
  // and call Wake.
  bool Claim(int index) {
    int nobody = kNobody;
    return winner_.compare_exchange_strong(nobody, index,
                                           std::memory_order_acq_rel);
  }
  void Wake();

  // For callbacks of AfterFunc.
  void ClaimAndWake(int index) {
    if (Claim(index)) Wake();
  }

  // Makes the deadline of `ctx` claim case `index`. If it is on the real clock,
  // Await itself watches it and does not depend on the timer thread. Call it
  // before Await.
  void WatchDeadline(const Context& ctx, int index);

  // Blocks until the operation was claimed and woken. Returns the case.
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

// A queue, first come, first served. Guarded by the channel's lock.
class TETHER_EXPORT BlockedQueue {
 public:
  BlockedQueue() = default;
  BlockedQueue(const BlockedQueue&) = delete;
  BlockedQueue& operator=(const BlockedQueue&) = delete;

  void Push(BlockedEntry& entry);
  // No effect if the entry is not queued.
  void Remove(BlockedEntry& entry);
  // Removes entries up to the first whose operation it can claim, and returns
  // that one; null if there is none. The caller completes the operation and
  // wakes it.
  BlockedEntry* ClaimFirst();

 private:
  BlockedEntry* first_ = nullptr;
  BlockedEntry* last_ = nullptr;
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_BLOCKED_OP_H_
