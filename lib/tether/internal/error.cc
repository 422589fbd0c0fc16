#include "tether/internal/error.h"

#include <new>

#include "absl/strings/str_cat.h"

namespace tether::internal {

absl::Status ErrorOf(absl::StatusCode code, absl::string_view message,
                     absl::string_view more) noexcept {
  try {
    return absl::Status(code, absl::StrCat(message, more));
  } catch (const std::bad_alloc&) {
    return absl::Status(code, "");
  }
}

}  // namespace tether::internal
