// Percent-encoding (RFC 3986, 2.1), as W3C Baggage uses it. Internal.

#ifndef TETHER_PROPAGATION_INTERNAL_PERCENT_H_
#define TETHER_PROPAGATION_INTERNAL_PERCENT_H_

#include <string>
#include <string_view>

namespace tether::internal {

// Whether each '%' in `text` is followed by two hex digits, of either case.
bool IsPercentEncoded(std::string_view text);

// Appends `text` with its encoded octets decoded. Octets that are no UTF-8
// become U+FFFD, one for each maximal part of a character that could have been
// one, as Unicode recommends. Requires IsPercentEncoded(text). Appends at most
// as many bytes as `text` has.
void AppendPercentDecoded(std::string_view text, std::string& out);

// Appends `text` with all that isn't in kBaggageOctet, and '%', encoded.
void AppendPercentEncoded(std::string_view text, std::string& out);

// No surrogates, no overlong forms, nothing above U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_PERCENT_H_
