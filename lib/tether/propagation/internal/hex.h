// SPDX-License-Identifier: Apache-2.0
//
// Lower-case hex for the ids in trace headers. Internal.

#ifndef TETHER_PROPAGATION_INTERNAL_HEX_H_
#define TETHER_PROPAGATION_INTERNAL_HEX_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/base/attributes.h"

namespace tether::internal {

inline constexpr std::array<uint8_t, 256> kLowerHexValues = [] {
  std::array<uint8_t, 256> values = {};
  for (uint8_t& value : values) value = 0xff;
  for (uint8_t i = 0; i < 10; ++i) values['0' + i] = i;
  for (uint8_t i = 0; i < 6; ++i) values['a' + i] = 10 + i;
  return values;
}();

// Returns the digits of eight bytes, each of which is less than 16.
inline uint64_t LowerHexOfNibbles(uint64_t x) {
  // 1 in each byte that becomes a letter.
  const uint64_t letters = (x + 0x0606060606060606) >> 4 & 0x0101010101010101;
  return x + 0x3030303030303030 + letters * ('a' - '9' - 1);
}

// Returns the eight digits of four bytes. The first digit is the lowest byte.
inline uint64_t LowerHexOf(uint32_t bytes) {
  uint64_t x = bytes;  // spread to every other byte, then a nibble per byte
  x = (x | x << 16) & 0x0000FFFF0000FFFF;
  x = (x | x << 8) & 0x00FF00FF00FF00FF;
  x = (x >> 4 & 0x000F000F000F000F) | (x & 0x000F000F000F000F) << 8;
  return LowerHexOfNibbles(x);
}

// The opposite. Sets bits of `bad` unless all eight are in 0-9 and a-f; the
// result is arbitrary then.
inline uint32_t FromLowerHex(uint64_t digits, uint64_t& bad) {
  // Letters have bit 6. Each byte becomes its digit's value, from 0 to 24.
  uint64_t x =
      (digits & 0x0F0F0F0F0F0F0F0F) + (digits >> 6 & 0x0101010101010101) * 9;
  // Exact: a digit is legal only if it is the one digit of a value below 16.
  bad |= (x & 0x1010101010101010) | (LowerHexOfNibbles(x) ^ digits);
  x = (x << 4 | x >> 8) & 0x00FF00FF00FF00FF;
  x = (x | x >> 8) & 0x0000FFFF0000FFFF;
  return static_cast<uint32_t>(x | x >> 16);
}

// Does what ParseLowerHex does. Returns 0 if all digits are legal.
template <size_t N>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline uint64_t BadLowerHex(const char* text,
                                                         uint8_t* bytes) {
  if constexpr (N == 1) {
    const uint8_t high = kLowerHexValues[static_cast<uint8_t>(text[0])];
    const uint8_t low = kLowerHexValues[static_cast<uint8_t>(text[1])];
    *bytes = static_cast<uint8_t>(high << 4 | low);
    return (high | low) & 0xF0;
  } else if constexpr (N == 4) {
    uint64_t bad = 0;
    uint64_t digits;
    std::memcpy(&digits, text, sizeof digits);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    const uint32_t four =
        __builtin_bswap32(FromLowerHex(__builtin_bswap64(digits), bad));
#else
    const uint32_t four = FromLowerHex(digits, bad);
#endif
    std::memcpy(bytes, &four, sizeof four);
    return bad;
  } else {
    return BadLowerHex<N / 2>(text, bytes) |
           BadLowerHex<N / 2>(text + N, bytes + N / 2);
  }
}

// Parses 2 * N digits at `text` into `bytes`. Returns false, and leaves `bytes`
// undefined, unless all of them are in 0-9 and a-f.
template <size_t N>
bool ParseLowerHex(const char* text, uint8_t* bytes) {
  return BadLowerHex<N>(text, bytes) == 0;
}

// Writes 2 * n digits to `text`; n is a multiple of 4. Writes eight at a time,
// because reading memory right after writing it in smaller pieces stalls.
inline void WriteLowerHex(const uint8_t* bytes, size_t n, char* text) {
  for (size_t i = 0; i < n; i += 4) {
    uint32_t four;
    std::memcpy(&four, bytes + i, sizeof four);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    const uint64_t digits =
        __builtin_bswap64(LowerHexOf(__builtin_bswap32(four)));
#else
    const uint64_t digits = LowerHexOf(four);
#endif
    std::memcpy(text + 2 * i, &digits, sizeof digits);
  }
}

template <size_t N>
bool IsZeroId(const std::array<uint8_t, N>& id) {
  static_assert(N % 8 == 0);
  uint64_t all = 0;
  for (size_t i = 0; i < N; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, id.data() + i, sizeof eight);
    all |= eight;
  }
  return all == 0;
}

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_HEX_H_
