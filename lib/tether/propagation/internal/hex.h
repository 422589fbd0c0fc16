// Ids as lower-case hex, as the headers of traces have them. Internal.

#ifndef TETHER_PROPAGATION_INTERNAL_HEX_H_
#define TETHER_PROPAGATION_INTERNAL_HEX_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace tether::internal {

inline constexpr std::array<uint8_t, 256> kLowerHexValues = [] {
  std::array<uint8_t, 256> values = {};
  for (uint8_t& value : values) value = 0xff;
  for (uint8_t i = 0; i < 10; ++i) values['0' + i] = i;
  for (uint8_t i = 0; i < 6; ++i) values['a' + i] = 10 + i;
  return values;
}();

// Reads 2 * n digits from `text` on into `bytes`. False unless all of them are
// in 0-9 and a-f; `bytes` is then undefined.
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

// Writes 2 * n digits from `text` on.
inline void WriteLowerHex(const uint8_t* bytes, size_t n, char* text) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (size_t i = 0; i < n; ++i) {
    text[2 * i] = kDigits[bytes[i] >> 4];
    text[2 * i + 1] = kDigits[bytes[i] & 0xf];
  }
}

template <size_t N>
bool IsZeroId(const std::array<uint8_t, N>& id) {
  return id == std::array<uint8_t, N>{};
}

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_HEX_H_
