// What the interceptors count, for a gauge in production and for tests.

#ifndef TETHER_GRPC_STATS_H_
#define TETHER_GRPC_STATS_H_

#include <cstdint>

#include "tether/export.h"

namespace tether {

struct GrpcStats {
  // Alive now.

  // RPCs that a server's interceptor holds.
  int64_t server_calls = 0;
  // RPCs that a client's interceptor or a ClientCall holds.
  int64_t client_calls = 0;
  // Sync and async server calls whose end is being watched for.
  int64_t watches = 0;

  // Since the process started.

  // tether-timeout-us that was dropped: malformed, or sent twice.
  int64_t bad_timeouts = 0;
  // tether-report-bin that was dropped: malformed, too large, or sent twice.
  int64_t bad_reports = 0;
  // Requests that a server turned away for min_budget.
  int64_t shed = 0;
  // Calls that were sent without their values (or, beyond 7 KiB, without any
  // header of tether's), because the application's own metadata left no room
  // in the 8 KiB that a peer takes.
  int64_t oversized = 0;
  // Thrown by a propagator, and swallowed.
  int64_t exceptions = 0;
};

// A snapshot of this process. Any thread; no lock.
TETHER_EXPORT GrpcStats GetGrpcStats();

}  // namespace tether

#endif  // TETHER_GRPC_STATS_H_
