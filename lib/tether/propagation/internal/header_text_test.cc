// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/internal/header_text.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace tether::internal {
namespace {

// Long enough for several words of eight bytes and a rest of any length.
constexpr size_t kMaxLength = 26;

// Calls `check` with each text that is legal except for at most one byte, which
// may be any byte, at any place. The other bytes are `filler`.
template <typename Check>
void ForEachByteAtEachPlace(char filler, Check check) {
  for (size_t length = 1; length <= kMaxLength; ++length) {
    for (size_t at = 0; at < length; ++at) {
      std::string text(length, filler);
      for (int byte = 0; byte < 256; ++byte) {
        text[at] = static_cast<char>(byte);
        check(text, byte);
      }
    }
  }
}

TEST(HeaderTextTest, VisibleAsciiIsExactForEachByteAtEachPlace) {
  EXPECT_TRUE(IsVisibleAscii(""));
  for (const char filler : {'!', 'm', '~'}) {
    ForEachByteAtEachPlace(filler, [](std::string_view text, int byte) {
      ASSERT_EQ(IsVisibleAscii(text), byte >= 0x21 && byte <= 0x7e)
          << byte << " in " << text;
    });
  }
}

TEST(HeaderTextTest, PrintableAsciiIsExactForEachByteAtEachPlace) {
  EXPECT_TRUE(IsPrintableAscii(""));
  for (const char filler : {' ', 'm', '~'}) {
    ForEachByteAtEachPlace(filler, [](std::string_view text, int byte) {
      ASSERT_EQ(IsPrintableAscii(text), byte >= 0x20 && byte <= 0x7e)
          << byte << " in " << text;
    });
  }
}

// A borrow or a carry between bytes must not hide one that is illegal.
TEST(HeaderTextTest, TwoIllegalBytesAreAsIllegalAsOne) {
  for (size_t first = 0; first < 8; ++first) {
    for (size_t second = 0; second < 8; ++second) {
      for (int a = 0; a < 256; ++a) {
        for (const int b : {0x00, 0x20, 0x7f, 0x80, 0xdf, 0xff}) {
          std::string text(8, 'x');
          text[first] = static_cast<char>(a);
          text[second] = static_cast<char>(b);
          ASSERT_FALSE(IsVisibleAscii(text)) << a << ", " << b;
          ASSERT_EQ(IsPrintableAscii(text),
                    b == 0x20 && ((a >= 0x20 && a <= 0x7e) || first == second))
              << a << ", " << b;
        }
      }
    }
  }
}

}  // namespace
}  // namespace tether::internal
