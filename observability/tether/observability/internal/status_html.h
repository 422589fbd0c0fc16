// SPDX-License-Identifier: Apache-2.0
//
// The pages of StatusPage. Nothing in them depends on a request: they fetch
// what they show as JSON, and show all of it as text. Internal.

#ifndef TETHER_OBSERVABILITY_INTERNAL_STATUS_HTML_H_
#define TETHER_OBSERVABILITY_INTERNAL_STATUS_HTML_H_

#include <string>

#include "absl/strings/string_view.h"

namespace tether::internal {

// Of letters and digits, `nonce` is that of the Content-Security-Policy.
std::string InFlightHtml(absl::string_view nonce);
std::string PropagationHealthHtml(absl::string_view nonce);

}  // namespace tether::internal

#endif  // TETHER_OBSERVABILITY_INTERNAL_STATUS_HTML_H_
