// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/caller.h"

namespace tether {

bool CallerIsWaiting(const Context& ctx, const Context& call_ctx,
                     const grpc::Status& status) {
  if (ctx.Done()) return false;
  return status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED ||
         call_ctx.Deadline() < ctx.Deadline();
}

}  // namespace tether
