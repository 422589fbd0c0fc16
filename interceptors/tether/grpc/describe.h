// SPDX-License-Identifier: Apache-2.0
//
// "Why did my value not arrive?" Says for one call which headers were sent and
// received, which propagator took each, and why others were dropped.
//
//   // In the handler, on any server:
//   LOG(INFO) << tether::DescribePropagation(*server_context);
//
//   // On a client:
//   tether::CallOptions options;
//   options.describe_propagation = true;
//   tether::ClientCall call(ctx, options);
//   … the call …
//   LOG(INFO) << tether::DescribePropagation(call);
//
// Names and sizes of headers are shown, never values. Calls that aren't
// described pay nothing.

#ifndef TETHER_GRPC_DESCRIBE_H_
#define TETHER_GRPC_DESCRIBE_H_

#include <grpcpp/grpcpp.h>

#include <string>

#include "tether/export.h"
#include "tether/grpc/client.h"

namespace tether {

// What arrived with the request that `server_context` serves, as
// DescribeExtract (tether/propagation/describe.h) shows it: the server's
// propagator runs once more. Says so if tether isn't installed on the server.
// Any thread, from the handler's begin to its end.
TETHER_EXPORT std::string DescribePropagation(
    const grpc::ServerContextBase& server_context);

// What `call` sent, as DescribeInject shows it, if
// CallOptions::describe_propagation is set. Says so if it isn't, if the call
// has not begun, and if it has sent nothing because its context had ended. Any
// thread.
TETHER_EXPORT std::string DescribePropagation(const ClientCall& call);

}  // namespace tether

#endif  // TETHER_GRPC_DESCRIBE_H_
