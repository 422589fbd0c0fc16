// Between gRPC's times and ours. All of it is relative: a wall clock that jumps
// changes nothing.

#ifndef TETHER_GRPC_INTERNAL_TIME_H_
#define TETHER_GRPC_INTERNAL_TIME_H_

#include <grpc/grpc.h>

#include <string>

#include "absl/time/time.h"

namespace tether::internal {

// The time from now to `deadline`, which may be on any of gRPC's clocks.
// InfiniteDuration() for its "never".
absl::Duration UntilDeadline(gpr_timespec deadline);

// Now plus `timeout` on the monotonic clock, saturating; gRPC's "never" for
// InfiniteDuration().
gpr_timespec DeadlineAfter(absl::Duration timeout);

// For messages: three significant digits, rounded down, as in "149ms" and
// "1.49s"; from 1000 s on, whole seconds.
std::string ShortTime(absl::Duration time);

// The standard header's value, at most eight digits and a unit, never less than
// `timeout` (finite; below zero is zero).
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
std::string FormatGrpcTimeout(absl::Duration timeout);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_TIME_H_
