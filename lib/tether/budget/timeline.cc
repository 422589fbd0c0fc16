// SPDX-License-Identifier: Apache-2.0

#include "tether/budget/timeline.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tether/budget/internal/call_spans.h"
#include "tether/budget/internal/names.h"
#include "tether/end_reason.h"

namespace tether {
namespace {

using internal::CallSpan;
using internal::ClampTime;

constexpr size_t kMaxRows = 500;
constexpr int kDeepestRow = 64;
constexpr size_t kMaxNameBytes = 64;

TimeSpan Shifted(TimeSpan span, int64_t by_us) {
  return {span.begin_us + by_us, span.end_us + by_us};
}

// The relation of a call to the other calls of its hop.
struct Kinship {
  bool parallel = false;
  int attempt = 1;  // of `attempts`
  int attempts = 1;
  bool shows_address = false;
};

bool HaveSameMethod(const v1::CallReport& a, const v1::CallReport& b) {
  return a.service() == b.service() && a.method() == b.method();
}

// True if another of `calls`, to the same method, went to another address.
bool IsOneOfSeveralAddresses(const v1::CallReport& call,
                             const std::vector<CallSpan>& calls) {
  return !call.address().empty() &&
         std::any_of(calls.begin(), calls.end(), [&call](const CallSpan& c) {
           return HaveSameMethod(*c.call, call) && !c.call->address().empty() &&
                  c.call->address() != call.address();
         });
}

// Returns the relations of the first kMaxRows of `calls`. More are not shown.
std::vector<Kinship> KinshipOf(const std::vector<CallSpan>& calls) {
  const size_t count = std::min(calls.size(), kMaxRows);
  std::vector<Kinship> kin(count);
  int64_t latest_end = 0;  // of the calls before
  for (size_t i = 0; i < count; ++i) {
    const TimeSpan span = calls[i].span;
    if (i > 0 && span.begin_us < latest_end && span.length_us() > 0) {
      kin[i].parallel = true;
    }
    for (size_t j = i + 1; !kin[i].parallel && j < count; ++j) {
      if (calls[j].span.begin_us >= span.end_us) break;
      kin[i].parallel = calls[j].span.length_us() > 0;
    }
    latest_end = std::max(latest_end, span.end_us);
  }

  // Chains of attempts: `before` is the previous attempt.
  constexpr size_t kNone = kMaxRows;
  std::vector<size_t> before(count, kNone);
  std::vector<bool> has_next(count, false);
  for (size_t i = 0; i < count; ++i) {
    const v1::CallReport& call = *calls[i].call;
    for (size_t j = i; j-- > 0;) {  // take the latest match
      const v1::CallReport& earlier = *calls[j].call;
      if (has_next[j] || earlier.outcome() == 0 ||
          calls[j].span.end_us > calls[i].span.begin_us ||
          !HaveSameMethod(earlier, call) || earlier.label() != call.label()) {
        continue;
      }
      before[i] = j;
      has_next[j] = true;
      kin[i].attempt = kin[j].attempt + 1;
      break;
    }
  }
  for (size_t i = count; i-- > 0;) {
    kin[i].shows_address = IsOneOfSeveralAddresses(*calls[i].call, calls);
    if (!has_next[i]) kin[i].attempts = kin[i].attempt;
    if (before[i] != kNone) kin[before[i]].attempts = kin[i].attempts;
  }
  return kin;
}

// Returns the reason unless the outcome implies it.
std::string ReasonBeside(int outcome, v1::EndReason reason) {
  constexpr int kCancelled = 1;
  if (outcome == kCancelled && reason == v1::END_REASON_CANCELLED) return "";
  return ReasonText(reason);
}

class TimelineMaker {
 public:
  Timeline Make(const v1::CallReport& call) && {
    const TimeSpan span{0, internal::CallTime(call)};
    timeline_.end_us = std::max<int64_t>(span.end_us, 1);
    if (call.has_time_left_us()) {
      timeline_.deadline_us = ClampTime(call.time_left_us());
    }
    AddCall(call, span, 0, {});
    return std::move(timeline_);
  }

 private:
  void AddCall(const v1::CallReport& call, TimeSpan span, int depth,
               const Kinship& kin) {
    if (timeline_.rows.size() >= kMaxRows || depth >= kDeepestRow) {
      timeline_.cut = true;
      return;
    }
    TimelineRow& row = timeline_.rows.emplace_back();
    row.name = HopName(call.service(), call.method()) +
               internal::LabelInBrackets(call.label());
    row.address = internal::CleanReportText(call.address());
    row.depth = depth;
    row.call = span;
    row.code = call.outcome();
    row.outcome = OutcomeText(row.code);
    row.answered = internal::Answered(call);
    if (!row.answered) {
      row.notes.push_back("did not answer");
    } else if (call.report_left_out()) {
      row.notes.push_back("report left out");
    } else if (!call.has_report() || internal::IsOfHopBelow(call)) {
      row.notes.push_back("no report");
    }
    if (kin.parallel) row.notes.push_back("parallel");
    if (kin.attempts > 1) {
      row.notes.push_back(
          absl::StrCat("attempt ", kin.attempt, " of ", kin.attempts));
    }
    if (kin.shows_address) {
      row.notes.push_back(absl::StrCat("at ", row.address));
    }
    if (!call.has_report() || internal::IsOfHopBelow(call)) {
      row.own_us = span.length_us();
      if (call.has_time_left_us()) {
        row.time_left_us = ClampTime(call.time_left_us());
      }
      row.reason = ReasonBeside(call.outcome(), call.reason());
      if (call.has_report()) AddHopBelow(call, row);
      return;
    }
    AddHop(call.report(), row);
    row.reason = ReasonBeside(call.outcome(), call.report().reason());
    AddCallsOf(call.report(), *row.hop, depth);  // `row` may move
  }

  // Adds the report of `call`, whose row is `row`, as if the called hop had
  // made another call, to the hop that sent the report.
  void AddHopBelow(const v1::CallReport& call, TimelineRow& row) {
    const int64_t total =
        internal::HopTimeWithin(call.report(), row.call.length_us());
    const int64_t begin =
        row.call.begin_us + (row.call.length_us() - total) / 2;
    const TimeSpan span{begin, begin + total};
    row.hop = row.call;
    if (total > 0) row.waits.push_back(span);
    row.own_us = row.call.length_us() - total;
    v1::CallReport below;
    below.set_service(call.report().service());
    below.set_method(call.report().method());
    below.set_outcome(call.report().outcome());
    *below.mutable_report() = call.report();
    AddCall(below, span, row.depth + 1, {});  // `row` may move
  }

  static void AddHop(const v1::BudgetReport& report, TimelineRow& row) {
    const int64_t total = internal::HopTimeWithin(report, row.call.length_us());
    const int64_t begin =
        row.call.begin_us + (row.call.length_us() - total) / 2;
    row.hop = TimeSpan{begin, begin + total};
    row.waits = internal::UnionOf(internal::SpansOf(report, total));
    row.own_us = internal::OwnTime(report, total, row.waits);
    for (TimeSpan& wait : row.waits) wait = Shifted(wait, begin);
    if (report.has_time_left_us()) {
      row.time_left_us = ClampTime(report.time_left_us());
    }
    if (report.previous_attempts() > 0) {
      row.notes.push_back(absl::StrCat(
          "gRPC attempt ", int64_t{1} + report.previous_attempts()));
    }
    if (report.calls_left_out() > 0) {
      row.notes.push_back(
          absl::StrCat(report.calls_left_out(), " more call",
                       report.calls_left_out() == 1 ? "" : "s"));
    }
  }

  void AddCallsOf(const v1::BudgetReport& report, TimeSpan hop, int depth) {
    const std::vector<CallSpan> calls =
        internal::SpansOf(report, hop.length_us());
    const std::vector<Kinship> kin = KinshipOf(calls);
    for (size_t i = 0; i < calls.size(); ++i) {
      AddCall(*calls[i].call, Shifted(calls[i].span, hop.begin_us), depth + 1,
              i < kin.size() ? kin[i] : Kinship());
      if (timeline_.rows.size() >= kMaxRows && timeline_.cut) return;
    }
  }

  Timeline timeline_;
};

}  // namespace

Timeline MakeTimeline(const v1::CallReport& call) {
  return TimelineMaker().Make(call);
}

std::string ServiceName(std::string_view service) {
  const size_t dot = service.rfind('.');
  if (dot != std::string_view::npos) service.remove_prefix(dot + 1);
  std::string name = internal::CleanReportName(service, kMaxNameBytes);
  absl::AsciiStrToLower(&name);
  return name.empty() ? "unknown" : name;
}

std::string HopName(std::string_view service, std::string_view method) {
  std::string name = ServiceName(service);
  if (!method.empty()) {
    absl::StrAppend(&name, ".",
                    internal::CleanReportName(method, kMaxNameBytes));
  }
  return internal::CleanReportName(name, kMaxNameBytes);
}

std::string OutcomeText(int code) {
  if (code < 0 || code > static_cast<int>(absl::StatusCode::kUnauthenticated)) {
    return absl::StrCat("code ", code);
  }
  if (code == 0) return "ok";
  return absl::AsciiStrToLower(absl::StrReplaceAll(
      absl::StatusCodeToString(static_cast<absl::StatusCode>(code)),
      {{"_", " "}}));
}

std::string ReasonText(v1::EndReason reason) {
  if (reason == v1::END_REASON_COMPLETED || !v1::EndReason_IsValid(reason)) {
    return "";
  }
  return std::string(EndReasonName(static_cast<EndReason>(reason)));
}

}  // namespace tether
