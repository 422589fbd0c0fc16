// The one value of a header that must not be repeated. Internal.

#ifndef TETHER_PROPAGATION_INTERNAL_SOLE_VALUE_H_
#define TETHER_PROPAGATION_INTERNAL_SOLE_VALUE_H_

#include <optional>
#include <string_view>

#include "tether/propagation/carrier.h"

namespace tether::internal {

// As a proxy that adds a header makes them where there is one already.
inline constexpr int kMaxEqualCopies = 16;

struct SoleValue {
  std::optional<std::string_view> value;  // nullopt: none, or repeated
  bool repeated = false;  // with another value, or more than kMaxEqualCopies
};

// Which of several values is meant can't be known, so several are as good as
// none. Copies of one value are that value.
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
