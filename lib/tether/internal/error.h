// SPDX-License-Identifier: Apache-2.0
//
// ErrorOf: makes errors even if memory has run out. Internal.

#ifndef TETHER_INTERNAL_ERROR_H_
#define TETHER_INTERNAL_ERROR_H_

#include <string_view>

#include "absl/status/status.h"
#include "tether/export.h"

namespace tether::internal {

// An error with the message `message` + `more`, or with an empty message if
// there is no memory for it.
TETHER_EXPORT absl::Status ErrorOf(absl::StatusCode code,
                                   std::string_view message,
                                   std::string_view more = "") noexcept;

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_ERROR_H_
