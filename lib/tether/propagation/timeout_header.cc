// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/timeout_header.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace tether {
namespace {

constexpr int64_t kMaxMicros = 999'999'999'999'999'999;

}  // namespace

std::optional<absl::Duration> ParseTimeout(std::string_view header) {
  if (header.empty() || header.size() > size_t{kMaxTimeoutDigits}) {
    return std::nullopt;
  }
  int64_t micros = 0;
  for (const char c : header) {
    if (c < '0' || c > '9') return std::nullopt;
    micros = 10 * micros + (c - '0');
  }
  return absl::Microseconds(micros);
}

std::optional<std::string> FormatTimeout(absl::Duration left) {
  // ToInt64Microseconds rounds toward zero and saturates.
  const int64_t micros = std::max(int64_t{0}, absl::ToInt64Microseconds(left));
  if (micros > kMaxMicros) return std::nullopt;
  return std::to_string(micros);
}

}  // namespace tether
