// SPDX-License-Identifier: Apache-2.0
//
// Servers that have nothing but what is registered on them. gRPC adds services
// of its own to all servers of a process: reflection, if the process is linked
// with it; health, if EnableDefaultHealthCheckService(true) was called. On the
// sidecar's ports they would answer what is meant for the app.

#ifndef TETHER_SIDECAR_PLAIN_SERVER_H_
#define TETHER_SIDECAR_PLAIN_SERVER_H_

#include <grpcpp/grpcpp.h>

namespace tether::sidecar {

// Call it once, before BuildAndStart.
void MakePlain(grpc::ServerBuilder& builder);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_PLAIN_SERVER_H_
