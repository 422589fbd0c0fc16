// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/blocked_op.h"

#include <chrono>

#include "tether/clock.h"
#include "tether/internal/clock_of.h"

namespace tether::internal {

void BlockedOp::Wake() {
  // Notifies under the lock, since this may be destroyed once it is released.
  MutexLock lock(mutex_);
  woken_ = true;
  cv_.NotifyOne();
}

void BlockedOp::WatchDeadline(const Context& ctx, int index) {
  const Node* node = ContextAccess::NodeOf(ctx);
  if (node->scope == nullptr || &ClockOf(node) != &Clock::Real()) return;
  if (node->scope->deadline >= until_) return;
  until_ = node->scope->deadline;
  at_deadline_ = index;
  watched_ = ctx;
}

int BlockedOp::Await() {
  MutexLock lock(mutex_);
  while (!woken_) {
    if (until_ == kNever) {
      cv_.Wait(mutex_);
    } else if (Clock::Real().SteadyNanos() < until_) {
      cv_.WaitUntil(mutex_, std::chrono::steady_clock::time_point(
                                std::chrono::nanoseconds(until_)));
    } else if (Claim(at_deadline_)) {
      // The deadline has passed: this makes Done() true.
      (void)watched_.Remaining();
      break;
    } else {
      until_ = kNever;  // another thread has claimed it and will wake it
    }
  }
  return winner_.load(std::memory_order_acquire);
}

void BlockedQueue::Push(BlockedEntry& entry) {
  entry.prev = last_;
  entry.next = nullptr;
  (last_ != nullptr ? last_->next : first_) = &entry;
  last_ = &entry;
  entry.queued = true;
}

void BlockedQueue::Remove(BlockedEntry& entry) {
  if (!entry.queued) return;
  (entry.prev != nullptr ? entry.prev->next : first_) = entry.next;
  (entry.next != nullptr ? entry.next->prev : last_) = entry.prev;
  entry.queued = false;
}

BlockedEntry* BlockedQueue::ClaimFirst() {
  while (BlockedEntry* entry = first_) {
    Remove(*entry);
    if (entry->op->Claim(entry->index)) return entry;
  }
  return nullptr;
}

}  // namespace tether::internal
