// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/reserve.h"

#include <algorithm>
#include <cstdint>

namespace tether {

absl::Duration Reserve::Of(absl::Duration left) const {
  if (left <= absl::ZeroDuration() || left == absl::InfiniteDuration()) {
    return absl::ZeroDuration();
  }
  // Also handles NaN.
  const double sane_fraction = fraction > 0 ? std::min(fraction, 1.0) : 0;
  const absl::Duration wanted =
      std::max(fixed, absl::ZeroDuration()) +
      absl::Nanoseconds(static_cast<int64_t>(
          sane_fraction *
          static_cast<double>(std::min<int64_t>(absl::ToInt64Nanoseconds(left),
                                                int64_t{1} << 62))));
  return std::max(absl::ZeroDuration(), std::min({wanted, cap, left / 4}));
}

}  // namespace tether
