// A queue of blocked threads, each woken by itself, first come first served.
// Internal.
//
// Thread safety: everything needs the mutex that the waiters block on, which
// is the owner's. Waiting does not allocate.

#ifndef TETHER_INTERNAL_WAIT_QUEUE_H_
#define TETHER_INTERNAL_WAIT_QUEUE_H_

#include "tether/internal/mutex.h"

namespace tether::internal {

// One blocked operation; on its thread's stack.
class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // Makes the Wait under way, or else the next one, return.
  void Wake() {
    woken_ = true;
    cv_.NotifyOne();
  }

 private:
  friend class WaitQueue;

  CondVar cv_;
  bool woken_ = false;
  bool queued_ = false;
  bool waited_ = false;
  Waiter* prev_ = nullptr;
  Waiter* next_ = nullptr;
};

class WaitQueue {
 public:
  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;

  // Blocks until `waiter` is woken, by the queue or otherwise. The first time
  // it queues at the back, afterwards at the front.
  //
  // A WakeOne may have picked this waiter even where it was also woken
  // otherwise. So if it leaves without using what it waited for, it has to pass
  // the wake on with WakeOne.
  void Wait(Mutex& mutex, Waiter& waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (waiter.waited_) {
      PushFront(waiter);
    } else {
      PushBack(waiter);
      waiter.waited_ = true;
    }
    while (!waiter.woken_) waiter.cv_.Wait(mutex);
    waiter.woken_ = false;
    if (waiter.queued_) Remove(waiter);
  }

  // Wakes the first waiter, which leaves the queue. Does nothing without one.
  void WakeOne() {
    Waiter* waiter = first_;
    if (waiter == nullptr) return;
    Remove(*waiter);
    waiter->Wake();
  }

  void WakeAll() {
    while (first_ != nullptr) WakeOne();
  }

 private:
  void PushFront(Waiter& waiter) {
    waiter.prev_ = nullptr;
    waiter.next_ = first_;
    (first_ != nullptr ? first_->prev_ : last_) = &waiter;
    first_ = &waiter;
    waiter.queued_ = true;
  }

  void PushBack(Waiter& waiter) {
    waiter.prev_ = last_;
    waiter.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &waiter;
    last_ = &waiter;
    waiter.queued_ = true;
  }

  void Remove(Waiter& waiter) {
    (waiter.prev_ != nullptr ? waiter.prev_->next_ : first_) = waiter.next_;
    (waiter.next_ != nullptr ? waiter.next_->prev_ : last_) = waiter.prev_;
    waiter.queued_ = false;
  }

  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_WAIT_QUEUE_H_
