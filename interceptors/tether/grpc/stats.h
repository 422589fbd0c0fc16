// What the interceptors count, for a gauge in production and for tests.

#ifndef TETHER_GRPC_STATS_H_
#define TETHER_GRPC_STATS_H_

#include <cstdint>

namespace tether {

struct GrpcStats {
  // Alive now.
  int64_t server_calls = 0;  // RPCs that a server's interceptor holds
  int64_t client_calls =
      0;  // RPCs that a client's interceptor or a ClientCall holds
  int64_t watches =
      0;  // sync and async server calls whose end is being watched for

  // Since the process started.
  int64_t bad_timeouts =
      0;  // tether-timeout-us that was dropped: malformed, or sent twice
  int64_t bad_reports = 0;  // tether-report-bin that was dropped, as above
  int64_t shed = 0;         // requests that a server turned away (min_budget)
  int64_t exceptions = 0;   // thrown by a propagator and swallowed
};

// A snapshot of this process. Any thread; no lock.
GrpcStats GetGrpcStats();

}  // namespace tether

#endif  // TETHER_GRPC_STATS_H_
