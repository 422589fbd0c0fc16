// SPDX-License-Identifier: Apache-2.0

#include "testing/lateness.h"

#include <chrono>
#include <ctime>

#include "absl/time/clock.h"

namespace tether::testing {
namespace {

// The processor's time that this thread has used.
absl::Duration ThreadTime() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

}  // namespace

Lateness::Lateness()
    : thread_([this] {
        constexpr absl::Duration kSleep = absl::Milliseconds(5);
        constexpr absl::Duration kWork = absl::Microseconds(500);
        while (!stop_) {
          const auto start = std::chrono::steady_clock::now();
          absl::SleepFor(kSleep);
          const absl::Duration end_of_work = ThreadTime() + kWork;
          while (ThreadTime() < end_of_work) {
          }
          const auto spent = std::chrono::steady_clock::now() - start;
          const int64_t late = absl::ToInt64Microseconds(
              absl::FromChrono(spent) - kSleep - kWork);
          if (late > worst_us_) worst_us_ = late;
        }
      }) {}

Lateness::~Lateness() {
  stop_ = true;
  thread_.join();
}

}  // namespace tether::testing
