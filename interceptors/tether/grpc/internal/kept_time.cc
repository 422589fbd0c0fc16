// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/kept_time.h"

#include <algorithm>

namespace tether::internal {
namespace {

// The longest wait that a server may not see in the grpc-timeout of a call that
// had `left` before the wait.
absl::Duration HiddenWait(absl::Duration left) {
  // Core's clock ticks in milliseconds. The deadline is rounded up to a tick,
  // and both sides round the current time down.
  constexpr absl::Duration kTicks = absl::Milliseconds(2);
  // The header has three digits. (A connection takes less than a second.)
  absl::Duration step = absl::Milliseconds(1);
  while (step < absl::Seconds(1) && left >= 1000 * step) step *= 10;
  return kTicks + step;
}

}  // namespace

absl::Duration KeptTime(const Reserve& reserve, absl::Duration left,
                        bool connected) {
  const absl::Duration kept = reserve.Of(left);
  if (connected || kept <= absl::ZeroDuration()) return kept;
  return std::min(kept + HiddenWait(left), left / 4);
}

}  // namespace tether::internal
