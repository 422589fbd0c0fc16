// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/spin_lock.h"

#include <chrono>
#include <thread>

namespace tether::internal {

void SpinLock::LockSlow() {
  // The first attempts assume that the holder runs on another core and is about
  // to finish. The later ones assume that it was preempted and needs our core:
  // a yield may not give that to a thread of lower priority, so they sleep.
  constexpr int kSpins = 64;
  constexpr int kYields = 256;
  int attempts = 0;
  for (;;) {
    if (!taken_.load(std::memory_order_relaxed) &&
        !taken_.exchange(true, std::memory_order_acquire)) {
      return;
    }
    ++attempts;
    if (attempts <= kSpins) {
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#endif
    } else if (attempts <= kSpins + kYields) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
}

}  // namespace tether::internal
