// SPDX-License-Identifier: Apache-2.0
//
// tether.v1.Inspector with sources of the caller's choice. Internal.

#ifndef TETHER_OBSERVABILITY_INTERNAL_INSPECTOR_H_
#define TETHER_OBSERVABILITY_INTERNAL_INSPECTOR_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>

#include "tether/observability/inspector_service.h"
#include "tether/v1/inspector.pb.h"

namespace tether::internal {

// Where the answers come from. Both are called concurrently, on gRPC's threads.
// An exception from one ends its RPC with INTERNAL.
struct InspectorSources {
  // As TakeSnapshot (snapshot.h).
  std::function<v1::Snapshot(const v1::ListRequest&)> snapshot;
  // nullopt: the process doesn't count.
  std::function<std::optional<v1::PropagationHealth>()> health;
};

// What is alive in this process, and what it has counted.
InspectorSources SourcesOfThisProcess();

std::unique_ptr<grpc::Service> MakeInspectorService(InspectorOptions options,
                                                    InspectorSources sources);

}  // namespace tether::internal

#endif  // TETHER_OBSERVABILITY_INTERNAL_INSPECTOR_H_
