// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/spin_lock.h"

#include <chrono>
#include <thread>

namespace tether::internal {
namespace {

using std::chrono::steady_clock;

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Keeps the core, and stays away from the lock's cache line.
void PauseFor(steady_clock::duration time) {
  const auto until = steady_clock::now() + time;
  do {
    Pause();
  } while (steady_clock::now() < until);
}

}  // namespace

bool SpinLock::TryLock() {
  return !taken() && !taken_.exchange(true, std::memory_order_acquire);
}

void SpinLock::LockSlow() {
  // The first attempts assume that the holder runs on another core and is about
  // to finish. They are far apart, because each one takes the cache line, and
  // those that the lock guards, from a core that is likely to need them again
  // at once: two threads that took turns would get less done than one.
  constexpr auto kFirstPause = std::chrono::microseconds(2);
  constexpr auto kLastPause = std::chrono::microseconds(8);
  for (auto pause = kFirstPause; pause <= kLastPause; pause *= 2) {
    PauseFor(pause);
    if (TryLock()) return;
  }
  // The later attempts assume that the holder was preempted and needs our core:
  // a yield may not give that to a thread of lower priority, so they sleep.
  constexpr int kYields = 256;
  for (int i = 0; i < kYields; ++i) {
    std::this_thread::yield();
    if (TryLock()) return;
  }
  do {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  } while (!TryLock());
}

}  // namespace tether::internal
