// Errors that can be made where memory has run out. Internal.

#ifndef TETHER_INTERNAL_ERROR_H_
#define TETHER_INTERNAL_ERROR_H_

#include <string_view>

#include "absl/status/status.h"
#include "tether/export.h"

namespace tether::internal {

// An error of this code, whose message is the two pieces; without one where
// there is no memory for it.
TETHER_EXPORT absl::Status ErrorOf(absl::StatusCode code,
                                   std::string_view message,
                                   std::string_view more = "") noexcept;

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_ERROR_H_
