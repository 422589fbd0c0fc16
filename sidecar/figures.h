// SPDX-License-Identifier: Apache-2.0
//
// A sidecar's figures at one moment, for its pages and metrics.
// proto/tether/v1/sidecar_status.proto has their meaning.

#ifndef TETHER_SIDECAR_FIGURES_H_
#define TETHER_SIDECAR_FIGURES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace tether::sidecar {

struct SidecarFigures {
  int64_t requests = 0;
  int64_t calls = 0;
  int64_t dead_on_arrival = 0;
  int64_t over_limit = 0;
  int64_t app_unreachable = 0;

  // Calls, by how their request was found.
  int64_t by_id = 0;
  int64_t by_trace = 0;
  int64_t by_request_id = 0;
  int64_t none = 0;
  int64_t late = 0;
  int64_t refused = 0;
  int64_t not_correlated = 0;  // correlate: off

  int64_t cut = 0;
  // The names may come from the wire. Their number is bounded.
  std::map<std::string, int64_t, std::less<>> would_cut;

  // The table of requests.
  int64_t alive = 0;
  int64_t tombstones = 0;
  int64_t overflowed = 0;
  int64_t foreign = 0;

  int64_t in_flight_ingress = 0;
  int64_t in_flight_egress = 0;
  int64_t access_log_dropped = 0;

  // Connections by way of connect_listen.
  int64_t connects = 0;
  int64_t connects_refused = 0;

  std::string mode;  // "observe", "deadline" or "full"
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_FIGURES_H_
