// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/caller.h"

#include "absl/time/time.h"

namespace tether {

bool CallerIsWaiting(const Context& ctx, const Context& call_ctx,
                     const grpc::Status& status) {
  if (ctx.Done()) return false;
  if (status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) return true;
  // Deadline() is wall-clock time, which may have jumped between the making of
  // the two. The call's time is read first: so if both have the same deadline,
  // the call doesn't seem to have less.
  const absl::Duration call_left = call_ctx.Remaining();
  return call_left < ctx.Remaining();
}

}  // namespace tether
