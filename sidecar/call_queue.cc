// SPDX-License-Identifier: Apache-2.0

#include "sidecar/call_queue.h"

namespace tether::sidecar {

void CallQueue::AddUser() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++users_;
}

void CallQueue::RemoveUser() {
  // Notified under the lock: the queue may be gone as soon as Join can lock.
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--users_ == 0) unused_.notify_all();
}

void CallQueue::Join() {
  std::unique_lock<std::mutex> lock(mutex_);
  unused_.wait(lock, [this] { return users_ == 0; });
}

}  // namespace tether::sidecar
