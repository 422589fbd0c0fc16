// SPDX-License-Identifier: Apache-2.0
//
// One RPC to Probe in each of gRPC's client styles.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_MATRIX_CLIENT_H_
#define TETHER_INTEGRATION_TESTS_MATRIX_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/request.h"

namespace tether::matrix {

struct Reply {
  grpc::Status status;
  int messages = 0;  // that came from the server
};

// Makes an RPC of `kind` with `request`, and blocks until it has its status. If
// the client streams, it sends kMessages and closes its side; for
// Request::kWait it sends one message and leaves its side open.
Reply Call(ClientStyle style, Kind kind,
           const std::shared_ptr<grpc::Channel>& channel,
           grpc::ClientContext* context, Request request);

}  // namespace tether::matrix

#endif  // TETHER_INTEGRATION_TESTS_MATRIX_CLIENT_H_
