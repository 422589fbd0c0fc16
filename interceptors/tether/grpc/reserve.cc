// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/reserve.h"

#include <algorithm>

#include "tether/grpc/internal/reserve_nanos.h"
#include "tether/internal/nanos.h"

namespace tether {

absl::Duration Reserve::Of(absl::Duration left) const {
  if (left == absl::InfiniteDuration()) return absl::ZeroDuration();
  // ToInt64Nanoseconds saturates.
  return absl::Nanoseconds(internal::ReserveOf(
      *this, std::min(absl::ToInt64Nanoseconds(left), internal::kNever - 1)));
}

namespace internal {

Nanos ReserveOf(const Reserve& reserve, Nanos left) {
  if (left <= 0 || left == kNever) return 0;
  // Also handles NaN.
  const double sane_fraction =
      reserve.fraction > 0 ? std::min(reserve.fraction, 1.0) : 0;
  constexpr Nanos kConvertible = Nanos{1} << 62;
  const auto share = static_cast<Nanos>(
      sane_fraction * static_cast<double>(std::min(left, kConvertible)));
  const Nanos fixed =
      std::max<Nanos>(absl::ToInt64Nanoseconds(reserve.fixed), 0);
  const Nanos cap = absl::ToInt64Nanoseconds(reserve.cap);
  return std::max<Nanos>(0, std::min({AddNanos(fixed, share), cap, left / 4}));
}

}  // namespace internal
}  // namespace tether
