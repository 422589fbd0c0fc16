// SPDX-License-Identifier: Apache-2.0
//
// Shuts a server down so that its handlers can finish.

#ifndef TETHER_GRPC_SHUTDOWN_H_
#define TETHER_GRPC_SHUTDOWN_H_

#include <grpcpp/grpcpp.h>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/export.h"

namespace tether {

// Shuts a server down in three steps:
//
//  1. At once, it stops accepting requests.
//  2. After `grace`, `cancel_base_context` (the CancelFunc of
//     ServerOptions::base_context) ends the contexts of the requests that still
//     run. Their Cause() is UNAVAILABLE "the server is shutting down", and
//     EndReasonOf is kServerShutdown.
//  3. `cancel_grace` after that, gRPC cancels the calls whose handlers have not
//     returned.
//
// Blocks until grpc::Server::Shutdown has returned, at the latest when the last
// handler has returned. It returns during `grace` if all requests have ended
// and all connections are closed by then. In any case the base context has
// ended when it returns. Don't call it from a handler, for which it would wait.
//
// The callers of the requests that step 2 or 3 ends get UNAVAILABLE, so retry
// policies apply and another server may serve them: StatusOf(ctx) has that
// code, and a handler's CANCELLED, which may come from a call that it made, is
// changed to it. Other statuses of handlers are sent unchanged. `code` replaces
// UNAVAILABLE, but not for handlers that don't answer, because gRPC closes
// their connections; OK counts as UNAVAILABLE. Requests that end for another
// reason, such as their own deadline, keep their status.
//
//   auto [base, cancel_base] = tether::WithCancel(tether::Background());
//   tether::ServerOptions options;
//   options.base_context = base;
//   …
//   tether::ShutdownServer(*server, cancel_base, absl::Seconds(5));
//
// grpc::Server::Shutdown alone also ends the contexts when its deadline has
// passed, but the interceptors can't distinguish that from callers that left.
TETHER_EXPORT void ShutdownServer(
    grpc::Server& server, const CancelFunc& cancel_base_context,
    absl::Duration grace, absl::Duration cancel_grace = absl::Milliseconds(100),
    grpc::StatusCode code = grpc::StatusCode::UNAVAILABLE);

}  // namespace tether

#endif  // TETHER_GRPC_SHUTDOWN_H_
