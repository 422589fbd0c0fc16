// SPDX-License-Identifier: Apache-2.0

#include "tether/testing/simulated_clock.h"

#include <algorithm>
#include <memory>

#include "tether/internal/nanos.h"
#include "tether/internal/timer_service.h"

namespace tether::testing {
namespace {

// Advance drives it, so there is no thread to wake.
class SimulatedTimerService final : public internal::TimerService {
 public:
  SimulatedTimerService() : TimerService(/*tick_shift=*/0, /*start=*/0) {}
  void Wake() override {}
};

}  // namespace

SimulatedClock::SimulatedClock(absl::Time start)
    : Clock(std::make_unique<SimulatedTimerService>()),
      wall_offset_(absl::ToUnixNanos(start)) {}

SimulatedClock::~SimulatedClock() = default;

void SimulatedClock::Advance(absl::Duration step) {
  if (step <= absl::ZeroDuration()) return;
  // kNever can't be reached. kNever - 1 is what the wheel returns for timers
  // that it can't fire any more.
  const int64_t target = std::min(
      internal::AddNanos(steady_.load(), absl::ToInt64Nanoseconds(step)),
      internal::kNever - 2);
  for (;;) {
    const int64_t next = timers().NextEvent();
    if (next == internal::kNever || next > target) break;
    MoveTo(next);
    timers().RunDue(steady_.load());
  }
  MoveTo(target);
}

void SimulatedClock::MoveTo(int64_t time) {
  // Other threads or callbacks may move the clock meanwhile.
  int64_t now = steady_.load();
  while (now < time && !steady_.compare_exchange_weak(now, time)) {
  }
}

void SimulatedClock::JumpWallClock(absl::Duration step) {
  wall_offset_.fetch_add(absl::ToInt64Nanoseconds(step));
}

absl::Time SimulatedClock::Now() const {
  return absl::FromUnixNanos(wall_offset_.load()) +
         absl::Nanoseconds(steady_.load());
}

int64_t SimulatedClock::SteadyNanos() const { return steady_.load(); }

size_t SimulatedClock::armed_timers() { return timers().armed(); }

}  // namespace tether::testing
