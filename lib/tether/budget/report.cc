// SPDX-License-Identifier: Apache-2.0

#include "tether/budget/report.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "tether/budget/internal/call_spans.h"
#include "tether/budget/internal/names.h"

namespace tether {
namespace {

using internal::ClampTime;

constexpr int kDeepestReport = 100;
constexpr int kMaxCount = 1'000'000;
constexpr int kCodes = 17;
constexpr int kUnknown = 2;

int DepthLimit(const ReportLimits& limits) {
  return std::clamp(limits.max_depth, 1, kDeepestReport);
}

int CallsLimit(const ReportLimits& limits) {
  return std::max(limits.max_calls, 0);
}

// ---- Nesting of times -------------------------------------------------------

void FitCalls(v1::BudgetReport& hop);

// Makes the report in `call` fit the call.
void FitReport(v1::CallReport& call) {
  call.set_answered(internal::Answered(call));
  if (!call.has_report()) return;
  v1::BudgetReport& report = *call.mutable_report();
  if (report.service() == call.service() && report.method() == call.method()) {
    report.clear_service();
    report.clear_method();
  }
  report.set_total_us(internal::HopTimeWithin(report, call.duration_us()));
  FitCalls(report);
}

void FitCalls(v1::BudgetReport& hop) {
  if (hop.has_self_us()) {
    hop.set_self_us(std::min(hop.self_us(), hop.total_us()));
  }
  for (v1::CallReport& call : *hop.mutable_calls()) {
    call.set_start_us(std::min(call.start_us(), hop.total_us()));
    call.set_duration_us(
        std::min(call.duration_us(), hop.total_us() - call.start_us()));
    FitReport(call);
  }
}

// ---- Writing: repairs -------------------------------------------------------

void DropUnknownFields(google::protobuf::Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (reflection.GetUnknownFields(message).empty()) return;
  reflection.MutableUnknownFields(&message)->Clear();
}

// The fields that a BudgetReport and a CallReport have in common.
template <class Message>
void MendCommon(Message& message, const ReportLimits& limits) {
  DropUnknownFields(message);
  const auto is_good = [&limits](const std::string& name) {
    return name.size() <= limits.max_name_bytes && internal::IsReportName(name);
  };
  if (!is_good(message.service())) {
    message.set_service(
        internal::CleanReportName(message.service(), limits.max_name_bytes));
  }
  if (!is_good(message.method())) {
    message.set_method(
        internal::CleanReportName(message.method(), limits.max_name_bytes));
  }
  if (message.has_time_left_us()) {
    message.set_time_left_us(ClampTime(message.time_left_us()));
  }
  if (message.outcome() < 0 || message.outcome() >= kCodes) {
    message.set_outcome(kUnknown);
  }
}

void MendTexts(v1::CallReport& call, const ReportLimits& limits) {
  if (!limits.has_labels_and_addresses) {
    call.clear_label();
    call.clear_address();
    return;
  }
  if (!internal::IsReportText(call.label())) {
    call.set_label(internal::CleanReportText(call.label()));
  }
  if (!internal::IsReportText(call.address())) {
    call.set_address(internal::CleanReportText(call.address()));
  }
}

// Removes the calls whose position is set in `remove`.
void RemoveCalls(v1::BudgetReport& hop, const std::vector<bool>& remove) {
  // While no call is missing, the time between the calls is the hop's own.
  if (!hop.has_self_us()) hop.set_self_us(SelfTimeUs(hop));
  auto& calls = *hop.mutable_calls();
  int kept = 0;
  for (int i = 0; i < calls.size(); ++i) {
    if (remove[static_cast<size_t>(i)]) continue;
    if (i != kept) calls.SwapElements(i, kept);
    ++kept;
  }
  const int removed = calls.size() - kept;
  hop.set_calls_left_out(std::min(hop.calls_left_out() + removed, kMaxCount));
  calls.DeleteSubrange(kept, removed);
}

// The importance of a call, without regard to the calls below it.
int64_t WeightOf(const v1::CallReport& call) {
  return internal::Answered(call) ? call.duration_us() : 2 * call.duration_us();
}

// Keeps the calls with the greatest weights.
void LimitCalls(v1::BudgetReport& hop, const std::vector<int64_t>& weights,
                int max_calls) {
  const size_t count = weights.size();
  const auto limit = static_cast<size_t>(max_calls);
  if (count <= limit) return;
  std::vector<size_t> order(count);
  for (size_t i = 0; i < count; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return weights[a] > weights[b]; });
  std::vector<bool> remove(count, false);
  for (size_t i = limit; i < count; ++i) remove[order[i]] = true;
  RemoveCalls(hop, remove);
}

// Makes `hop` valid except for its size, and removes calls that are too deep or
// too many. `depth` is the number of hops from the top, including `hop`.
// Returns the greatest weight of all calls in it.
int64_t Mend(v1::BudgetReport& hop, const ReportLimits& limits, int depth) {
  MendCommon(hop, limits);
  hop.set_total_us(ClampTime(hop.total_us()));
  if (hop.has_self_us()) hop.set_self_us(ClampTime(hop.self_us()));
  hop.set_previous_attempts(std::clamp(hop.previous_attempts(), 0, kMaxCount));
  hop.set_calls_left_out(std::clamp(hop.calls_left_out(), 0, kMaxCount));
  std::stable_sort(hop.mutable_calls()->pointer_begin(),
                   hop.mutable_calls()->pointer_end(),
                   [](const v1::CallReport* a, const v1::CallReport* b) {
                     return a->start_us() < b->start_us();
                   });
  std::vector<int64_t> weights;
  weights.reserve(static_cast<size_t>(hop.calls_size()));
  for (v1::CallReport& call : *hop.mutable_calls()) {
    MendCommon(call, limits);
    MendTexts(call, limits);
    call.set_start_us(ClampTime(call.start_us()));
    call.set_duration_us(ClampTime(call.duration_us()));
    int64_t weight = WeightOf(call);
    if (call.has_report()) {
      if (depth < DepthLimit(limits)) {
        weight =
            std::max(weight, Mend(*call.mutable_report(), limits, depth + 1));
      } else {
        call.clear_report();
        call.set_answered(true);
        call.set_report_left_out(true);
      }
    }
    weights.push_back(weight);
  }
  LimitCalls(hop, weights, CallsLimit(limits));
  return weights.empty() ? 0
                         : *std::max_element(weights.begin(), weights.end());
}

// ---- Writing: limits --------------------------------------------------------

// A call that may be left out.
struct Candidate {
  const v1::CallReport* call;
  int64_t weight;
  int depth;
  size_t bytes;  // without the calls below it
};

// The size of `call` within its hop. (All tags here take one byte.)
size_t BytesWithin(const v1::CallReport& call) {
  const auto size = static_cast<uint32_t>(call.GetCachedSize());
  return 1 + google::protobuf::io::CodedOutputStream::VarintSize32(size) + size;
}

// Adds all calls in `hop`. Requires that the sizes are cached. Returns the
// greatest weight.
int64_t AddCandidates(const v1::BudgetReport& hop, int depth,
                      std::vector<Candidate>& candidates) {
  int64_t greatest = 0;
  for (const v1::CallReport& call : hop.calls()) {
    size_t bytes = BytesWithin(call);
    for (const v1::CallReport& below : call.report().calls()) {
      bytes -= BytesWithin(below);
    }
    const int64_t weight = std::max(
        WeightOf(call), AddCandidates(call.report(), depth + 1, candidates));
    candidates.push_back({&call, weight, depth, bytes});
    greatest = std::max(greatest, weight);
  }
  return greatest;
}

void Sweep(v1::BudgetReport& hop,
           const absl::flat_hash_set<const v1::CallReport*>& doomed) {
  std::vector<bool> remove;
  bool any = false;
  for (v1::CallReport& call : *hop.mutable_calls()) {
    remove.push_back(doomed.contains(&call));
    any |= remove.back();
    if (!remove.back() && call.has_report()) {
      Sweep(*call.mutable_report(), doomed);
    }
  }
  if (any) RemoveCalls(hop, remove);
}

// Leaves out calls until `report` fits; false if it doesn't even without any.
bool Prune(v1::BudgetReport& report, size_t max_bytes) {
  // A loop, because omitting calls adds a few bytes that say so.
  for (;;) {
    const size_t size = report.ByteSizeLong();
    if (size <= max_bytes) return true;
    std::vector<Candidate> candidates;
    AddCandidates(report, 1, candidates);
    if (candidates.empty()) return false;
    // A call comes after those below it: it is no lighter, and less deep.
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) {
                       if (a.weight != b.weight) return a.weight < b.weight;
                       return a.depth > b.depth;
                     });
    absl::flat_hash_set<const v1::CallReport*> doomed;
    size_t freed = 0;
    for (const Candidate& candidate : candidates) {
      if (size - std::min(freed, size) <= max_bytes) break;
      doomed.insert(candidate.call);
      freed += candidate.bytes;
    }
    Sweep(report, doomed);
  }
}

// ---- Reading ----------------------------------------------------------------

bool IsTime(int64_t us) { return us >= 0 && us <= kMaxReportTimeUs; }

bool IsCount(int32_t count) { return count >= 0 && count <= kMaxCount; }

// Protobuf treats a field of the wrong type as an unknown field.
bool HasMistypedField(const google::protobuf::Message& message) {
  const google::protobuf::UnknownFieldSet& unknown =
      message.GetReflection()->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    const int number = unknown.field(i).number();
    if (message.GetDescriptor()->FindFieldByNumber(number) != nullptr) {
      return true;
    }
  }
  return false;
}

template <class Message>
bool IsCommonGood(const Message& message, const ReportLimits& limits) {
  return !HasMistypedField(message) &&
         message.service().size() <= limits.max_name_bytes &&
         message.method().size() <= limits.max_name_bytes &&
         internal::IsReportName(message.service()) &&
         internal::IsReportName(message.method()) &&
         IsTime(message.time_left_us()) && message.outcome() >= 0 &&
         message.outcome() < kCodes;
}

// Also drops unknown fields.
bool CheckHop(v1::BudgetReport& hop, const ReportLimits& limits) {
  if (!IsCommonGood(hop, limits) || !IsTime(hop.total_us()) ||
      !IsTime(hop.self_us()) || !IsCount(hop.previous_attempts()) ||
      !IsCount(hop.calls_left_out()) || hop.calls_size() > CallsLimit(limits)) {
    return false;
  }
  DropUnknownFields(hop);
  for (v1::CallReport& call : *hop.mutable_calls()) {
    if (!IsCommonGood(call, limits) || !IsTime(call.start_us()) ||
        !IsTime(call.duration_us()) || !internal::IsReportText(call.label()) ||
        !internal::IsReportText(call.address())) {
      return false;
    }
    DropUnknownFields(call);
    if (call.has_report() && !CheckHop(*call.mutable_report(), limits)) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string EncodeReport(v1::BudgetReport report, const ReportLimits& limits) {
  Mend(report, limits, 1);
  FitCalls(report);
  if (!Prune(report, limits.max_bytes)) return std::string();
  return report.SerializeAsString();
}

std::optional<v1::BudgetReport> ParseReport(std::string_view bytes,
                                            const ReportLimits& limits) {
  if (bytes.empty() || bytes.size() > limits.max_bytes ||
      bytes.size() > std::numeric_limits<int>::max()) {
    return std::nullopt;
  }
  google::protobuf::io::CodedInputStream input(
      reinterpret_cast<const uint8_t*>(bytes.data()),
      static_cast<int>(bytes.size()));
  // Each hop is two messages deep (the call and the report), except the first,
  // which is only a report. Hops at the limit may still have calls.
  input.SetRecursionLimit(2 * DepthLimit(limits) - 1);
  std::optional<v1::BudgetReport> report(std::in_place);
  if (!report->ParseFromCodedStream(&input) || !input.ConsumedEntireMessage() ||
      !CheckHop(*report, limits)) {
    return std::nullopt;
  }
  FitCalls(*report);
  return report;
}

int64_t SelfTimeUs(const v1::BudgetReport& report) {
  const int64_t total = ClampTime(report.total_us());
  return internal::OwnTime(report, total,
                           internal::UnionOf(internal::SpansOf(report, total)));
}

}  // namespace tether
