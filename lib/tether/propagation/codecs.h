// SPDX-License-Identifier: Apache-2.0
//
// Ready-made codecs for HeaderPropagator: strings, integers, bools, durations.
// For protobuf messages there is ProtoCodec (proto_codec.h).
//
// Each writes one text per value. Except for units of durations, each reads
// only what it writes: anything else is malformed, and HeaderPropagator drops
// and counts it. In particular none of them accepts blanks or a '+'.
//
// Thread safety: any thread, as HeaderCodec requires.

#ifndef TETHER_PROPAGATION_CODECS_H_
#define TETHER_PROPAGATION_CODECS_H_

#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#include "absl/time/time.h"
#include "tether/export.h"
#include "tether/propagation/header.h"

namespace tether {

namespace internal {

// False for a superfluous zero at the front ("007", "-0", "-01"). Doesn't check
// that `text` is a number.
TETHER_EXPORT bool HasNoPadding(std::string_view text);

// The number that is written as IntCodec writes it; nullopt for other texts
// and for numbers outside [min, max].
template <typename T>
std::optional<T> ParseInt(std::string_view text, T min, T max) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end || !HasNoPadding(text) ||
      value < min || value > max) {
    return std::nullopt;
  }
  return value;
}

}  // namespace internal

// The text itself, "" included.
TETHER_EXPORT HeaderCodec<std::string> StringCodec();

// Decimal ASCII digits, after a '-' if the number is negative: "0", "42", "-7".
// Leading zeros, "-0", a '+', blanks and other bases are malformed.
//
// Numbers outside [min, max] are neither read nor written.
//
// Example:
//
//   inline constexpr tether::Key<int> kPriority{"priority"};
//
//   tether::HeaderPropagator<int> propagator(kPriority, "x-priority",
//                                            tether::IntCodec(0, 9));
template <typename T = int64_t>
HeaderCodec<T> IntCodec(T min = std::numeric_limits<T>::min(),
                        T max = std::numeric_limits<T>::max()) {
  static_assert(std::is_integral_v<T> && !std::is_same_v<T, bool>);
  return {[min, max](std::string_view text) {
            return internal::ParseInt(text, min, max);
          },
          [min, max](const T& value) -> std::optional<std::string> {
            if (value < min || value > max) return std::nullopt;
            char text[std::numeric_limits<T>::digits10 + 2];  // and a '-'
            const auto result = std::to_chars(text, text + sizeof text, value);
            return std::string(text, result.ptr);
          }};
}

// "true" or "false", in lower case.
TETHER_EXPORT HeaderCodec<bool> BoolCodec();

// A whole number, as IntCodec writes it, and its unit: "ns", "us", "ms", "s",
// "m" or "h". "1500ms", "-2s", "0s". Go's time.ParseDuration and
// absl::ParseDuration read these texts too.
//
// Writes the largest unit that gives a whole number, and rounds to whole
// nanoseconds, toward zero. Reads any of the units. Durations beyond 2^63 ns
// (292 years), infinite ones included, are neither read nor written.
TETHER_EXPORT HeaderCodec<absl::Duration> DurationCodec();

}  // namespace tether

#endif  // TETHER_PROPAGATION_CODECS_H_
