// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/internal/hex.h"

#include <array>
#include <cstdint>
#include <random>
#include <string>

#include "gtest/gtest.h"

namespace tether::internal {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

TEST(HexTest, ParsesWhatItWrites) {
  std::mt19937 random(1);
  for (int i = 0; i < 10000; ++i) {
    std::array<uint8_t, 16> bytes;
    std::string expected;
    for (uint8_t& byte : bytes) {
      byte = static_cast<uint8_t>(random());
      expected += kDigits[byte >> 4];
      expected += kDigits[byte & 15];
    }
    std::string text(32, '\0');
    WriteLowerHex(bytes.data(), bytes.size(), text.data());
    ASSERT_EQ(text, expected);
    std::array<uint8_t, 16> parsed;
    ASSERT_TRUE(ParseLowerHex<16>(text.data(), parsed.data()));
    ASSERT_EQ(parsed, bytes);
  }
}

template <size_t N>
void AcceptsExactlyTheDigits() {
  for (const char filler : {'0', '9', 'a', 'f'}) {
    for (size_t at = 0; at < 2 * N; ++at) {
      std::string text(2 * N, filler);
      for (int byte = 0; byte < 256; ++byte) {
        text[at] = static_cast<char>(byte);
        std::array<uint8_t, N> parsed;
        const bool legal =
            (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
        ASSERT_EQ(ParseLowerHex<N>(text.data(), parsed.data()), legal)
            << byte << " at " << at;
        if (!legal) continue;
        std::string written;
        for (const uint8_t value : parsed) {
          written += kDigits[value >> 4];
          written += kDigits[value & 15];
        }
        ASSERT_EQ(written, text);
      }
    }
  }
}

TEST(HexTest, AcceptsExactlyTheDigitsAtEachPlace) {
  AcceptsExactlyTheDigits<1>();
  AcceptsExactlyTheDigits<4>();
  AcceptsExactlyTheDigits<8>();
  AcceptsExactlyTheDigits<16>();
}

// A carry between bytes must not hide one that is illegal.
TEST(HexTest, TwoIllegalDigitsAreAsIllegalAsOne) {
  for (size_t first = 0; first < 8; ++first) {
    for (size_t second = 0; second < 8; ++second) {
      for (int a = 0; a < 256; ++a) {
        for (const int b : {0x00, 0x2f, 0x3a, 0x40, 0x60, 0x67, 0x6f, 0xff}) {
          std::string text = "09afed81";
          text[first] = static_cast<char>(a);
          text[second] = static_cast<char>(b);
          uint8_t parsed[4];
          ASSERT_FALSE(ParseLowerHex<4>(text.data(), parsed)) << a << ", " << b;
        }
      }
    }
  }
}

}  // namespace
}  // namespace tether::internal
