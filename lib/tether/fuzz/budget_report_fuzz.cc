// SPDX-License-Identifier: Apache-2.0
//
// tether-report-bin: a report is read whole or rejected. A report that was read
// is within the limits and is sent on unchanged. A report with any content is
// made fit to send. All of them can be printed.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tether/budget/blame.h"
#include "tether/budget/explain.h"
#include "tether/budget/report.h"
#include "tether/fuzz/fuzz_check.h"
#include "tether/v1/budget_report.pb.h"

namespace tether::fuzz {
namespace {

// Printed reports go to logs and terminals.
void CheckText(std::string_view text, bool one_line) {
  for (const char c : text) {
    const bool is_drawn = (c & 0x80) != 0 || c == '\n';
    FUZZ_CHECK((c >= 0x20 && c < 0x7f) || (is_drawn && !one_line));
  }
}

void CheckWords(const v1::BudgetReport& report, int64_t duration_us) {
  v1::CallReport call;
  call.set_service(report.service());
  call.set_method(report.method());
  call.set_duration_us(duration_us);
  *call.mutable_report() = report;
  const std::string blame = BlameDeadline(call);
  FUZZ_CHECK(blame.size() <= BlameLimits().max_bytes);
  CheckText(blame, true);
  CheckText(Explain(call), false);
}

void CheckHop(const v1::BudgetReport& hop, const ReportLimits& limits,
              int depth) {
  FUZZ_CHECK(depth <= limits.max_depth);
  FUZZ_CHECK(hop.calls_size() <= limits.max_calls);
  FUZZ_CHECK(hop.total_us() >= 0 && hop.total_us() <= kMaxReportTimeUs);
  FUZZ_CHECK(SelfTimeUs(hop) >= 0 && SelfTimeUs(hop) <= hop.total_us());
  for (const v1::CallReport& call : hop.calls()) {
    FUZZ_CHECK(call.service().size() <= limits.max_name_bytes);
    FUZZ_CHECK(call.method().size() <= limits.max_name_bytes);
    FUZZ_CHECK(call.start_us() >= 0 && call.duration_us() >= 0);
    FUZZ_CHECK(call.start_us() + call.duration_us() <= hop.total_us());
    FUZZ_CHECK(call.report().total_us() <= call.duration_us());
    if (call.has_report()) CheckHop(call.report(), limits, depth + 1);
  }
}

// Returns the report that was sent.
std::string CheckSending(const v1::BudgetReport& report,
                         const ReportLimits& limits) {
  const std::string bytes = EncodeReport(report, limits);
  FUZZ_CHECK(bytes.size() <= limits.max_bytes);
  if (bytes.empty()) return bytes;
  const std::optional<v1::BudgetReport> read = ParseReport(bytes, limits);
  FUZZ_CHECK(read.has_value());
  CheckHop(*read, limits, 1);
  FUZZ_CHECK(EncodeReport(*read, limits) == bytes);
  return bytes;
}

void Run(std::string_view input) {
  ReportLimits narrow;
  narrow.max_bytes = 200;
  narrow.max_depth = 3;
  narrow.max_calls = 3;
  narrow.max_name_bytes = 20;

  // A report from a peer.
  for (const ReportLimits& limits : {ReportLimits(), narrow}) {
    const std::optional<v1::BudgetReport> read = ParseReport(input, limits);
    if (!read) continue;
    FUZZ_CHECK(!input.empty() && input.size() <= limits.max_bytes);
    CheckHop(*read, limits, 1);
    CheckSending(*read, narrow);
    const std::string sent = CheckSending(*read, limits);
    // If no limit was exceeded, nothing is lost.
    if (!sent.empty()) {
      FUZZ_CHECK(ParseReport(sent, limits)->SerializeAsString() == sent);
    }
    CheckWords(*read, read->total_us());
    CheckWords(*read, 1000);
  }

  // A report made by hand, with any content.
  v1::BudgetReport any;
  if (!any.ParseFromArray(input.data(), static_cast<int>(input.size()))) return;
  CheckSending(any, {});
  CheckSending(any, narrow);
  CheckWords(any, any.total_us());
}

}  // namespace
}  // namespace tether::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tether::fuzz::Run(tether::fuzz::AsText(data, size));
  return 0;
}
