// SPDX-License-Identifier: Apache-2.0
//
// Conversions between gRPC's times and ours. All are relative, so a wall clock
// that jumps changes nothing.

#ifndef TETHER_GRPC_INTERNAL_TIME_H_
#define TETHER_GRPC_INTERNAL_TIME_H_

#include <grpc/grpc.h>

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "tether/internal/nanos.h"

namespace tether::internal {

// Now, on the steady clock.
Nanos SteadyNanos();
int64_t SteadyMicros();

// Durations as nanoseconds, whose arithmetic is far cheaper. kNever stands for
// InfiniteDuration(); a finite duration beyond 292 years becomes the longest
// that isn't kNever.
Nanos ToNanos(absl::Duration duration);
absl::Duration ToDuration(Nanos nanos);

// The time from now to `deadline`, which may be on any of gRPC's clocks.
// InfiniteDuration() for gRPC's infinite future.
absl::Duration UntilDeadline(gpr_timespec deadline);
// The same in nanoseconds.
Nanos NanosUntilDeadline(gpr_timespec deadline);

// Now plus `timeout` on the monotonic clock, saturating. For
// InfiniteDuration(), gRPC's infinite future.
gpr_timespec DeadlineAfter(absl::Duration timeout);

// `time` for messages: three significant digits, rounded down, as in "149ms"
// and "1.49s"; from 1000 s on, whole seconds.
std::string ShortTime(absl::Duration time);

// The value of the standard header grpc-timeout: at most eight digits and a
// unit, rounded up. `timeout` must be finite; if it is negative, it counts as
// zero.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
std::string FormatGrpcTimeout(absl::Duration timeout);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_TIME_H_
