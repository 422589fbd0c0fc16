// SPDX-License-Identifier: Apache-2.0
//
// What the clients and servers of tests have in common.
//
// For tests only.

#ifndef TETHER_SIDECAR_TESTING_CHANNEL_H_
#define TETHER_SIDECAR_TESTING_CHANNEL_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace tether::sidecar::testing {

// The size of metadata that test servers and clients accept, as sidecars do.
inline constexpr int kMaxMetadata = 64 * 1024;

// Removes the limit of messages, raises that of metadata, and reconnects soon.
// The channel shares no connection.
grpc::ChannelArguments RoomyChannel();

// A plaintext channel that is connected, if that succeeds.
std::shared_ptr<grpc::Channel> ConnectedChannel(
    const std::string& address,
    const grpc::ChannelArguments& arguments = RoomyChannel());

// Servers answer it at once, and tell nobody.
inline constexpr char kWarmUpMethod[] = "/warm.Up/Now";

// Calls kWarmUpMethod until all connections to the server behind `address` are
// there. On a loaded machine, gRPC 1.51 sometimes closes the socket of its
// first attempt right after connect(), and fails the calls that wait for it.
void WarmUp(const std::string& address);

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_TESTING_CHANNEL_H_
