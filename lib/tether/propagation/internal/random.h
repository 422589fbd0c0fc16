// Random bits for ids. Internal.
//
// Fast and well spread, not secret: who sees some of them can guess the next.
// That is enough for ids, which have to be distinct and protect nothing.
//
// Each thread has a generator of its own, seeded from the system; a forked
// child seeds anew, so that it does not repeat its parent's.

#ifndef TETHER_PROPAGATION_INTERNAL_RANDOM_H_
#define TETHER_PROPAGATION_INTERNAL_RANDOM_H_

#include <cstdint>

namespace tether::internal {

// Thread-safe, without a lock. Some nanoseconds.
uint64_t RandomBits();

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_RANDOM_H_
