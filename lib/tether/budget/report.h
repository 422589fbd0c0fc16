// The budget report on the wire: how each hop of a request spent its time.
// proto/tether/v1/budget_report.proto says what it means.
//
// Reports are written under hard limits, and read as what they are: bytes from
// a stranger. Reading one with the writer's limits always succeeds.

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

// The trailing metadata in which a server's report travels.
inline constexpr std::string_view kReportHeader = "tether-report-bin";

// How much a report may hold. Give all peers the same: what is beyond the
// reader's limits is rejected.
struct ReportLimits {
  // Of the serialized report. gRPC takes 8 KiB of metadata from a peer, unless
  // told otherwise, and "-bin" values grow by a third on their way.
  size_t max_bytes = 4096;

  // How many hops deep, the one that reports included. At least 1 and at most
  // 100 count.
  int max_depth = 16;

  // How many calls of one hop.
  int max_calls = 16;

  // Of a service's or a method's name.
  size_t max_name_bytes = 128;
};

// The bytes to send: `report`, as much of it as the limits allow. Any report
// will do, whoever made it:
//
//  - Times, codes and names that ParseReport would reject are mended: times are
//    clamped, codes that gRPC doesn't have become UNKNOWN (2), other characters
//    become `_`, and of long names the end is kept. Fields that this version
//    doesn't know are dropped.
//  - Times fit into one another: a call lies within its hop's time, and a hop's
//    time within the call's duration, as its caller saw it.
//  - What doesn't fit is left out, the calls that matter least first. A call
//    matters as long as it took, twice that if no answer came, and as much as
//    any call below it; of equals the deeper goes. Where calls are missing,
//    `calls_left_out` counts them, and `self_us` keeps their time out of the
//    hop's own. Where a report is too deep, `report_left_out` says so.
//
// Empty if not even the hop itself fits, or if there is nothing to tell: then
// send nothing.
//
// Thread safety: any thread. It costs what the tree's size is, and more for
// what it leaves out.
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

// Reads what EncodeReport wrote. Nullopt for anything that is beyond the
// limits, no such message, or a field of another type; for a negative or an
// absurd time (kMaxReportTimeUs) or count; for a code other than gRPC's 17; for
// names in other characters; and for nothing at all. What is too long is
// rejected without being looked at.
//
// Times that don't fit into one another are clamped, as EncodeReport does it:
// who rounds differently is no enemy. Fields that this version doesn't know are
// dropped, so that no stranger's bytes travel on. That a hop bears the name of
// one above it is fine: services call themselves.
//
// Thread safety: any thread. It writes no log.
TETHER_EXPORT std::optional<v1::BudgetReport> ParseReport(
    std::string_view bytes, const ReportLimits& limits = {});

// How long the hop worked itself: `total_us` less the time during which one of
// its calls, or several, were under way; less also the time of calls that were
// left out, if `self_us` tells. 0 to `total_us`, whatever the report holds.
TETHER_EXPORT int64_t SelfTimeUs(const v1::BudgetReport& report);

}  // namespace tether

#endif  // TETHER_BUDGET_REPORT_H_
