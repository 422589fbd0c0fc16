// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/call_observer.h"

namespace tether::internal {

std::atomic<CallObserver*> CallObservers::first_{nullptr};

void AddCallObserver(CallObserver* observer) {
  observer->next_ = CallObservers::first_.load(std::memory_order_relaxed);
  while (!CallObservers::first_.compare_exchange_weak(
      observer->next_, observer, std::memory_order_release,
      std::memory_order_relaxed)) {
  }
}

}  // namespace tether::internal
