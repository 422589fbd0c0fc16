#include "tether/internal/error.h"

#include <new>

#include "absl/strings/str_cat.h"
#include "tether/internal/exceptions.h"

namespace tether::internal {

absl::Status ErrorOf(absl::StatusCode code, absl::string_view message,
                     absl::string_view more) noexcept {
  TETHER_TRY { return absl::Status(code, absl::StrCat(message, more)); }
  TETHER_CATCH(const std::bad_alloc&) { return absl::Status(code, ""); }
}

}  // namespace tether::internal
