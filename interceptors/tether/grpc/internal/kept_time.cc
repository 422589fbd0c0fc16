// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/kept_time.h"

#include <algorithm>

#include "tether/grpc/internal/reserve_nanos.h"
#include "tether/internal/nanos.h"

namespace tether::internal {
namespace {

// The longest wait that a server may not see in the grpc-timeout of a call that
// had `left` before the wait.
Nanos HiddenWait(Nanos left) {
  // Core's clock ticks in milliseconds. The deadline is rounded up to a tick,
  // and both sides round the current time down.
  constexpr Nanos kTicks = 2 * kMillisecond;
  // The header has three digits. (A connection takes less than a second.)
  Nanos step = kMillisecond;
  while (step < kSecond && left >= 1000 * step) step *= 10;
  return kTicks + step;
}

Nanos RoundUp(Nanos time, Nanos step) {
  return (time + step - 1) / step * step;
}

}  // namespace

Nanos GrpcTimeoutDrift(Nanos left) {
  if (left <= 0 || left > kNever / 4) return 0;
  Nanos sent = RoundUp(left, kMillisecond);
  for (Nanos step = kMillisecond; sent >= 1000 * step;) {
    step *= 10;
    sent = RoundUp(sent, step);
  }
  return sent - left;
}

Nanos KeptTime(const Reserve& reserve, Nanos left, bool connected) {
  const Nanos kept = ReserveOf(reserve, left);
  if (connected || kept <= 0) return kept;
  return std::min(kept + HiddenWait(left), left / 4);
}

}  // namespace tether::internal
