// SPDX-License-Identifier: Apache-2.0
//
// Conversions between absl::Status and grpc::Status. Both have the same sixteen
// error codes. grpc's details become a payload.

#ifndef TETHER_GRPC_STATUS_H_
#define TETHER_GRPC_STATUS_H_

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "tether/context.h"
#include "tether/export.h"

namespace tether {

// The type of the payload that holds grpc::Status::error_details().
inline constexpr char kStatusDetailsPayload[] =
    "type.googleapis.com/google.rpc.Status";

// Converts the code, the message and that payload. Other payloads are dropped.
// A code outside of the sixteen becomes UNKNOWN.
TETHER_EXPORT grpc::Status ToGrpcStatus(const absl::Status& status);

// The reverse of ToGrpcStatus. A code outside of the sixteen becomes UNKNOWN.
TETHER_EXPORT absl::Status FromGrpcStatus(const grpc::Status& status);

// The status of a request whose context has ended: OK while `ctx` is not done;
// else the code of Err(), and its message, followed by the cause's message if
// there is one: "context canceled: the user closed the page".
//
// If the server is drained (EndReason::kServerShutdown), the code is that of
// Cause(): UNAVAILABLE, unless ShutdownServer was given another one.
TETHER_EXPORT grpc::Status StatusOf(const Context& ctx);

}  // namespace tether

#endif  // TETHER_GRPC_STATUS_H_
