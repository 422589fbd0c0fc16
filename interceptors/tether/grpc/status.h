// Between absl::Status and grpc::Status. The codes are the same sixteen;
// details travel as a payload.

#ifndef TETHER_GRPC_STATUS_H_
#define TETHER_GRPC_STATUS_H_

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "tether/context.h"
#include "tether/export.h"

namespace tether {

// Code and message; grpc's error_details() become, and are taken from, the
// payload of this type.
inline constexpr char kStatusDetailsPayload[] =
    "type.googleapis.com/google.rpc.Status";

TETHER_EXPORT grpc::Status ToGrpcStatus(const absl::Status& status);

// A code outside of gRPC's sixteen becomes UNKNOWN.
TETHER_EXPORT absl::Status FromGrpcStatus(const grpc::Status& status);

// How an RPC ends whose context has: OK while `ctx` is not done, else Err()'s
// code, and its message followed by that of the cause where one was given:
// "context canceled: the user closed the page".
TETHER_EXPORT grpc::Status StatusOf(const Context& ctx);

}  // namespace tether

#endif  // TETHER_GRPC_STATUS_H_
