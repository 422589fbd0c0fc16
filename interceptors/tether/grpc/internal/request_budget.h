// SPDX-License-Identifier: Apache-2.0
//
// Decides how long a request may take.

#ifndef TETHER_GRPC_INTERNAL_REQUEST_BUDGET_H_
#define TETHER_GRPC_INTERNAL_REQUEST_BUDGET_H_

#include "absl/time/time.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/internal/policy_table.h"

namespace tether::internal {

// Reads tether-timeout-us. InfiniteDuration() if it is absent, malformed or
// repeated; the last two are counted.
absl::Duration TimeoutIn(const ReceivedMetadata& headers);

// Returns the time that a request has left. `standard` comes from grpc-timeout,
// as gRPC keeps it. `exact` comes from tether-timeout-us: it counts from the
// moment when the headers were handed to gRPC, and the caller's reserve is
// taken off already.
//
// If grpc-timeout ends more than some milliseconds before `exact`, the request
// has waited, for a connection or for a thread of the server, and the caller's
// reserve is used up. Then the default reserve is taken off `standard`.
absl::Duration TimeLeft(absl::Duration standard, absl::Duration exact);

struct RequestBudget {
  // The time that the caller has left. Infinite if it set no deadline.
  absl::Duration time_left = absl::InfiniteDuration();

  // The timeout of the request's context, and the timeout's origin.
  absl::Duration timeout = absl::InfiniteDuration();
  DeadlineOwner owner = DeadlineOwner::kCaller;

  // See DeadlineSlack; zero if the deadline isn't the caller's.
  absl::Duration slack = absl::ZeroDuration();

  // The time after which the call is cancelled for a handler that doesn't
  // answer. Infinite if gRPC's own deadline ends the call before.
  absl::Duration until_cancelled = absl::InfiniteDuration();
};

// `standard` and `exact` as for TimeLeft; `answer_grace` as in ServerOptions,
// not negative.
RequestBudget BudgetOf(absl::Duration standard, absl::Duration exact,
                       const TimeLimits& limits, absl::Duration answer_grace);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_REQUEST_BUDGET_H_
