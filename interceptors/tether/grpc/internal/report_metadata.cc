// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/report_metadata.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "tether/grpc/internal/counters.h"
#include "tether/internal/exceptions.h"
#include "tether/propagation/internal/injected_bytes.h"
#include "tether/propagation/internal/sole_value.h"

namespace tether::internal {
namespace {

// The encoded size. gRPC sends each byte of a message that isn't printable
// ASCII as three, such as "%0A".
size_t BytesOf(const grpc::Status& status) {
  if (status.ok()) return 0;
  size_t message = 0;
  for (const char c : status.error_message()) {
    message += c >= ' ' && c <= '~' && c != '%' ? 1 : 3;
  }
  size_t bytes = InjectedBytes("grpc-message", message);
  if (!status.error_details().empty()) {
    bytes +=
        InjectedBytes("grpc-status-details-bin", status.error_details().size());
  }
  return bytes;
}

}  // namespace

size_t RoomInHeaders(size_t max_headers_bytes) {
  // The headers that every answer has.
  static const size_t fixed = InjectedBytes(":status", 3) +
                              InjectedBytes("content-type", 16) +
                              InjectedBytes("grpc-status", 2);
  return std::min(kMetadataRoom,
                  max_headers_bytes - std::min(max_headers_bytes, fixed));
}

void SendReport(v1::BudgetReport report, ReportLimits limits,
                const grpc::Status& status,
                SentMetadata::Map& trailing_metadata, size_t room) noexcept {
  TETHER_TRY {
    size_t used = InjectedBytes(kReportHeader, 0) + BytesOf(status);
    for (const auto& [key, value] : trailing_metadata) {
      if (key == kReportHeader) return;  // the application has set it
      used += InjectedBytes(key, value.size());
    }
    if (used >= room) return;
    limits.max_bytes = std::min(limits.max_bytes, (room - used) / 4 * 3);
    std::string bytes = EncodeReport(std::move(report), limits);
    if (bytes.empty()) return;
    trailing_metadata.emplace(kReportHeader, std::move(bytes));
  }
  TETHER_CATCH(...) { CountEvent(RpcEvent::kException); }
}

std::optional<v1::BudgetReport> ReceiveReport(
    const ReceivedMetadata::Map& trailing_metadata,
    const ReportLimits& limits) noexcept {
  if (limits.max_bytes == 0) return std::nullopt;
  TETHER_TRY {
    const auto [it, end] = trailing_metadata.equal_range(
        grpc::string_ref(kReportHeader.data(), kReportHeader.size()));
    if (it == end) return std::nullopt;
    std::optional<v1::BudgetReport> report;
    // Equal copies count as one, as for any header.
    if (std::distance(it, end) <= kMaxEqualCopies &&
        std::all_of(std::next(it), end, [first = it](const auto& copy) {
          return copy.second == first->second;
        })) {
      report = ParseReport({it->second.data(), it->second.size()}, limits);
    }
    if (!report) CountEvent(RpcEvent::kBadReport);
    return report;
  }
  TETHER_CATCH(...) {
    CountEvent(RpcEvent::kException);
    return std::nullopt;
  }
}

}  // namespace tether::internal
