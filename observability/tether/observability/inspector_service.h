// SPDX-License-Identifier: Apache-2.0
//
// tether.v1.Inspector: shows over gRPC what this process serves and waits for.
// tetherctl reads it.
//
//   auto inspector = tether::MakeInspectorService();
//   builder.RegisterService(inspector.get());
//
// It tells of traffic: methods, peers, trace ids. Register it on a server that
// only operators reach (a port of its own on loopback, or with credentials), or
// set `authorize`. With gRPC's reflection, tools find it by themselves.

#ifndef TETHER_OBSERVABILITY_INSPECTOR_SERVICE_H_
#define TETHER_OBSERVABILITY_INSPECTOR_SERVICE_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>

#include <functional>
#include <memory>

#include "tether/export.h"

namespace tether {

struct InspectorOptions {
  // Called for each RPC before anything else, concurrently, on gRPC's threads:
  // it should not block. A status that isn't OK is the answer; an exception
  // becomes INTERNAL. Null: everyone who reaches the server may ask.
  //
  //   options.authorize = [](const grpc::ServerContextBase& caller) {
  //     return IsOperator(*caller.auth_context())
  //                ? grpc::Status::OK
  //                : grpc::Status(grpc::PERMISSION_DENIED, "operators only");
  //   };
  std::function<grpc::Status(const grpc::ServerContextBase&)> authorize;

  // The most Watch streams at once. Others get RESOURCE_EXHAUSTED; if it is 0
  // or less, all do.
  int max_watchers = 16;
};

// Its own requests are not in its answers. A Watch holds no thread, and has one
// snapshot in flight at most.
//
// A Watch ends with its request's context if tether is installed on the server,
// otherwise when gRPC cancels its call. So it ends at the grace of
// ShutdownServer at the latest, and after TimePolicy::max_timeout.
//
// Lifetime: must outlive the server, as all services. Thread safety: any
// thread, as gRPC requires.
TETHER_EXPORT std::unique_ptr<grpc::Service> MakeInspectorService(
    InspectorOptions options = {});

}  // namespace tether

#endif  // TETHER_OBSERVABILITY_INSPECTOR_SERVICE_H_
