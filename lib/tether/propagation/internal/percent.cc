// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/internal/percent.h"

#include <cstddef>
#include <cstdint>

#include "tether/propagation/internal/chars.h"

namespace tether::internal {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

// -1 unless `c` is a hex digit.
int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

struct Utf8Part {
  size_t size;  // of the character, or of its ill-formed part; 1 to 4
  bool good;
};

// Returns the first character of `text` (table 3-7 of the Unicode standard).
// Requires !text.empty().
Utf8Part FirstOf(std::string_view text) {
  const auto at = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) return {1, true};
  if (lead < 0xc2 || lead > 0xf4) return {1, false};
  const size_t size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // The second byte has narrower bounds after some leads.
  uint8_t low = 0x80;
  uint8_t high = 0xbf;
  if (lead == 0xe0) low = 0xa0;   // overlong
  if (lead == 0xed) high = 0x9f;  // surrogates
  if (lead == 0xf0) low = 0x90;   // overlong
  if (lead == 0xf4) high = 0x8f;  // above U+10FFFF
  for (size_t i = 1; i < size; ++i) {
    if (i == text.size() || at(i) < low || at(i) > high) return {i, false};
    low = 0x80;
    high = 0xbf;
  }
  return {size, true};
}

}  // namespace

bool IsPercentEncoded(std::string_view text) {
  for (size_t at = text.find('%'); at != std::string_view::npos;
       at = text.find('%', at + 3)) {
    if (text.size() - at < 3 || HexValue(text[at + 1]) < 0 ||
        HexValue(text[at + 2]) < 0) {
      return false;
    }
  }
  return true;
}

void AppendPercentDecoded(std::string_view text, std::string& out) {
  const size_t begin = out.size();
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      c = static_cast<char>(HexValue(text[i + 1]) << 4 | HexValue(text[i + 2]));
      i += 2;
    }
    out += c;
  }
  if (IsUtf8(std::string_view(out).substr(begin))) return;
  const std::string octets = out.substr(begin);
  out.resize(begin);
  for (std::string_view rest = octets; !rest.empty();) {
    const Utf8Part part = FirstOf(rest);
    out += part.good ? rest.substr(0, part.size) : kReplacement;
    rest.remove_prefix(part.size);
  }
}

void AppendPercentEncoded(std::string_view text, std::string& out) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : text) {
    if (IsIn(kBaggageOctet, c) && c != '%') {
      out += c;
      continue;
    }
    const uint8_t octet = static_cast<uint8_t>(c);
    out += '%';
    out += kDigits[octet >> 4];
    out += kDigits[octet & 0xf];
  }
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Part part = FirstOf(text);
    if (!part.good) return false;
    text.remove_prefix(part.size);
  }
  return true;
}

}  // namespace tether::internal
