// SPDX-License-Identifier: Apache-2.0
//
// Encodes and parses the budget report, which says how each hop of a request
// spent its time. proto/tether/v1/budget_report.proto defines its meaning.
//
// Reports are written within hard limits, and parsed as untrusted input.
// Parsing an encoded report with the same limits always succeeds.

#ifndef TETHER_BUDGET_REPORT_H_
#define TETHER_BUDGET_REPORT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tether/budget/time_span.h"
#include "tether/export.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {

// The trailing metadata that carries a server's report.
inline constexpr std::string_view kReportHeader = "tether-report-bin";

// Limits for the content of a report. Use the same limits on all peers, because
// a reader rejects reports that exceed its own.
struct ReportLimits {
  // The size of the serialized report. By default gRPC accepts 8 KiB of
  // metadata from a peer, and "-bin" values grow by a third on the wire.
  size_t max_bytes = 4096;

  // The depth in hops, including the reporting hop. Clamped to 1 to 100.
  int max_depth = 16;

  // The number of calls of one hop.
  int max_calls = 16;

  // The size of a service's or a method's name.
  size_t max_name_bytes = 128;

  // If false, EncodeReport leaves out the labels and addresses of all calls.
  bool has_labels_and_addresses = true;
};

// Serializes as much of `report` as the limits allow. Accepts any report:
//
//  - Times, codes and names that ParseReport would reject are repaired. Times
//    are clamped; codes that gRPC doesn't define become UNKNOWN (2); illegal
//    characters become `_`; long names keep their end, long labels and
//    addresses their begin. Unknown fields are dropped.
//  - Times are made to nest: a call lies within its hop's time, and a hop's
//    time within the duration of the call that it served.
//  - Calls that exceed the limits are left out, the least important first. The
//    importance of a call is its duration, twice its duration if it got no
//    answer, or the importance of any call below it, whichever is greatest.
//    Among equals, the deeper call is left out. `calls_left_out` then counts
//    the missing calls, and `self_us` excludes their time from the hop's own.
//    If a report is too deep, `report_left_out` is set.
//
// Returns "" if not even the hop itself fits, or if the report is empty. Send
// nothing then.
//
// Thread safety: any thread. The cost is proportional to the size of the tree,
// and higher if calls are left out.
//
// Example:
//
//   tether::v1::BudgetReport report;
//   report.set_service("shop.v1.Orders");
//   report.set_method("GetOrder");
//   report.set_total_us(51700);
//   *report.add_calls() = call_of_inventory;
//   const std::string bytes = tether::EncodeReport(std::move(report));
//   if (!bytes.empty()) SendTrailingMetadata(tether::kReportHeader, bytes);
TETHER_EXPORT std::string EncodeReport(v1::BudgetReport report,
                                       const ReportLimits& limits = {});

// Parses the output of EncodeReport. Returns nullopt for
//  - input that is empty, exceeds the limits, or is not a report;
//  - fields of the wrong type;
//  - negative or absurd times (kMaxReportTimeUs) and counts;
//  - codes other than gRPC's 17;
//  - names, labels or addresses that have illegal characters or are too long.
// Input that is too long is rejected without being parsed.
//
// Times that don't nest are clamped as in EncodeReport, so rounding differences
// are tolerated. Unknown fields are dropped, so untrusted bytes are not
// forwarded. A hop may have the same name as a hop above it, because services
// may call themselves.
//
// Thread safety: any thread. Logs nothing.
TETHER_EXPORT std::optional<v1::BudgetReport> ParseReport(
    std::string_view bytes, const ReportLimits& limits = {});

// Returns how long the hop itself worked: `total_us` minus the time during
// which at least one of its calls was running. If `self_us` is set, the time of
// calls that were left out is excluded too. The result is 0 to `total_us` for
// any report.
TETHER_EXPORT int64_t SelfTimeUs(const v1::BudgetReport& report);

}  // namespace tether

#endif  // TETHER_BUDGET_REPORT_H_
