// SPDX-License-Identifier: Apache-2.0
//
// Clock: where contexts get the time.
//
// Deadlines are kept on a steady clock: if the wall clock jumps, no context
// ends early or lives longer. absl::Time is used only in the API; it is
// converted with both clocks read at one moment.
//
// A context takes its clock from its root: Background() uses the machine's
// clocks, Background(clock) uses `clock`. Tests pass a testing::SimulatedClock
// and never sleep. They replace no global, so they can run in parallel.
//
// Thread safety: a Clock may be used from any thread. Lifetime: it must outlive
// every context made from it.

#ifndef TETHER_CLOCK_H_
#define TETHER_CLOCK_H_

#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "tether/export.h"
#include "tether/internal/node.h"

namespace tether {

namespace internal {
class TimerService;
}

// An abstract class with two implementations: Real() and
// testing::SimulatedClock. Applications can't derive from it.
class TETHER_EXPORT Clock {
 public:
  // The machine's clocks. Never destroyed, so it can be used during static
  // destruction.
  static Clock& Real();

  virtual ~Clock();
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;

  // The time of the wall clock, which may jump.
  virtual absl::Time Now() const = 0;

  // The time of the steady clock, which never goes back: nanoseconds since an
  // arbitrary moment.
  virtual int64_t SteadyNanos() const = 0;

 protected:
  explicit Clock(std::unique_ptr<internal::TimerService> timers);

  internal::TimerService& timers() { return *timers_; }

 private:
  friend struct internal::ClockAccess;

  const std::unique_ptr<internal::TimerService> timers_;
  internal::Node root_;  // what Background(*this) refers to
};

}  // namespace tether

#endif  // TETHER_CLOCK_H_
