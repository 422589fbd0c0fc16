// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/error.h"

#include <new>
#include <string>

#include "tether/internal/exceptions.h"

namespace tether::internal {

absl::Status ErrorOf(absl::StatusCode code, std::string_view message,
                     std::string_view more) noexcept {
  TETHER_TRY {
    std::string text(message);
    text += more;
    return absl::Status(code, text);
  }
  TETHER_CATCH(const std::bad_alloc&) { return absl::Status(code, ""); }
}

}  // namespace tether::internal
