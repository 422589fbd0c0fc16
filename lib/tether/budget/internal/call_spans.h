// SPDX-License-Identifier: Apache-2.0
//
// When the calls of a hop were running. Internal.

#ifndef TETHER_BUDGET_INTERNAL_CALL_SPANS_H_
#define TETHER_BUDGET_INTERNAL_CALL_SPANS_H_

#include <cstdint>
#include <vector>

#include "tether/budget/time_span.h"
#include "tether/v1/budget_report.pb.h"

namespace tether::internal {

// Clamps `us` to the times that a report can hold: 0 to kMaxReportTimeUs.
int64_t ClampTime(int64_t us);

// Returns how long `call` took for its caller, up to its deadline. Later time
// is the caller's own.
int64_t CallTime(const v1::CallReport& call);

// True if the report in `call` comes from a hop behind the called one. Its
// names then differ from the call's. This happens if the called hop forwards
// trailing metadata and sends no report itself.
bool IsOfHopBelow(const v1::CallReport& call);

// The total time of the hop, capped at `call_us`, the time of the call.
int64_t HopTimeWithin(const v1::BudgetReport& report, int64_t call_us);

struct CallSpan {
  const v1::CallReport* call;
  TimeSpan span;  // since the hop's arrival
};

// Returns the calls of `report`, sorted stably by their begins and cut to the
// hop's time `total_us`. Requires a `total_us` that ClampTime would not change.
std::vector<CallSpan> SpansOf(const v1::BudgetReport& report, int64_t total_us);

// Returns the times at which any of `calls` was running: in order, not empty,
// and disjoint. Requires that `calls` are sorted by their begins.
std::vector<TimeSpan> UnionOf(const std::vector<CallSpan>& calls);

// Returns `total_us` minus `waits`, or the hop's own figure if that is smaller.
int64_t OwnTime(const v1::BudgetReport& report, int64_t total_us,
                const std::vector<TimeSpan>& waits);

// True if an answer came. A report counts as an answer.
inline bool Answered(const v1::CallReport& call) {
  return call.answered() || call.has_report();
}

}  // namespace tether::internal

#endif  // TETHER_BUDGET_INTERNAL_CALL_SPANS_H_
