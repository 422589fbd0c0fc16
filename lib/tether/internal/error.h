// Errors that can be made where memory has run out. Internal.

#ifndef TETHER_INTERNAL_ERROR_H_
#define TETHER_INTERNAL_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tether/export.h"

namespace tether::internal {

// An error of this code, whose message is the two pieces; without one where
// there is no memory for it.
TETHER_EXPORT absl::Status ErrorOf(absl::StatusCode code,
                                   absl::string_view message,
                                   absl::string_view more = "") noexcept;

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_ERROR_H_
