// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/request_budget.h"

#include <algorithm>
#include <atomic>
#include <optional>

#include "tether/grpc/internal/counters.h"
#include "tether/grpc/reserve.h"
#include "tether/propagation/internal/sole_value.h"
#include "tether/propagation/timeout_header.h"

namespace tether::internal {

absl::Duration TimeoutIn(const ReceivedMetadata& headers) {
  const SoleValue header = GetSole(headers, kTimeoutHeader);
  if (!header.value && !header.repeated) return absl::InfiniteDuration();
  const auto timeout =
      header.repeated ? std::nullopt : ParseTimeout(*header.value);
  if (!timeout) {
    counters.bad_timeouts.fetch_add(1, std::memory_order_relaxed);
    return absl::InfiniteDuration();
  }
  return *timeout;
}

absl::Duration TimeLeft(absl::Duration standard, absl::Duration exact) {
  constexpr absl::Duration kNoWait = absl::Milliseconds(5);
  if (exact == absl::InfiniteDuration() || exact - standard <= kNoWait) {
    return std::min(standard, exact);
  }
  return standard - Reserve().Of(standard);
}

RequestBudget BudgetOf(absl::Duration standard, absl::Duration exact,
                       const TimeLimits& limits, absl::Duration answer_grace) {
  RequestBudget budget;
  budget.time_left = TimeLeft(standard, exact);
  if (budget.time_left != absl::InfiniteDuration()) {
    budget.timeout = budget.time_left;
  } else {
    budget.timeout = limits.default_timeout;
    budget.owner = DeadlineOwner::kDefaultTimeout;
  }
  if (limits.max_timeout < budget.timeout) {
    budget.timeout = limits.max_timeout;
    budget.owner = DeadlineOwner::kMaxTimeout;
  }
  const absl::Duration timeout = budget.timeout;
  absl::Duration grace = answer_grace;
  if (timeout == budget.time_left) {
    if (timeout != absl::InfiniteDuration()) {
      budget.slack = DeadlineSlack(timeout, /*is_rounded=*/exact > standard);
    }
    // The caller's own time is up a reserve later. Then the caller ends the
    // call itself and has the better message. grpc-timeout is that time,
    // rounded up.
    grace =
        std::max(grace, std::min(timeout / 4, absl::Seconds(1) + timeout / 32));
  }
  // gRPC ends the handler's pending operations only at its own deadline.
  const absl::Duration until_cancelled = timeout + grace;
  if (until_cancelled < standard) budget.until_cancelled = until_cancelled;
  return budget;
}

}  // namespace tether::internal
