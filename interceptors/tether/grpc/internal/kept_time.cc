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

// A multiple of a constant, so that nothing is divided.
template <Nanos kStep>
Nanos RoundUp(Nanos time) {
  return (time + kStep - 1) / kStep * kStep;
}

}  // namespace

Nanos GrpcTimeoutDrift(Nanos left) {
  if (left <= 0) return 0;
  // Three digits of the largest unit that is needed.
  const Nanos sent = left <= 1000 * kMillisecond ? RoundUp<kMillisecond>(left)
                     : left <= 10 * kSecond  ? RoundUp<10 * kMillisecond>(left)
                     : left <= 100 * kSecond ? RoundUp<100 * kMillisecond>(left)
                     : left <= 1000 * kSecond ? RoundUp<kSecond>(left)
                     : left <= 10'000 * kSecond
                         ? RoundUp<10 * kSecond>(left)
                         : left;  // hours: it hardly matters
  return sent - left;
}

Nanos KeptTime(const Reserve& reserve, Nanos left, bool connected) {
  const Nanos kept = ReserveOf(reserve, left);
  if (connected || kept <= 0) return kept;
  return std::min(kept + HiddenWait(left), left / 4);
}

}  // namespace tether::internal
