// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/stats.h"

#include "tether/grpc/internal/counters.h"

namespace tether {

GrpcStats GetGrpcStats() {
  const internal::Counters& c = internal::counters;
  GrpcStats stats;
  stats.server_calls = c.server_calls.load(std::memory_order_relaxed);
  stats.client_calls = c.client_calls.load(std::memory_order_relaxed);
  stats.watches = c.watches.load(std::memory_order_relaxed);
  stats.bad_timeouts = c.bad_timeouts.load(std::memory_order_relaxed);
  stats.bad_reports = c.bad_reports.load(std::memory_order_relaxed);
  stats.shed = c.shed.load(std::memory_order_relaxed);
  stats.oversized = c.oversized.load(std::memory_order_relaxed);
  stats.exceptions = c.exceptions.load(std::memory_order_relaxed);
  stats.contexts_not_found =
      c.contexts_not_found.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace tether
