// SPDX-License-Identifier: Apache-2.0
//
// DelayQueue: entries that become due a fixed time after they are added, for
// one thread that waits for them. Meant for entries most of which are removed
// before.
//
// All delays are equal, so entries become due in the order in which they are
// added. There are shards, each a list behind its own lock. An entry belongs to
// the shard of the thread that adds it. So adding and removing are O(1),
// allocate nothing, and threads share no cache line that they write.
//
// When no entry is left, RunDue lets the thread look a few times more, one
// delay apart, before it may sleep until it is woken: a busy server wakes it
// once, and not for each request.
//
// Thread safety: any thread may call Add and Remove. One thread at a time calls
// RunDue.
//
// Lock order: no other lock is taken under a lock of this.
//
// Example:
//   if (queue.Add(entry, now)) WakeThread();       // which calls RunDue
//   …
//   queue.Remove(entry);

#ifndef TETHER_GRPC_INTERNAL_DELAY_QUEUE_H_
#define TETHER_GRPC_INTERNAL_DELAY_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "tether/internal/nanos.h"

namespace tether::internal {

class DelayQueue {
 public:
  // A part of an object that has shared owners.
  class Entry {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   protected:
    // Requires that the entry isn't in a queue.
    virtual ~Entry() = default;

   private:
    friend class DelayQueue;

    // Returns a reference that keeps this entry alive, or null if it is about
    // to be destroyed. Called under a lock.
    virtual std::shared_ptr<void> Hold() noexcept = 0;
    // Called by RunDue, without any lock.
    virtual void OnDue() = 0;

    // Guarded by the shard's lock.
    Entry* next_ = nullptr;
    Entry* previous_ = nullptr;
    bool queued_ = false;
    // Constant once added.
    Nanos due_ = kNever;
    size_t shard_ = 0;
  };

  // Entries are due `delay` after they are added. It must be positive.
  explicit DelayQueue(Nanos delay);
  // Requires that no entry is left.
  ~DelayQueue();
  DelayQueue(const DelayQueue&) = delete;
  DelayQueue& operator=(const DelayQueue&) = delete;

  // Adds `entry`, which must not have been added before. `now` is the time. If
  // it returns true, the thread sleeps until it is woken, and no other Add says
  // so again: the caller must wake it.
  [[nodiscard]] bool Add(Entry& entry, Nanos now);

  // The thread that Add wanted to be woken can't be: the next Add says it
  // again.
  void StillAsleep() { asleep_.store(true, std::memory_order_relaxed); }

  // Removes `entry`, for which Add must have returned. No effect if it isn't
  // there any more; its OnDue may be running, or about to.
  void Remove(Entry& entry);

  // Runs the entries that are due at `now`, and returns when to call this
  // again, unless the thread is woken before. kNever: only then.
  Nanos RunDue(Nanos now);

 private:
  struct Shard;

  const Nanos delay_;
  std::vector<std::unique_ptr<Shard>> shards_;  // constant; a power of two
  int looks_ = 0;  // how often RunDue has found nothing new, in a row
  // True if whoever adds an entry must wake the thread.
  std::atomic<bool> asleep_{true};
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_DELAY_QUEUE_H_
