// SPDX-License-Identifier: Apache-2.0
//
// The counters behind GetGrpcStats().

#ifndef TETHER_GRPC_INTERNAL_COUNTERS_H_
#define TETHER_GRPC_INTERNAL_COUNTERS_H_

#include <atomic>
#include <cstdint>

namespace tether::internal {

struct Counters {
  std::atomic<int64_t> server_calls{0};
  // Those whose headers haven't reached tether's interceptor. Not in GrpcStats.
  std::atomic<int64_t> arriving_calls{0};
  std::atomic<int64_t> client_calls{0};
  std::atomic<int64_t> watches{0};
  std::atomic<int64_t> bad_timeouts{0};
  std::atomic<int64_t> bad_reports{0};
  std::atomic<int64_t> shed{0};
  std::atomic<int64_t> oversized{0};
  std::atomic<int64_t> exceptions{0};
  std::atomic<int64_t> contexts_not_found{0};
};

inline Counters counters;

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_COUNTERS_H_
