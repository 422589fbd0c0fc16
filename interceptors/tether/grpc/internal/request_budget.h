// SPDX-License-Identifier: Apache-2.0
//
// Decides how long a request may take.

#ifndef TETHER_GRPC_INTERNAL_REQUEST_BUDGET_H_
#define TETHER_GRPC_INTERNAL_REQUEST_BUDGET_H_

#include <optional>

#include "absl/time/time.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/internal/policy_table.h"

namespace tether::internal {

// The time that a request brings.
struct ArrivedTime {
  // From grpc-timeout, as gRPC keeps it. Core writes that header when it sends
  // the request, and rounds the time up.
  absl::Duration standard = absl::InfiniteDuration();
  // From tether-timeout: counts from the moment when the headers were handed
  // to gRPC, and the caller's reserve is taken off already.
  absl::Duration exact = absl::InfiniteDuration();
  // The caller's reserve, from tether-reserve. nullopt: the default.
  std::optional<absl::Duration> reserve = std::nullopt;
};

// Reads tether-timeout and tether-reserve. A header that is malformed or
// repeated counts as absent, and is counted as dropped.
ArrivedTime ArrivedTimeIn(const ReceivedMetadata& headers,
                          absl::Duration standard);

// Returns the time that a request has left.
//
// If `standard` less the caller's reserve ends before `exact`, by more than
// gRPC's clocks explain, then the request has waited between the two headers
// or after both: for a connection, for a stream, or for a thread of the server.
// The caller doesn't wait for longer because of that, so the former is the time
// left. Never more than `standard` or `exact`.
absl::Duration TimeLeft(const ArrivedTime& arrived);

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

// `answer_grace` as in ServerOptions, not negative.
RequestBudget BudgetOf(const ArrivedTime& arrived, const TimeLimits& limits,
                       absl::Duration answer_grace);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_REQUEST_BUDGET_H_
