// SPDX-License-Identifier: Apache-2.0
//
// Reads a request's headers as core delivered them. gRPC's own way copies them
// into a std::multimap first: an allocation for each header, for handlers that
// never look at them.

#ifndef TETHER_GRPC_INTERNAL_RAW_HEADERS_H_
#define TETHER_GRPC_INTERNAL_RAW_HEADERS_H_

#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>

namespace tether::internal {

// The headers of the request, in the order of their arrival. Valid as long as
// `server_context`.
//
// Null if the multimap exists already, because an interceptor that saw the
// request before may have edited it; or if this release of gRPC is newer than
// those that are known (grpc_version.h). Use GetRecvInitialMetadata then.
//
// Call it in POST_RECV_INITIAL_METADATA.
const grpc_metadata_array* RawHeadersOf(
    grpc::ServerContextBase& server_context);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_RAW_HEADERS_H_
