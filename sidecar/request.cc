// SPDX-License-Identifier: Apache-2.0

#include "sidecar/request.h"

#include "absl/strings/str_cat.h"
#include "tether/end_reason.h"

namespace tether::sidecar {

std::optional<RequestEnd> RequestEndOf(const Context& ctx) {
  switch (EndReasonOf(ctx)) {
    case EndReason::kNone:
      return std::nullopt;
    case EndReason::kCompleted:
      return RequestEnd::kCompleted;
    case EndReason::kOwnTimeout:
    case EndReason::kInheritedDeadline:
    case EndReason::kTooLittleTime:
      return RequestEnd::kDeadline;
    default:
      return absl::IsDeadlineExceeded(ctx.Err()) ? RequestEnd::kDeadline
                                                 : RequestEnd::kCancelled;
  }
}

absl::Status EndStatusOf(const Context& ctx) {
  const std::optional<RequestEnd> end = RequestEndOf(ctx);
  if (!end.has_value() || *end == RequestEnd::kCompleted) {
    return absl::OkStatus();
  }
  const absl::StatusCode code = *end == RequestEnd::kDeadline
                                    ? absl::StatusCode::kDeadlineExceeded
                                    : absl::StatusCode::kCancelled;
  const absl::Status err = ctx.Err();
  const absl::Status cause = ctx.Cause();
  if (cause.message().empty() || cause.message() == err.message()) {
    return absl::Status(code, err.message());
  }
  return absl::Status(code, absl::StrCat(err.message(), ": ", cause.message()));
}

std::optional<RequestEnd> Request::ended() const {
  const uint8_t end = end_.load(std::memory_order_acquire);
  if (end != 0) return static_cast<RequestEnd>(end);
  const std::optional<RequestEnd> of_context = RequestEndOf(context_);
  if (!of_context.has_value()) return std::nullopt;
  return Decide(*of_context);
}

absl::Status Request::status() const {
  const std::optional<RequestEnd> end = ended();
  if (!end.has_value() || *end == RequestEnd::kCompleted) {
    return absl::OkStatus();
  }
  absl::Status status = EndStatusOf(context_);
  if (!status.ok()) return status;
  return *end == RequestEnd::kDeadline
             ? absl::DeadlineExceededError("the request's deadline has passed")
             : absl::CancelledError("the request was cancelled");
}

RequestEnd Request::End(RequestEnd otherwise) const {
  return Decide(RequestEndOf(context_).value_or(otherwise));
}

RequestEnd Request::Decide(RequestEnd end) const {
  uint8_t first = 0;
  if (end_.compare_exchange_strong(first, static_cast<uint8_t>(end),
                                   std::memory_order_acq_rel,
                                   std::memory_order_acquire)) {
    return end;
  }
  return static_cast<RequestEnd>(first);
}

}  // namespace tether::sidecar
