// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/codecs.h"

#include <array>
#include <cstddef>

namespace tether {
namespace {

struct Unit {
  std::string_view name;
  int64_t nanos;
};

// The longest first.
constexpr std::array<Unit, 6> kUnits = {{{"h", 3'600'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"s", 1'000'000'000},
                                         {"ms", 1'000'000},
                                         {"us", 1'000},
                                         {"ns", 1}}};

std::optional<absl::Duration> ParseDuration(std::string_view text) {
  const size_t unit_at = text.find_first_not_of("-0123456789");
  if (unit_at == std::string_view::npos) return std::nullopt;
  for (const Unit& unit : kUnits) {
    if (text.substr(unit_at) != unit.name) continue;
    const int64_t most = std::numeric_limits<int64_t>::max() / unit.nanos;
    const std::optional<int64_t> number =
        internal::ParseInt(text.substr(0, unit_at), -most, most);
    if (!number.has_value()) return std::nullopt;
    return absl::Nanoseconds(*number * unit.nanos);
  }
  return std::nullopt;
}

std::optional<std::string> FormatDuration(absl::Duration duration) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  if (duration > absl::Nanoseconds(kMost) ||
      duration < absl::Nanoseconds(-kMost)) {
    return std::nullopt;
  }
  const int64_t nanos = absl::ToInt64Nanoseconds(duration);
  if (nanos == 0) return "0s";
  for (const Unit& unit : kUnits) {
    if (nanos % unit.nanos != 0) continue;
    return std::to_string(nanos / unit.nanos).append(unit.name);
  }
  return std::nullopt;  // not reached: the last unit divides every number
}

}  // namespace

bool internal::HasNoPadding(std::string_view text) {
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty() || text[0] != '0') return true;
  return text.size() == 1 && !negative;
}

HeaderCodec<std::string> StringCodec() {
  return {[](std::string_view text) { return std::string(text); },
          [](const std::string& text) { return text; }};
}

HeaderCodec<bool> BoolCodec() {
  return {[](std::string_view text) -> std::optional<bool> {
            if (text == "true") return true;
            if (text == "false") return false;
            return std::nullopt;
          },
          [](const bool& value) -> std::optional<std::string> {
            return value ? "true" : "false";
          }};
}

HeaderCodec<absl::Duration> DurationCodec() {
  return {ParseDuration, FormatDuration};
}

}  // namespace tether
