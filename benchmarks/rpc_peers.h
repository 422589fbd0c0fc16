// SPDX-License-Identifier: Apache-2.0
//
// gRPC interceptors that tether is compared with. The empty one does nothing.
// The one for headers writes tether's three headers on the client, and reads
// them on the server: no library can do the same with fewer means.

#ifndef TETHER_BENCHMARKS_RPC_PEERS_H_
#define TETHER_BENCHMARKS_RPC_PEERS_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tether/propagation/timeout_header.h"

namespace tether::benchmarks {

// tether's headers, for calls without tether.
inline constexpr const char* kHeaders[] = {"traceparent", "x-request-id",
                                           kTimeoutHeader.data()};

// A value for each of kHeaders, as long as tether's own.
using HeaderValues = std::vector<std::string>;
HeaderValues ValuesOfHeaders();

// Ends the program if `metadata` lacks one of kHeaders.
void RequireHeaders(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata);

// Adds the interceptor to all calls of the server.
void InstallEmpty(grpc::ServerBuilder& builder);
void InstallHeaders(grpc::ServerBuilder& builder);

// Channels with the interceptor, which adds `values` to all calls.
std::shared_ptr<grpc::Channel> EmptyChannel(
    const std::string& address, const grpc::ChannelArguments& arguments = {});
std::shared_ptr<grpc::Channel> HeadersChannel(
    const std::string& address, HeaderValues values,
    const grpc::ChannelArguments& arguments = {});

}  // namespace tether::benchmarks

#endif  // TETHER_BENCHMARKS_RPC_PEERS_H_
