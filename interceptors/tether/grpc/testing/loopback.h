// SPDX-License-Identifier: Apache-2.0
//
// Starts gRPC servers on the loopback interface.
//
// For tests only.

#ifndef TETHER_GRPC_TESTING_LOOPBACK_H_
#define TETHER_GRPC_TESTING_LOOPBACK_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace tether::testing {

struct LoopbackServer {
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  std::string address;  // "127.0.0.1:port"
};

// Starts the server of `builder` on `port` of 127.0.0.1, or on a free port if
// `port` is 0. Ends the program if the server doesn't start.
LoopbackServer ListenOnLoopback(
    grpc::ServerBuilder& builder,
    std::shared_ptr<grpc::ServerCredentials> credentials =
        grpc::InsecureServerCredentials(),
    int port = 0);

// Arguments for a channel that shares no connection with other channels. Ports
// are reused: a shared connection may lead to the server of an earlier test.
grpc::ChannelArguments OwnConnection();

}  // namespace tether::testing

#endif  // TETHER_GRPC_TESTING_LOOPBACK_H_
