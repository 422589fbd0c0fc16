// SPDX-License-Identifier: Apache-2.0

#include "tether/budget/internal/call_spans.h"

#include <algorithm>

namespace tether::internal {

int64_t ClampTime(int64_t us) {
  return std::clamp<int64_t>(us, 0, kMaxReportTimeUs);
}

int64_t CallTime(const v1::CallReport& call) {
  const int64_t took = ClampTime(call.duration_us());
  return call.has_time_left_us()
             ? std::min(took, ClampTime(call.time_left_us()))
             : took;
}

bool IsOfHopBelow(const v1::CallReport& call) {
  const v1::BudgetReport& report = call.report();
  if (report.service().empty() && report.method().empty()) return false;
  return report.service() != call.service() || report.method() != call.method();
}

int64_t HopTimeWithin(const v1::BudgetReport& report, int64_t call_us) {
  return std::min(ClampTime(report.total_us()), call_us);
}

std::vector<CallSpan> SpansOf(const v1::BudgetReport& report,
                              int64_t total_us) {
  std::vector<CallSpan> calls;
  calls.reserve(static_cast<size_t>(report.calls_size()));
  for (const v1::CallReport& call : report.calls()) {
    const int64_t begin = std::min(ClampTime(call.start_us()), total_us);
    const int64_t end = std::min(begin + CallTime(call), total_us);
    calls.push_back({&call, {begin, end}});
  }
  std::stable_sort(calls.begin(), calls.end(),
                   [](const CallSpan& a, const CallSpan& b) {
                     return a.span.begin_us < b.span.begin_us;
                   });
  return calls;
}

std::vector<TimeSpan> UnionOf(const std::vector<CallSpan>& calls) {
  std::vector<TimeSpan> spans;
  for (const CallSpan& call : calls) {
    if (call.span.length_us() == 0) continue;
    if (!spans.empty() && call.span.begin_us <= spans.back().end_us) {
      spans.back().end_us = std::max(spans.back().end_us, call.span.end_us);
    } else {
      spans.push_back(call.span);
    }
  }
  return spans;
}

int64_t OwnTime(const v1::BudgetReport& report, int64_t total_us,
                const std::vector<TimeSpan>& waits) {
  int64_t own = total_us;
  for (const TimeSpan& wait : waits) own -= wait.length_us();
  if (!report.has_self_us()) return own;
  return std::min(own, ClampTime(report.self_us()));
}

}  // namespace tether::internal
