// SPDX-License-Identifier: Apache-2.0
//
// What one side of a call sees, as text.
//
// For tests only.

#ifndef TETHER_SIDECAR_TESTING_TRANSCRIPT_H_
#define TETHER_SIDECAR_TESTING_TRANSCRIPT_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <string>
#include <string_view>

namespace tether::sidecar::testing {

// A short text as it is; a longer one as its size and a hash, which are the
// same for the same text in one process.
std::string Describe(std::string_view text);

// The code, the message and the details.
std::string Describe(const grpc::Status& status);

// One "name: value" a line: sorted by name, while the values of one name keep
// their order. Left out, because a sidecar changes it and docs/sidecar.md says
// so:
//
//  - user-agent, which gRPC's core writes itself
//  - the member tether-hop, if it is the first of baggage; the header, if
//    nothing else is in it; the same for tracestate
std::string Describe(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata);

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_TESTING_TRANSCRIPT_H_
