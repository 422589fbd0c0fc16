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
#include "tether/internal/nanos.h"

namespace tether::internal {

// All times here are nanoseconds; kNever: there is no limit (time.h).

// The time that a request brings.
struct ArrivedTime {
  // From grpc-timeout, as gRPC keeps it. Core writes that header when it sends
  // the request, and rounds the time up.
  Nanos standard = kNever;
  // From tether-timeout: counts from the moment when the headers were handed
  // to gRPC, and the caller's reserve is taken off already.
  Nanos exact = kNever;
  // The caller's reserve, from tether-reserve. nullopt: the default.
  std::optional<Nanos> reserve = std::nullopt;
};

// Reads tether-timeout and tether-reserve. A header that is malformed or
// repeated counts as absent, and is counted as dropped.
ArrivedTime ArrivedTimeIn(const ReceivedMetadata& headers, Nanos standard);

// Returns the time that a request has left.
//
// If `standard` less the caller's reserve ends before `exact`, by more than
// gRPC's clocks explain, then the request has waited between the two headers
// or after both: for a connection, for a stream, or for a thread of the server.
// The caller doesn't wait for longer because of that, so the former is the time
// left. Never more than `standard` or `exact`.
Nanos TimeLeft(const ArrivedTime& arrived);

struct RequestBudget {
  // The time that the caller has left. Infinite if it set no deadline.
  Nanos time_left = kNever;

  // The timeout of the request's context, and the timeout's origin.
  Nanos timeout = kNever;
  DeadlineOwner owner = DeadlineOwner::kCaller;

  // True if the deadline is the caller's, and comes from grpc-timeout alone.
  bool is_rounded = false;

  // The time after which the call is cancelled for a handler that doesn't
  // answer. Infinite if gRPC's own deadline ends the call before.
  Nanos until_cancelled = kNever;

  // See DeadlineSlack; zero if the deadline isn't the caller's.
  absl::Duration Slack() const;
};

// `answer_grace` as in ServerOptions, not negative.
RequestBudget BudgetOf(const ArrivedTime& arrived, const TimeLimits& limits,
                       absl::Duration answer_grace);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_REQUEST_BUDGET_H_
