#include "tether/testing/simulated_clock.h"

#include <algorithm>
#include <memory>

#include "tether/internal/scope.h"
#include "tether/internal/timer_service.h"

namespace tether::testing {
namespace {

// Driven by Advance: nothing to wake.
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
  // kNever is not a time that could come, and the one before it is what the
  // wheel answers for what it can't fire any more.
  const internal::Nanos target = std::min(
      internal::AddNanos(steady_.load(), absl::ToInt64Nanoseconds(step)),
      internal::kNever - 2);
  for (;;) {
    const internal::Nanos next = timers().NextEvent();
    if (next == internal::kNever || next > target) break;
    MoveTo(next);
    timers().RunDue(steady_.load());
  }
  MoveTo(target);
}

void SimulatedClock::MoveTo(internal::Nanos time) {
  // Others may move it meanwhile: threads, or callbacks.
  internal::Nanos now = steady_.load();
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

internal::Nanos SimulatedClock::SteadyNanos() const { return steady_.load(); }

size_t SimulatedClock::armed_timers() { return timers().armed(); }

}  // namespace tether::testing
