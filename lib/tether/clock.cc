// SPDX-License-Identifier: Apache-2.0

#include "tether/clock.h"

#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "tether/internal/real_timer_service.h"
#include "tether/internal/timer_service.h"

namespace tether {
namespace {

class RealClock final : public Clock {
 public:
  RealClock() : Clock(std::make_unique<internal::RealTimerService>()) {}

  absl::Time Now() const override { return absl::Now(); }
  int64_t SteadyNanos() const override { return internal::RealSteadyNanos(); }
};

// Makes the clock before main(). If it were made on demand, a thread could be
// making it while the process forks; the child would then wait for that
// forever.
[[maybe_unused]] const Clock& made_early = Clock::Real();

}  // namespace

Clock::Clock(std::unique_ptr<internal::TimerService> timers)
    : timers_(std::move(timers)),
      root_(internal::NodeKind::kBackground, this) {}

Clock::~Clock() = default;

Clock& Clock::Real() {
  static RealClock& clock = *new RealClock;
  return clock;
}

}  // namespace tether
