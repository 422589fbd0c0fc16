// SPDX-License-Identifier: Apache-2.0
//
// The server's side of packed headers (ServerOptions::packed). The client's is
// in packed_servers.h.

#ifndef TETHER_GRPC_INTERNAL_PACKED_REQUEST_H_
#define TETHER_GRPC_INTERNAL_PACKED_REQUEST_H_

#include "tether/grpc/internal/metadata_carrier.h"

namespace tether::internal {

// Unpacks a request's `headers`. Counts a packed header that is malformed.
// Returns true if the client has asked whether this server unpacks: then
// SayThatItUnpacks must be called for the answer.
bool UnpackHeaders(ReceivedMetadata& headers);

// Adds the answer to that question.
void SayThatItUnpacks(SentMetadata::Map& trailing_metadata) noexcept;

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_PACKED_REQUEST_H_
