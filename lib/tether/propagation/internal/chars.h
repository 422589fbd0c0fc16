// SPDX-License-Identifier: Apache-2.0
//
// Character sets of the header grammars. Internal.
//
// Each test is one table lookup. It accepts any byte and ignores the locale.

#ifndef TETHER_PROPAGATION_INTERNAL_CHARS_H_
#define TETHER_PROPAGATION_INTERNAL_CHARS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tether::internal {

enum CharSet : uint8_t {
  kToken = 1,          // tchar of RFC 7230: keys of baggage
  kBaggageOctet = 2,   // encoded values of baggage
  kTraceStateKey = 4,  // except for the first character
  kTraceStateValue = 8,
  kBaggagePlain = 16,  // kBaggageOctet without '%': stands for itself
};

inline constexpr std::array<uint8_t, 256> kCharSets = [] {
  std::array<uint8_t, 256> sets = {};
  for (int c = 0x20; c < 0x7f; ++c) {
    const bool lower = c >= 'a' && c <= 'z';
    const bool digit = c >= '0' && c <= '9';
    const bool letter = lower || (c >= 'A' && c <= 'Z');
    bool token = letter || digit;
    for (const char other : std::string_view("!#$%&'*+-.^_`|~")) {
      token = token || c == other;
    }
    const bool key = lower || digit || c == '_' || c == '-' || c == '*' ||
                     c == '/' || c == '@';
    const bool octet =
        c != ' ' && c != '"' && c != ',' && c != ';' && c != '\\';
    sets[static_cast<size_t>(c)] = static_cast<uint8_t>(
        (token ? kToken : 0) | (octet ? kBaggageOctet : 0) |
        (octet && c != '%' ? kBaggagePlain : 0) | (key ? kTraceStateKey : 0) |
        (c != ',' && c != '=' ? kTraceStateValue : 0));
  }
  return sets;
}();

inline bool IsIn(CharSet set, char c) {
  return (kCharSets[static_cast<uint8_t>(c)] & set) != 0;
}

// Returns the length of the longest prefix of `text` whose characters are all
// in `set`. Tests four characters at a time, because scanning dominates the
// cost of reading headers.
inline size_t SpanOf(CharSet set, std::string_view text) {
  const auto sets = [text](size_t i) {
    return kCharSets[static_cast<uint8_t>(text[i])];
  };
  size_t n = 0;
  while (text.size() - n >= 4 &&
         (sets(n) & sets(n + 1) & sets(n + 2) & sets(n + 3) & set) != 0) {
    n += 4;
  }
  while (n < text.size() && IsIn(set, text[n])) ++n;
  return n;
}

// OWS of RFC 7230.
inline bool IsBlank(char c) { return c == ' ' || c == '\t'; }

inline std::string_view WithoutBlanks(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_CHARS_H_
