// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/call_task.h"

#include <exception>
#include <utility>

#include "tether/internal/error.h"
#include "tether/internal/exceptions.h"

namespace tether::internal {

absl::Status CallTask(TaskFunction& task, const Context& ctx) {
  absl::Status status;
  TETHER_TRY { status = std::move(task)(ctx); }
  TETHER_CATCH_AS(const std::exception&, e) {
    status = ErrorOf(absl::StatusCode::kInternal, "task threw: ", e.what());
  }
  TETHER_CATCH(...) {
    status = ErrorOf(absl::StatusCode::kInternal,
                     "task threw: not a std::exception");
  }
  task = nullptr;
  return status;
}

}  // namespace tether::internal
