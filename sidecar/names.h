// SPDX-License-Identifier: Apache-2.0
//
// The names by which a call is tied to a request, in its headers.

#ifndef TETHER_SIDECAR_NAMES_H_
#define TETHER_SIDECAR_NAMES_H_

#include <string>
#include <string_view>

#include "sidecar/metadata.h"

namespace tether::sidecar {

// The trace id of `traceparent`, 32 hex digits; "" if there is none, or it is
// malformed or was sent twice.
std::string TraceIdIn(const ReceivedMap& headers);

// `x-request-id`; "" if there is none, it is longer than 128 bytes, or it was
// sent twice.
std::string RequestIdIn(const ReceivedMap& headers);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_NAMES_H_
