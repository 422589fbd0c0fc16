// SPDX-License-Identifier: Apache-2.0
//
// CallTask: calls a task of TaskGroup or FirstOf. Internal.

#ifndef TETHER_INTERNAL_CALL_TASK_H_
#define TETHER_INTERNAL_CALL_TASK_H_

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "tether/context.h"
#include "tether/export.h"

namespace tether::internal {

using TaskFunction = absl::AnyInvocable<absl::Status(const Context&) &&>;

// Calls `task` and destroys it. Returns its result, or INTERNAL "task threw: "
// and what() if it throws. `task` must not be null.
TETHER_EXPORT absl::Status CallTask(TaskFunction& task, const Context& ctx);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_CALL_TASK_H_
