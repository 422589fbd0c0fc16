// SPDX-License-Identifier: Apache-2.0
//
// The size of a header with respect to metadata limits. Internal.

#ifndef TETHER_PROPAGATION_INTERNAL_INJECTED_BYTES_H_
#define TETHER_PROPAGATION_INTERNAL_INJECTED_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tether/propagation/internal/header_text.h"

namespace tether::internal {

// Returns a + b, saturating at SIZE_MAX.
inline size_t AddBytes(size_t a, size_t b) {
  return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

// Returns the size of a header with `value_size` bytes of value, as HTTP/2
// counts it. gRPC sends the values of "...-bin" headers in base64.
inline size_t InjectedBytes(std::string_view name, size_t value_size) {
  if (value_size > SIZE_MAX / 2) return SIZE_MAX;
  if (IsBinaryHeaderName(name)) value_size = (value_size + 2) / 3 * 4;
  return AddBytes(value_size, name.size() + 32);
}

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_INJECTED_BYTES_H_
