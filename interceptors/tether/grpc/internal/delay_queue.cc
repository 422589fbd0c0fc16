// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/delay_queue.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "tether/internal/live_counts.h"
#include "tether/internal/mutex.h"

namespace tether::internal {
namespace {

// How often an empty queue is looked at before the thread sleeps until it is
// woken.
constexpr int kLooks = 5;

// The least power of two that isn't less than the number of cores.
size_t ShardsForCores() {
  size_t shards = 1;
  while (shards < std::min(std::thread::hardware_concurrency(), 64u)) {
    shards *= 2;
  }
  return shards;
}

}  // namespace

// Two cache lines, since processors fetch them in pairs.
struct alignas(128) DelayQueue::Shard {
  Mutex mutex;
  Entry* first ABSL_GUARDED_BY(mutex) = nullptr;
  Entry* last ABSL_GUARDED_BY(mutex) = nullptr;
  // Whether something was added since RunDue looked.
  bool added ABSL_GUARDED_BY(mutex) = false;

  void Append(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    entry.previous_ = last;
    (last == nullptr ? first : last->next_) = &entry;
    last = &entry;
    entry.queued_ = true;
    added = true;
  }

  void Unlink(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    (entry.previous_ == nullptr ? first : entry.previous_->next_) = entry.next_;
    (entry.next_ == nullptr ? last : entry.next_->previous_) = entry.previous_;
    entry.queued_ = false;
  }
};

DelayQueue::DelayQueue(Nanos delay) : delay_(delay) {
  shards_.resize(ShardsForCores());
  for (auto& shard : shards_) shard = std::make_unique<Shard>();
}

DelayQueue::~DelayQueue() = default;

bool DelayQueue::Add(Entry& entry, Nanos now) {
  entry.due_ = AddNanos(now, delay_);
  entry.shard_ = ThreadNumber() & (shards_.size() - 1);
  {
    Shard& shard = *shards_[entry.shard_];
    MutexLock lock(shard.mutex);
    shard.Append(entry);
  }
  return asleep_.load(std::memory_order_relaxed) &&
         asleep_.exchange(false, std::memory_order_relaxed);
}

void DelayQueue::Remove(Entry& entry) {
  Shard& shard = *shards_[entry.shard_];
  MutexLock lock(shard.mutex);
  if (entry.queued_) shard.Unlink(entry);
}

Nanos DelayQueue::RunDue(Nanos now) {
  struct Due {
    Entry* entry;
    std::shared_ptr<void> held;
  };
  std::vector<Due> due;
  bool added = false;
  const auto visit = [&] {
    Nanos next = kNever;
    for (const auto& shard : shards_) {
      MutexLock lock(shard->mutex);
      added |= std::exchange(shard->added, false);
      while (shard->first != nullptr && shard->first->due_ <= now) {
        Entry* entry = shard->first;
        shard->Unlink(*entry);
        if (auto held = entry->Hold()) due.push_back({entry, std::move(held)});
      }
      if (shard->first != nullptr) next = std::min(next, shard->first->due_);
    }
    return next;
  };
  asleep_.store(false, std::memory_order_relaxed);
  Nanos next = visit();
  looks_ = added ? 0 : looks_ + 1;
  if (next == kNever && looks_ <= kLooks) {
    next = AddNanos(now, delay_);
  } else if (next == kNever) {
    // A thread that adds an entry to a shard after that is visited now finds
    // this true.
    asleep_.store(true, std::memory_order_relaxed);
    next = visit();
    // If another thread wakes this one too, that does no harm.
    if (next != kNever) asleep_.store(false, std::memory_order_relaxed);
  }
  for (const Due& d : due) d.entry->OnDue();
  return next;
}

}  // namespace tether::internal
