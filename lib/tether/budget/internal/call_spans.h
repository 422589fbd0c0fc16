// When the calls of a hop were under way. Internal.

#ifndef TETHER_BUDGET_INTERNAL_CALL_SPANS_H_
#define TETHER_BUDGET_INTERNAL_CALL_SPANS_H_

#include <cstdint>
#include <vector>

#include "tether/budget/time_span.h"
#include "tether/v1/budget_report.pb.h"

namespace tether::internal {

// `us`, or the nearest time that a report can hold: 0 to kMaxReportTimeUs.
int64_t ClampTime(int64_t us);

// How long `call` took, as its caller saw it; no longer than it had, since a
// deadline ends it: what a caller does after that is the caller's own.
int64_t CallTime(const v1::CallReport& call);

// Whether the report is not of the hop that was called, but of one behind it,
// whose trailing metadata the other has handed back as its own: it has other
// names than the call. Then the hop that was called has told nothing itself.
bool IsOfHopBelow(const v1::CallReport& call);

// The time of a hop that served a call of `call_us`, as far as it fits in.
int64_t HopTimeWithin(const v1::BudgetReport& report, int64_t call_us);

struct CallSpan {
  const v1::CallReport* call;
  TimeSpan span;  // since the hop's arrival
};

// The calls of `report`, of a hop that took `total_us`, cut to fit into that;
// in the order of their begins, those of the same in the order of the report.
// `total_us` is a ClampTime.
std::vector<CallSpan> SpansOf(const v1::BudgetReport& report, int64_t total_us);

// The times at which any of them was under way: in order, not empty, and apart
// from one another. `calls` are in the order of their begins.
std::vector<TimeSpan> UnionOf(const std::vector<CallSpan>& calls);

// What is left of `total_us` without `waits`, and at most what the hop says
// that it was.
int64_t OwnTime(const v1::BudgetReport& report, int64_t total_us,
                const std::vector<TimeSpan>& waits);

// Whether an answer came. A report is one.
inline bool Answered(const v1::CallReport& call) {
  return call.answered() || call.has_report();
}

}  // namespace tether::internal

#endif  // TETHER_BUDGET_INTERNAL_CALL_SPANS_H_
