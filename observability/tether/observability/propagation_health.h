// SPDX-License-Identifier: Apache-2.0
//
// Where this process loses contexts or ignores them, and what to fix first.
//
//   for (const auto& finding : tether::GetPropagationHealth().findings()) {
//     std::cerr << finding.what() << ' ' << finding.fix() << '\n';
//   }
//
// A finding names methods, not lines: tether knows which handler made a call,
// but not where.

#ifndef TETHER_OBSERVABILITY_PROPAGATION_HEALTH_H_
#define TETHER_OBSERVABILITY_PROPAGATION_HEALTH_H_

#include "tether/export.h"
#include "tether/grpc/inspect.h"
#include "tether/observability/metrics.h"
#include "tether/v1/inspector.pb.h"

namespace tether {

// What `metrics` and `in_flight` show. Texts are printable ASCII (see
// inspector.proto). Requests in flight count as deaf from 250 ms after the end
// of their context on, or from deaf_after on if that is longer. `requests`
// doesn't count them, so `deaf` may exceed it. Any thread.
TETHER_EXPORT v1::PropagationHealth PropagationHealthOf(
    const Metrics& metrics, const InFlight& in_flight);

// PropagationHealthOf what is read now. Before StartMetrics, it has only the
// process's name and id.
TETHER_EXPORT v1::PropagationHealth GetPropagationHealth();

}  // namespace tether

#endif  // TETHER_OBSERVABILITY_PROPAGATION_HEALTH_H_
