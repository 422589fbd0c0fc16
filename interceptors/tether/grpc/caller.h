// SPDX-License-Identifier: Apache-2.0
//
// CallerIsWaiting: whether a handler should go on after a call that it made has
// failed.

#ifndef TETHER_GRPC_CALLER_H_
#define TETHER_GRPC_CALLER_H_

#include <grpcpp/support/status.h>

#include "tether/context.h"
#include "tether/export.h"

namespace tether {

// True if the caller of a request still waits for the answer, after a call that
// the handler made has ended with `status`. For handlers that can answer
// without the result of that call.
//
// `ctx` is the request's context (ContextOf). `call_ctx` is `ctx`, or the
// context derived from it that the call was made with.
//
// The result is false in two cases:
//  - `ctx` has ended: the caller left or cancelled, its deadline passed, or the
//    server shuts down.
//  - `status` is DEADLINE_EXCEEDED and `call_ctx` has no earlier deadline than
//    `ctx`. Then the call used up the caller's own time. A callee ends a moment
//    before its caller (see Reserve), so `ctx` may not be done yet, but hardly
//    any of its time is left.
//
// Thread safety: any thread.
//
// Example:
//
//   auto [stock_ctx, cancel] =
//       tether::WithTimeout(ctx, absl::Milliseconds(50));
//   tether::ClientCall call(stock_ctx);
//   const grpc::Status status = inventory_->GetStock(&call, …);
//   if (!status.ok() && tether::CallerIsWaiting(ctx, stock_ctx, status)) {
//     … // answer with a default
//   }
[[nodiscard]] TETHER_EXPORT bool CallerIsWaiting(const Context& ctx,
                                                 const Context& call_ctx,
                                                 const grpc::Status& status);

}  // namespace tether

#endif  // TETHER_GRPC_CALLER_H_
