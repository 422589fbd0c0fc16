// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/time.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "tether/clock.h"

namespace tether::internal {

Nanos SteadyNanos() { return Clock::Real().SteadyNanos(); }

int64_t SteadyMicros() { return SteadyNanos() / 1000; }

Nanos ToNanos(absl::Duration duration) {
  const Nanos nanos = absl::ToInt64Nanoseconds(duration);
  return nanos == kNever && duration != absl::InfiniteDuration() ? kNever - 1
                                                                 : nanos;
}

absl::Duration ToDuration(Nanos nanos) {
  return nanos == kNever ? absl::InfiniteDuration() : absl::Nanoseconds(nanos);
}

Nanos NanosUntilDeadline(gpr_timespec deadline) {
  if (deadline.tv_sec == std::numeric_limits<int64_t>::max()) return kNever;
  // Core accepts time spans, too.
  const gpr_timespec now = deadline.clock_type == GPR_TIMESPAN
                               ? gpr_time_0(GPR_TIMESPAN)
                               : gpr_now(deadline.clock_type);
  constexpr int64_t kCentury = int64_t{100} * 366 * 24 * 3600;
  if (deadline.tv_sec > now.tv_sec - kCentury &&
      deadline.tv_sec < now.tv_sec + kCentury) {
    return (deadline.tv_sec - now.tv_sec) * 1'000'000'000 + deadline.tv_nsec -
           now.tv_nsec;
  }
  // 64-bit nanoseconds would overflow; absl::Duration doesn't.
  return ToNanos(absl::Seconds(deadline.tv_sec) +
                 absl::Nanoseconds(deadline.tv_nsec) -
                 absl::Seconds(now.tv_sec) - absl::Nanoseconds(now.tv_nsec));
}

absl::Duration UntilDeadline(gpr_timespec deadline) {
  return ToDuration(NanosUntilDeadline(deadline));
}

gpr_timespec DeadlineAfter(absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) {
    return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  }
  const int64_t nanos = std::max<int64_t>(0, absl::ToInt64Nanoseconds(timeout));
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(nanos, GPR_TIMESPAN));
}

std::string ShortTime(absl::Duration time) {
  absl::Duration step = absl::Nanoseconds(1);
  const absl::Duration length = absl::AbsDuration(time);
  while (step < absl::Seconds(1) && length >= 1000 * step) step *= 10;
  return absl::FormatDuration(absl::Trunc(time, step));
}

std::string FormatGrpcTimeout(absl::Duration timeout) {
  struct Unit {
    absl::Duration length;
    const char* name;
  };
  static constexpr int64_t kMost = 99'999'999;
  const Unit units[] = {
      {absl::Nanoseconds(1), "n"},  {absl::Microseconds(1), "u"},
      {absl::Milliseconds(1), "m"}, {absl::Seconds(1), "S"},
      {absl::Minutes(1), "M"},      {absl::Hours(1), "H"}};
  timeout = std::max(timeout, absl::ZeroDuration());
  for (const Unit& unit : units) {
    const int64_t count = absl::Ceil(timeout, unit.length) / unit.length;
    if (count <= kMost) return absl::StrCat(count, unit.name);
  }
  return absl::StrCat(kMost, "H");
}

}  // namespace tether::internal
