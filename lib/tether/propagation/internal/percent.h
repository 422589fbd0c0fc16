// SPDX-License-Identifier: Apache-2.0
//
// Percent-encoding (RFC 3986, 2.1) for W3C Baggage. Internal.

#ifndef TETHER_PROPAGATION_INTERNAL_PERCENT_H_
#define TETHER_PROPAGATION_INTERNAL_PERCENT_H_

#include <string>
#include <string_view>

namespace tether::internal {

// True if each '%' in `text` is followed by two hex digits of either case.
bool IsPercentEncoded(std::string_view text);

// Decodes `text` and appends it to `out`. Invalid UTF-8 becomes U+FFFD, one for
// each maximal ill-formed subpart, as Unicode recommends. Requires
// IsPercentEncoded(text). Appends at most text.size() bytes.
void AppendPercentDecoded(std::string_view text, std::string& out);

// Appends `text` to `out`. Encodes '%' and the bytes outside kBaggageOctet.
void AppendPercentEncoded(std::string_view text, std::string& out);

// True if `text` is valid UTF-8: no surrogates, no overlong forms, nothing
// above U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_PERCENT_H_
