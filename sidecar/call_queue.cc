// SPDX-License-Identifier: Apache-2.0

#include "sidecar/call_queue.h"

namespace tether::sidecar {

void CallQueue::RemoveUser() {
  // Under the lock: Join may return, and the queue be gone, as soon as there
  // are no users.
  const std::lock_guard<std::mutex> lock(mutex_);
  if (users_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    unused_.notify_all();
  }
}

void CallQueue::Join() {
  std::unique_lock<std::mutex> lock(mutex_);
  unused_.wait(lock,
               [this] { return users_.load(std::memory_order_acquire) == 0; });
}

}  // namespace tether::sidecar
