// SPDX-License-Identifier: Apache-2.0
//
// Headers by hand: every handler calls these.

#ifndef EXAMPLES_MIGRATION_BY_HAND_H_
#define EXAMPLES_MIGRATION_BY_HAND_H_

#include <grpcpp/grpcpp.h>

#include <string>

namespace by_hand {

// A header of the request, or "".
inline std::string Header(const grpc::ServerContext& request,
                          const char* name) {
  const auto found = request.client_metadata().find(name);
  if (found == request.client_metadata().end()) return "";
  return std::string(found->second.data(), found->second.size());
}

// Sends the request's trace and tenant with a call.
inline void PassOn(const grpc::ServerContext& request,
                   grpc::ClientContext& call) {
  for (const char* name : {"traceparent", "x-tenant"}) {
    const std::string value = Header(request, name);
    if (!value.empty()) call.AddMetadata(name, value);
  }
}

}  // namespace by_hand

#endif  // EXAMPLES_MIGRATION_BY_HAND_H_
