// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/request_budget.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <string_view>

#include "tether/grpc/internal/counters.h"
#include "tether/grpc/reserve.h"
#include "tether/propagation/internal/sole_value.h"
#include "tether/propagation/timeout_header.h"

namespace tether::internal {

namespace {

// nullopt if the header is absent, malformed or repeated.
std::optional<absl::Duration> TimeIn(const ReceivedMetadata& headers,
                                     std::string_view name) {
  const SoleValue header = GetSole(headers, name);
  if (!header.value && !header.repeated) return std::nullopt;
  const auto time =
      header.repeated ? std::nullopt : ParseTimeout(*header.value);
  if (!time) CountEvent(RpcEvent::kBadTimeout);
  return time;
}

}  // namespace

ArrivedTime ArrivedTimeIn(const ReceivedMetadata& headers,
                          absl::Duration standard) {
  ArrivedTime arrived;
  arrived.standard = standard;
  arrived.exact =
      TimeIn(headers, kTimeoutHeader).value_or(absl::InfiniteDuration());
  arrived.reserve = TimeIn(headers, kReserveHeader);
  return arrived;
}

absl::Duration TimeLeft(const ArrivedTime& arrived) {
  // Core's clock ticks in milliseconds, so `standard` may be one too short.
  constexpr absl::Duration kTick = absl::Milliseconds(1);
  const absl::Duration standard = arrived.standard;
  const absl::Duration exact = arrived.exact;
  if (standard == absl::InfiniteDuration() ||
      exact == absl::InfiniteDuration() || standard <= absl::ZeroDuration()) {
    return std::min(standard, exact);
  }
  const absl::Duration reserve = arrived.reserve
                                     ? std::min(*arrived.reserve, standard / 4)
                                     : Reserve().Of(standard);
  const absl::Duration left = standard - reserve;
  return exact - left <= kTick ? std::min(standard, exact) : left;
}

RequestBudget BudgetOf(const ArrivedTime& arrived, const TimeLimits& limits,
                       absl::Duration answer_grace) {
  RequestBudget budget;
  budget.time_left = TimeLeft(arrived);
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
      budget.slack =
          DeadlineSlack(timeout, /*is_rounded=*/timeout < arrived.exact);
    }
    // The caller's own time is up a reserve later. Then the caller ends the
    // call itself and has the better message. grpc-timeout is that time,
    // rounded up.
    grace =
        std::max(grace, std::min(timeout / 4, absl::Seconds(1) + timeout / 32));
  }
  // gRPC ends the handler's pending operations only at its own deadline.
  const absl::Duration until_cancelled = timeout + grace;
  if (until_cancelled < arrived.standard)
    budget.until_cancelled = until_cancelled;
  return budget;
}

}  // namespace tether::internal
