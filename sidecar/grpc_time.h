// SPDX-License-Identifier: Apache-2.0

#ifndef TETHER_SIDECAR_GRPC_TIME_H_
#define TETHER_SIDECAR_GRPC_TIME_H_

#include <grpc/support/time.h>

#include "absl/time/time.h"

namespace tether::sidecar {

// The deadline after `timeout` from now, on a clock that no one sets.
inline gpr_timespec DeadlineAfter(absl::Duration timeout) {
  return gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC),
      gpr_time_from_nanos(absl::ToInt64Nanoseconds(timeout), GPR_TIMESPAN));
}

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_GRPC_TIME_H_
