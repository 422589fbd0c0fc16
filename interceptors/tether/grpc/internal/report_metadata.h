// SPDX-License-Identifier: Apache-2.0
//
// The budget report in gRPC's metadata.

#ifndef TETHER_GRPC_INTERNAL_REPORT_METADATA_H_
#define TETHER_GRPC_INTERNAL_REPORT_METADATA_H_

#include <grpcpp/support/status.h>

#include <cstddef>
#include <optional>

#include "tether/budget/report.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/v1/budget_report.pb.h"

namespace tether::internal {

// The `room` for SendReport in an answer whose headers, including gRPC's own,
// may take `max_headers_bytes`.
size_t RoomInHeaders(size_t max_headers_bytes);

// Adds `report` to a server's trailing metadata. Leaves out parts of it, or
// all, if it doesn't fit into `room` together with that metadata and `status`:
// a peer that receives more than 8 KiB fails the call. Does not throw.
void SendReport(v1::BudgetReport report, ReportLimits limits,
                const grpc::Status& status,
                SentMetadata::Map& trailing_metadata,
                size_t room = kMetadataRoom) noexcept;

// The report in a client's trailing metadata. A report that is repeated, too
// large or malformed is dropped and counted. If limits.max_bytes is 0, the
// metadata isn't read.
std::optional<v1::BudgetReport> ReceiveReport(
    const ReceivedMetadata::Map& trailing_metadata,
    const ReportLimits& limits) noexcept;

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_REPORT_METADATA_H_
