#include "tether/internal/spin_lock.h"

#include <chrono>
#include <thread>

namespace tether::internal {

void SpinLock::LockSlow() {
  // The first attempts expect a holder that runs on another core and is about
  // to finish. The later ones expect one that was preempted: it needs our core,
  // which a mere yield may not give to a thread of lower priority.
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
