// SPDX-License-Identifier: Apache-2.0
//
// Times and durations as deadlines are kept: nanoseconds on a steady clock.
// Internal.

#ifndef TETHER_INTERNAL_NANOS_H_
#define TETHER_INTERNAL_NANOS_H_

#include <cstdint>
#include <limits>

namespace tether::internal {

// Nanoseconds on a clock that never jumps.
using Nanos = int64_t;

inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1000 * kMillisecond;

// "No such time": later than every time.
inline constexpr Nanos kNever = std::numeric_limits<Nanos>::max();
// A time too far in the past to be represented.
inline constexpr Nanos kLongPast = std::numeric_limits<Nanos>::min();

// a + b, saturating. kNever and kLongPast stay what they are.
inline Nanos AddNanos(Nanos a, Nanos b) {
  if (a == kNever || b == kNever) return kNever;
  if (a == kLongPast || b == kLongPast) return kLongPast;
  Nanos sum;
  if (__builtin_add_overflow(a, b, &sum)) return a < 0 ? kLongPast : kNever;
  return sum;
}

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_NANOS_H_
