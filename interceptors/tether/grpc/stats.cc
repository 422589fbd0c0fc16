// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/stats.h"

#include "tether/grpc/internal/counters.h"

namespace tether {

GrpcStats GetGrpcStats() {
  using internal::CountBetween;
  using internal::CountOf;
  using internal::RpcEvent;
  GrpcStats stats;
  stats.server_calls =
      CountBetween(RpcEvent::kServerCallMade, RpcEvent::kServerCallGone);
  stats.client_calls =
      CountBetween(RpcEvent::kClientCallMade, RpcEvent::kClientCallGone);
  stats.watches = CountBetween(RpcEvent::kWatchMade, RpcEvent::kWatchGone);
  stats.bad_timeouts = CountOf(RpcEvent::kBadTimeout);
  stats.bad_reports = CountOf(RpcEvent::kBadReport);
  stats.bad_packed = CountOf(RpcEvent::kBadPacked);
  stats.shed = CountOf(RpcEvent::kShed);
  stats.oversized = CountOf(RpcEvent::kOversized);
  stats.exceptions = CountOf(RpcEvent::kException);
  stats.contexts_not_found = CountOf(RpcEvent::kContextNotFound);
  return stats;
}

}  // namespace tether
