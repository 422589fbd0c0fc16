// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/request_budget.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <string_view>

#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/reserve_nanos.h"
#include "tether/grpc/internal/time.h"
#include "tether/grpc/reserve.h"
#include "tether/internal/nanos.h"
#include "tether/propagation/internal/sole_value.h"
#include "tether/propagation/timeout_header.h"

namespace tether::internal {

namespace {

// nullopt if the header is absent, malformed or repeated.
std::optional<Nanos> TimeIn(const ReceivedMetadata& headers,
                            std::string_view name) {
  const SoleValue header = GetSole(headers, name);
  if (!header.value && !header.repeated) return std::nullopt;
  const auto time =
      header.repeated ? std::nullopt : ParseTimeout(*header.value);
  if (!time) {
    CountEvent(RpcEvent::kBadTimeout);
    return std::nullopt;
  }
  return ToNanos(*time);
}

}  // namespace

ArrivedTime ArrivedTimeIn(const ReceivedMetadata& headers, Nanos standard) {
  ArrivedTime arrived;
  arrived.standard = standard;
  arrived.exact = TimeIn(headers, kTimeoutHeader).value_or(kNever);
  arrived.reserve = TimeIn(headers, kReserveHeader);
  return arrived;
}

Nanos TimeLeft(const ArrivedTime& arrived) {
  // Core's clock ticks in milliseconds, so `standard` may be one too short.
  constexpr Nanos kTick = kMillisecond;
  const Nanos standard = arrived.standard;
  const Nanos exact = arrived.exact;
  if (standard == kNever || exact == kNever || standard <= 0) {
    return std::min(standard, exact);
  }
  const Nanos reserve = arrived.reserve
                            ? std::min(*arrived.reserve, standard / 4)
                            : ReserveOf(Reserve(), standard);
  const Nanos left = standard - reserve;
  return exact - left <= kTick ? std::min(standard, exact) : left;
}

RequestBudget BudgetOf(const ArrivedTime& arrived, const TimeLimits& limits,
                       absl::Duration answer_grace) {
  RequestBudget budget;
  budget.time_left = TimeLeft(arrived);
  if (budget.time_left != kNever) {
    budget.timeout = budget.time_left;
  } else {
    budget.timeout = ToNanos(limits.default_timeout);
    budget.owner = DeadlineOwner::kDefaultTimeout;
  }
  const Nanos max_timeout = ToNanos(limits.max_timeout);
  if (max_timeout < budget.timeout) {
    budget.timeout = max_timeout;
    budget.owner = DeadlineOwner::kMaxTimeout;
  }
  const Nanos timeout = budget.timeout;
  Nanos grace = ToNanos(answer_grace);
  if (timeout == budget.time_left) {
    budget.is_rounded = timeout < arrived.exact;
    // The caller's own time is up a reserve later. Then the caller ends the
    // call itself and has the better message. grpc-timeout is that time,
    // rounded up.
    grace = std::max(grace, std::min(timeout / 4, kSecond + timeout / 32));
  }
  // gRPC ends the handler's pending operations only at its own deadline.
  const Nanos until_cancelled = AddNanos(timeout, grace);
  if (until_cancelled < arrived.standard) {
    budget.until_cancelled = until_cancelled;
  }
  return budget;
}

absl::Duration RequestBudget::Slack() const {
  if (timeout != time_left || timeout == kNever) return absl::ZeroDuration();
  return DeadlineSlack(ToDuration(timeout), is_rounded);
}

}  // namespace tether::internal
