// SPDX-License-Identifier: Apache-2.0
//
// Reads a header that must not be repeated. Internal.

#ifndef TETHER_PROPAGATION_INTERNAL_SOLE_VALUE_H_
#define TETHER_PROPAGATION_INTERNAL_SOLE_VALUE_H_

#include <optional>
#include <string_view>

#include "tether/propagation/carrier.h"

namespace tether::internal {

// Proxies that add a header may create equal copies of it. This many are
// accepted.
inline constexpr int kMaxEqualCopies = 16;

struct SoleValue {
  std::optional<std::string_view> value;  // nullopt: none, or repeated
  bool repeated = false;  // with another value, or more than kMaxEqualCopies
};

// Returns the value of `key`, even if several equal copies arrived. If there
// are different values, the right one can't be known, and none is returned.
inline SoleValue GetSole(const Carrier& carrier, std::string_view key) {
  SoleValue sole;
  sole.value = carrier.Get(key);
  if (!sole.value.has_value()) return sole;
  for (int i = 1; const auto copy = carrier.Get(key, i); ++i) {
    if (*copy != *sole.value || i == kMaxEqualCopies) {
      sole.value.reset();
      sole.repeated = true;
      break;
    }
  }
  return sole;
}

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_SOLE_VALUE_H_
