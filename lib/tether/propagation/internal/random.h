// SPDX-License-Identifier: Apache-2.0
//
// Random bits for ids. Internal.
//
// Fast and well distributed, but predictable for anyone who has seen some of
// them. That suffices for ids, which must be unique and protect nothing.
//
// Each thread has its own generator, seeded from the system. A forked child
// reseeds, so it does not repeat its parent's numbers.

#ifndef TETHER_PROPAGATION_INTERNAL_RANDOM_H_
#define TETHER_PROPAGATION_INTERNAL_RANDOM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tether::internal {

// Thread-safe without a lock. Takes a few nanoseconds.
uint64_t RandomBits();

// Returns an id that is not all zeros, which would mean "none".
template <size_t N>
std::array<uint8_t, N> RandomId() {
  static_assert(N % 8 == 0);
  std::array<uint8_t, N> id;
  uint64_t all;
  do {
    all = 0;
    for (size_t i = 0; i < N; i += 8) {
      const uint64_t bits = RandomBits();
      all |= bits;
      std::memcpy(id.data() + i, &bits, sizeof bits);
    }
  } while (all == 0);
  return id;
}

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_RANDOM_H_
