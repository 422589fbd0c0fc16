// SPDX-License-Identifier: Apache-2.0
//
// Lower-case hex for the ids in trace headers. Internal.

#ifndef TETHER_PROPAGATION_INTERNAL_HEX_H_
#define TETHER_PROPAGATION_INTERNAL_HEX_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tether::internal {

inline constexpr std::array<uint8_t, 256> kLowerHexValues = [] {
  std::array<uint8_t, 256> values = {};
  for (uint8_t& value : values) value = 0xff;
  for (uint8_t i = 0; i < 10; ++i) values['0' + i] = i;
  for (uint8_t i = 0; i < 6; ++i) values['a' + i] = 10 + i;
  return values;
}();

// Parses 2 * n digits at `text` into `bytes`. Returns false, and leaves `bytes`
// undefined, unless all of them are in 0-9 and a-f.
inline bool ParseLowerHex(const char* text, size_t n, uint8_t* bytes) {
  uint8_t all = 0;
  for (size_t i = 0; i < n; ++i) {
    const uint8_t high = kLowerHexValues[static_cast<uint8_t>(text[2 * i])];
    const uint8_t low = kLowerHexValues[static_cast<uint8_t>(text[2 * i + 1])];
    all |= high | low;
    bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return all < 16;
}

// Returns the eight digits of four bytes. The first digit is the lowest byte.
inline uint64_t LowerHexOf(uint32_t bytes) {
  uint64_t x = bytes;  // spread to every other byte, then a nibble per byte
  x = (x | x << 16) & 0x0000FFFF0000FFFF;
  x = (x | x << 8) & 0x00FF00FF00FF00FF;
  x = (x >> 4 & 0x000F000F000F000F) | (x & 0x000F000F000F000F) << 8;
  // 1 in each byte that becomes a letter.
  const uint64_t letters = (x + 0x0606060606060606) >> 4 & 0x0101010101010101;
  return x + 0x3030303030303030 + letters * ('a' - '9' - 1);
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
