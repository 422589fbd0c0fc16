// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/internal/baggage_grammar.h"

#include <cstddef>

#include "tether/propagation/internal/chars.h"
#include "tether/propagation/internal/percent.h"

namespace tether::internal {
namespace {

void SkipBlanks(std::string_view& text) {
  while (!text.empty() && IsBlank(text[0])) text.remove_prefix(1);
}

std::string_view Take(std::string_view& text, size_t n) {
  const std::string_view taken = text.substr(0, n);
  text.remove_prefix(n);
  return taken;
}

}  // namespace

bool IsBaggageKey(std::string_view text) {
  return !text.empty() && SpanOf(kToken, text) == text.size();
}

bool TakeBaggageItem(std::string_view& text, BaggageItem& item) {
  SkipBlanks(text);
  item.key = Take(text, SpanOf(kToken, text));
  item.value = {};
  if (item.key.empty()) return false;
  SkipBlanks(text);
  if (!text.empty() && text[0] == '=') {
    text.remove_prefix(1);
    SkipBlanks(text);
    item.value = Take(text, SpanOf(kBaggageOctet, text));
    if (!IsPercentEncoded(item.value)) return false;
    SkipBlanks(text);
  }
  return text.empty() || text[0] == ';';
}

void AppendBaggageItem(const BaggageItem& item, std::string& out) {
  out += item.key;
  if (item.value.data() == nullptr) return;
  out += '=';
  out += item.value;
}

}  // namespace tether::internal
