// SPDX-License-Identifier: Apache-2.0
//
// A wall clock that steps while soak_test runs, with libfaketime. The steady
// clock stays as it is. See clock_jump_test.cc.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_SOAK_CLOCK_H_
#define TETHER_INTEGRATION_TESTS_SOAK_CLOCK_H_

#include <atomic>
#include <random>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "tether/context.h"

namespace tether::soak {

// Executes this program again with libfaketime. Returns in the new program, or
// if that isn't possible: then it prints why. Call it first in main().
void ExecuteWithFakeClock(char** argv);

// The steady clock, since an arbitrary moment.
absl::Duration SteadyNow();

// Steps the wall clock about once a second, by up to a second, until it is
// destroyed. Does nothing if the program runs without libfaketime.
class ClockStepper {
 public:
  explicit ClockStepper(uint32_t seed);
  ~ClockStepper();
  ClockStepper(const ClockStepper&) = delete;
  ClockStepper& operator=(const ClockStepper&) = delete;

  // The steps that the program's own clock has made.
  int steps() const { return steps_; }

 private:
  void Run(uint32_t seed);
  // Returns false if the clock hasn't followed.
  bool StepTo(absl::Duration offset);

  Cancellable end_ = WithCancel(Background());
  std::atomic<int> steps_{0};
  std::thread thread_;
};

}  // namespace tether::soak

#endif  // TETHER_INTEGRATION_TESTS_SOAK_CLOCK_H_
