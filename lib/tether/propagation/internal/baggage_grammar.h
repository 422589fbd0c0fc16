// SPDX-License-Identifier: Apache-2.0
//
// The grammar of the `baggage` header. Internal.

#ifndef TETHER_PROPAGATION_INTERNAL_BAGGAGE_GRAMMAR_H_
#define TETHER_PROPAGATION_INTERNAL_BAGGAGE_GRAMMAR_H_

#include <string>
#include <string_view>

namespace tether::internal {

// A key with an optional value: an entry without its properties, or a property.
struct BaggageItem {
  std::string_view key;
  std::string_view value;  // encoded; data() is null if there is no '='
};

// True if `text` may be a key: a token of RFC 7230.
bool IsBaggageKey(std::string_view text);

// Removes an item from the front of `text`: key OWS [ "=" OWS value ] OWS.
// Returns false if it is malformed. Otherwise `text` is then empty or begins
// with ';'.
bool TakeBaggageItem(std::string_view& text, BaggageItem& item);

// Appends `item` to `out` without blanks.
void AppendBaggageItem(const BaggageItem& item, std::string& out);

// Calls visit(item) for each of `properties`, each of which begins with ';'.
// Returns false if one is malformed.
template <typename Visit>
bool ForEachBaggageProperty(std::string_view properties, Visit visit) {
  while (!properties.empty()) {
    properties.remove_prefix(1);
    BaggageItem property;
    if (!TakeBaggageItem(properties, property)) return false;
    visit(property);
  }
  return true;
}

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_BAGGAGE_GRAMMAR_H_
