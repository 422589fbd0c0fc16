// SPDX-License-Identifier: Apache-2.0
//
// Replaces operator new of the whole program, so that a test can make any
// allocation fail.

#ifndef TETHER_TESTING_FAILING_ALLOCATIONS_H_
#define TETHER_TESTING_FAILING_ALLOCATIONS_H_

#include <atomic>
#include <cstdint>

namespace tether::testing {

// If n > 0, the n-th allocation from now on fails. Each allocation counts it
// down by one.
extern std::atomic<int64_t> fail_at;

// How many allocations have not been freed.
extern std::atomic<int64_t> live_allocations;

// The calling thread's allocations, less those that it has freed. Whatever
// other threads do, such as gRPC's, doesn't change it.
extern thread_local int64_t live_allocations_of_thread;

}  // namespace tether::testing

#endif  // TETHER_TESTING_FAILING_ALLOCATIONS_H_
