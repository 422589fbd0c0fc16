// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/status.h"

#include <string>

#include "absl/strings/cord.h"
#include "tether/grpc/internal/call_outcome.h"

namespace tether {
namespace {

constexpr bool SameCodes() {
  return static_cast<int>(absl::StatusCode::kCancelled) ==
             static_cast<int>(grpc::StatusCode::CANCELLED) &&
         static_cast<int>(absl::StatusCode::kDeadlineExceeded) ==
             static_cast<int>(grpc::StatusCode::DEADLINE_EXCEEDED) &&
         static_cast<int>(absl::StatusCode::kUnauthenticated) ==
             static_cast<int>(grpc::StatusCode::UNAUTHENTICATED);
}
static_assert(SameCodes(), "both follow google.rpc.Code");

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::string details;
  if (auto payload = status.GetPayload(kStatusDetailsPayload)) {
    details = std::string(*payload);
  }
  // code(), unlike raw_code(), turns unknown codes into UNKNOWN.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message()), details);
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const int code = status.error_code();
  const bool known =
      code > static_cast<int>(absl::StatusCode::kOk) &&
      code <= static_cast<int>(absl::StatusCode::kUnauthenticated);
  absl::Status result(
      known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
      status.error_message());
  if (!status.error_details().empty()) {
    result.SetPayload(kStatusDetailsPayload,
                      absl::Cord(status.error_details()));
  }
  return result;
}

grpc::Status StatusOf(const Context& ctx) {
  return internal::StatusOfRequest(ctx);
}

}  // namespace tether
