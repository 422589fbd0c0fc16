// SPDX-License-Identifier: Apache-2.0
//
// Which text headers may contain. Internal.
//
// All functions accept any bytes, including NUL and non-ASCII, and do not
// depend on the locale.

#ifndef TETHER_PROPAGATION_INTERNAL_HEADER_TEXT_H_
#define TETHER_PROPAGATION_INTERNAL_HEADER_TEXT_H_

#include <string>
#include <string_view>

#include "tether/export.h"

namespace tether::internal {

// Returns `text` with A-Z converted to a-z.
TETHER_EXPORT std::string LowerAscii(std::string_view text);

// True if applications may use `name` for a header in gRPC: one or more of
// [0-9a-z._-], and not reserved by gRPC ("grpc-..."), by tether ("tether",
// "tether-...") or by the connection ("te", "content-type" etc.).
TETHER_EXPORT bool IsHeaderName(std::string_view name);

// Returns `name` in lower case if that is a header name, else "".
TETHER_EXPORT std::string HeaderNameOrEmpty(std::string_view name);

// Returns `name` in lower case. If that is not a header name, throws
// std::invalid_argument, with a message that names `user` (a class) and says
// what is wrong; without exceptions, prints the message to stderr and aborts.
// For names from the program, never for names from a peer.
TETHER_EXPORT std::string HeaderNameOrThrow(const char* user,
                                            std::string_view name);

// True if header `name` may contain arbitrary bytes in gRPC ("...-bin").
inline bool IsBinaryHeaderName(std::string_view name) {
  constexpr std::string_view kSuffix = "-bin";
  return name.size() >= kSuffix.size() &&
         name.substr(name.size() - kSuffix.size()) == kSuffix;
}

// True if all of `text` is in 0x21..0x7e: no space. True for "".
TETHER_EXPORT bool IsVisibleAscii(std::string_view text);

// True if all of `text` is in 0x20..0x7e. gRPC sends only these bytes in text
// headers, and aborts the process for others. True for "".
TETHER_EXPORT bool IsPrintableAscii(std::string_view text);

// True if `text` is sure to arrive unchanged: all of it is in 0x20..0x7e, and
// no space is at either end, where proxies may trim it. True for "".
TETHER_EXPORT bool IsHeaderText(std::string_view text);

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_HEADER_TEXT_H_
