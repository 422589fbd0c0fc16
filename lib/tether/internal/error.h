// Errors that can be made where memory has run out. Internal.

#ifndef TETHER_INTERNAL_ERROR_H_
#define TETHER_INTERNAL_ERROR_H_

#include <new>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tether::internal {

// An error of this code; its message is that of the pieces, or none where there
// is no memory for it.
template <typename... Pieces>
absl::Status ErrorOf(absl::StatusCode code, const Pieces&... pieces) noexcept {
  try {
    return absl::Status(code, absl::StrCat(pieces...));
  } catch (const std::bad_alloc&) {
    return absl::Status(code, "");
  }
}

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_ERROR_H_
