// The one value of a header that must not be repeated. Internal.

#ifndef TETHER_PROPAGATION_INTERNAL_SOLE_VALUE_H_
#define TETHER_PROPAGATION_INTERNAL_SOLE_VALUE_H_

#include <optional>
#include <string_view>

#include "tether/propagation/carrier.h"

namespace tether::internal {

struct SoleValue {
  std::optional<std::string_view> value;  // nullopt: none, or repeated
  bool repeated = false;
};

// Which of several is meant can't be known, so several are as good as none.
inline SoleValue GetSole(const Carrier& carrier, std::string_view key) {
  SoleValue sole;
  sole.value = carrier.Get(key);
  if (sole.value.has_value() && carrier.Get(key, 1).has_value()) {
    sole.value.reset();
    sole.repeated = true;
  }
  return sole;
}

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_SOLE_VALUE_H_
