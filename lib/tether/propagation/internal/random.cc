// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/internal/random.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <random>

#include "tether/internal/exceptions.h"

namespace tether::internal {
namespace {

// The number of forks between the original process and this one.
std::atomic<uint32_t> forks{0};

// Registered before main() begins. If a function-local static were being
// initialized by another thread during a fork, the child would wait forever.
[[maybe_unused]] const int registered = pthread_atfork(
    nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });

// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
// generators", 2014).
struct Generator {
  uint64_t state = 0;
  uint32_t seeded_in = ~uint32_t{0};  // the value of `forks` at seeding
};

uint64_t Seed(const Generator& generator) {
  // Differs between threads and runs even if the system has no randomness.
  uint64_t seed =
      reinterpret_cast<uintptr_t>(&generator) ^
      static_cast<uint64_t>(
          std::chrono::steady_clock::now().time_since_epoch().count());
  TETHER_TRY {
    std::random_device device;
    seed ^= (uint64_t{device()} << 32) | device();
  }
  TETHER_CATCH(const std::exception&) {}
  return seed;
}

}  // namespace

uint64_t RandomBits() {
  thread_local Generator generator;
  const uint32_t now = forks.load(std::memory_order_relaxed);
  if (generator.seeded_in != now) {
    generator.state = Seed(generator);
    generator.seeded_in = now;
  }
  generator.state += 0x9E3779B97F4A7C15;
  uint64_t z = generator.state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

}  // namespace tether::internal
