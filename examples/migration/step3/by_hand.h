// SPDX-License-Identifier: Apache-2.0
//
// Deadlines and headers by hand: every handler calls these.

#ifndef EXAMPLES_MIGRATION_BY_HAND_H_
#define EXAMPLES_MIGRATION_BY_HAND_H_

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <string>

namespace by_hand {

// How much of its time a handler keeps for its own answer.
constexpr std::chrono::milliseconds kForTheAnswer(100);

// The deadline of a call that a handler makes. It may take `limit`.
inline std::chrono::system_clock::time_point CallDeadline(
    const grpc::ServerContext& request, std::chrono::milliseconds limit) {
  return std::min(std::chrono::system_clock::now() + limit,
                  request.deadline() - kForTheAnswer);
}

inline bool OutOfTime(const grpc::ServerContext& request) {
  return std::chrono::system_clock::now() >= request.deadline();
}

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
