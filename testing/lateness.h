// SPDX-License-Identifier: Apache-2.0
//
// Measures how late the machine is at the moment.

#ifndef TETHER_TESTING_LATENESS_H_
#define TETHER_TESTING_LATENESS_H_

#include <atomic>
#include <cstdint>
#include <thread>

#include "absl/time/time.h"

namespace tether::testing {

// How late a thread is on this machine that sleeps for 5 ms and then works for
// 0.5 ms: the yardstick for how late a call may end. It uses a tenth of a core.
//
//   const Lateness lateness;
//   ...  // what must be prompt
//   EXPECT_LE(late, kSlack + lateness.worst());
class Lateness {
 public:
  Lateness();
  ~Lateness();
  Lateness(const Lateness&) = delete;
  Lateness& operator=(const Lateness&) = delete;

  // The worst so far. A sleep that hasn't ended yet doesn't count. Any thread.
  absl::Duration worst() const { return absl::Microseconds(worst_us_.load()); }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> worst_us_{0};
  std::thread thread_;
};

}  // namespace tether::testing

#endif  // TETHER_TESTING_LATENESS_H_
