// SPDX-License-Identifier: Apache-2.0
//
// The relay of soak_test: for each request it makes a call of the same kind to
// the address that the request names, in the client style that it names, and
// answers with the status of that call.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_SOAK_RELAY_H_
#define TETHER_INTEGRATION_TESTS_SOAK_RELAY_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>

#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/server.h"
#include "tether/grpc/server_options.h"

namespace tether::soak {

// Names them in the metadata of `call`. If `plain`, the relay uses a plain
// grpc::ClientContext.
void AddNextHop(grpc::ClientContext& call, const std::string& address,
                matrix::ClientStyle style, bool plain);

// Starts a relay of the sync style with `channels`, which are keyed by address
// and must outlive it.
std::unique_ptr<matrix::Server> StartRelay(
    std::shared_ptr<matrix::HandlerObserver> seen,
    const std::map<std::string, std::shared_ptr<grpc::Channel>>& channels,
    ServerOptions options, int port);

}  // namespace tether::soak

#endif  // TETHER_INTEGRATION_TESTS_SOAK_RELAY_H_
