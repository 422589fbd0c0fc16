// What text may stand in a header. Internal.
//
// All functions take any bytes, NUL and non-ASCII included, and do not depend
// on the locale.

#ifndef TETHER_PROPAGATION_INTERNAL_HEADER_TEXT_H_
#define TETHER_PROPAGATION_INTERNAL_HEADER_TEXT_H_

#include <string>
#include <string_view>

#include "tether/export.h"

namespace tether::internal {

// `text` with A-Z as a-z.
TETHER_EXPORT std::string LowerAscii(std::string_view text);

// Whether `name` can be a header of the user's in gRPC: one or more of
// [0-9a-z._-], and not one that belongs to gRPC ("grpc-..."), to tether
// ("tether-...") or to the connection ("te", "content-type" and the like).
TETHER_EXPORT bool IsHeaderName(std::string_view name);

// `name` lower-cased if that makes it a header name, else "".
TETHER_EXPORT std::string HeaderNameOrEmpty(std::string_view name);

// Whether gRPC sends the values of `name` as arbitrary bytes ("...-bin").
inline bool IsBinaryHeaderName(std::string_view name) {
  constexpr std::string_view kSuffix = "-bin";
  return name.size() >= kSuffix.size() &&
         name.substr(name.size() - kSuffix.size()) == kSuffix;
}

// Whether all of `text` is in 0x21..0x7e: no space. True for "".
TETHER_EXPORT bool IsVisibleAscii(std::string_view text);

// Whether all of `text` is in 0x20..0x7e, which is what gRPC sends in headers
// that aren't binary: it aborts the process for anything else. True for "".
TETHER_EXPORT bool IsPrintableAscii(std::string_view text);

// Whether `text` arrives as it was sent: all of it in 0x20..0x7e, and no space
// at either end, where a proxy may trim it. True for "".
TETHER_EXPORT bool IsHeaderText(std::string_view text);

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_HEADER_TEXT_H_
