// Where a context gets its time from.
//
// Deadlines are kept on a steady clock: a wall clock that jumps neither ends a
// context nor keeps one alive. absl::Time appears at the edge only, converted
// with both clocks read at one moment.
//
// Every context takes its clock from its root: Background() runs on the
// machine's clocks, Background(clock) on the clock given. Tests pass a
// testing::SimulatedClock and never sleep; no global is replaced, so they run
// side by side.
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

// Abstract. Two kinds exist: Real() and testing::SimulatedClock.
class TETHER_EXPORT Clock {
 public:
  // The machine's clocks. Never destroyed, so usable during static destruction.
  static Clock& Real();

  virtual ~Clock();
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;

  // The wall clock. It may jump.
  virtual absl::Time Now() const = 0;

  // Nanoseconds since an arbitrary moment. Never goes back.
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
