// SPDX-License-Identifier: Apache-2.0
//
// The part of ServerCall that is about the request's answer: its status, the
// report, and the summary.

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "tether/clock.h"
#include "tether/end_reason.h"
#include "tether/grpc/internal/call_observer.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/method_names.h"
#include "tether/grpc/internal/report_metadata.h"
#include "tether/grpc/internal/server_call.h"
#include "tether/grpc/internal/time.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/rpc_context.h"

namespace tether::internal {

bool ServerCall::IsReportDue(grpc::StatusCode code, bool context_ended) const {
  const ReportOptions& options = server_->options.report;
  if (options.when == ReportOptions::When::kAlways) return true;
  if (code != grpc::StatusCode::OK || context_ended) return true;
  if (budget_.time_left == kNever) return false;
  const Nanos elapsed = Clock::Real().SteadyNanos() - arrival_;
  return static_cast<double>(elapsed) >=
         options.min_fraction * static_cast<double>(budget_.time_left);
}

v1::BudgetReport ServerCall::MakeReport(std::string_view method,
                                        grpc::StatusCode code,
                                        bool context_ended) const {
  v1::BudgetReport report;
  SetNames(method, report);
  if (budget_.time_left != kNever) {
    report.set_time_left_us(std::max<int64_t>(0, budget_.time_left / 1000));
  }
  report.set_outcome(static_cast<int32_t>(code));
  report.set_reason(context_ended ? ToProto(EndReasonOf(context_))
                                  : v1::END_REASON_COMPLETED);
  report.set_previous_attempts(previous_attempts_);
  record_->Fill(SteadyMicros(), report);
  return report;
}

void ServerCall::WriteReport(std::string_view method,
                             const grpc::Status& status, bool after_messages,
                             SentMetadata::Map& trailing_metadata) {
  if (record_ == nullptr || handler_ended_.load(std::memory_order_relaxed)) {
    return;
  }
  const bool context_ended =
      context_.Remaining() <= absl::ZeroDuration() || HasEnded(context_);
  if (!IsReportDue(status.error_code(), context_ended)) return;
  v1::BudgetReport report =
      MakeReport(method, status.error_code(), context_ended);
  if (summary_ != nullptr) summary_->report = report;
  const ReportOptions& options = server_->options.report;
  if (options.when == ReportOptions::When::kNever) return;
  SendReport(std::move(report), options.limits, status, trailing_metadata,
             status.ok() && after_messages
                 ? kMetadataRoom
                 : RoomInHeaders(options.max_headers_bytes));
}

std::optional<grpc::Status> ServerCall::StatusToSend(
    const grpc::Status& status) const {
  if (auto drained = WithDrainCode(status, scope_)) return drained;
  if (!server_->options.edge.has_value()) return std::nullopt;
  return WithoutInternalNames(status);
}

grpc::Status ServerCall::StatusOfAnswer(const grpc::Status& status) const {
  const grpc::StatusCode cut_off = cut_off_with_.load();
  if (cut_off != grpc::StatusCode::OK) {
    return grpc::Status(cut_off, StatusOfRequest(scope_).error_message());
  }
  return StatusToSend(status).value_or(status);
}

grpc::Status ServerCall::StatusOfEnd(std::string_view method) const {
  ClientOutcome outcome;
  outcome.status = StatusOfRequest(context_);
  if (outcome.status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED ||
      record_ == nullptr) {
    return outcome.status;
  }
  outcome.cause = context_.Cause();
  outcome.reason = EndReasonOf(context_);
  // As the request looks to its caller, but for the network between them.
  v1::CallReport call;
  SetNames(method, call);
  *call.mutable_report() =
      MakeReport(method, outcome.status.error_code(), /*context_ended=*/true);
  call.set_duration_us(call.report().total_us());
  if (budget_.time_left != kNever) {
    call.set_time_left_us(call.report().time_left_us());
  }
  call.set_answered(true);
  call.set_outcome(call.report().outcome());
  call.set_reason(call.report().reason());
  return WithBlame(outcome, call);
}

void ServerCall::BeginSummary(std::string_view method,
                              const grpc::ServerContextBase& server_context) {
  summary_ = std::make_unique<RequestSummary>();
  summary_->method = std::string(method);
  summary_->peer = server_context.peer();
  summary_->time_left = ToDuration(budget_.time_left);
}

void ServerCall::Finish(std::optional<grpc::StatusCode> answer) noexcept {
  if (std::exchange(is_finished_, true)) return;
  TETHER_TRY {
    if (CallObservers::Any() && has_begun_.load(std::memory_order_relaxed)) {
      TellObservers(answer);
    }
  }
  TETHER_CATCH(...) { CountEvent(RpcEvent::kException); }
  if (summary_ == nullptr) return;
  TETHER_TRY {
    const std::unique_ptr<RequestSummary> summary = std::move(summary_);
    summary->spent = absl::Nanoseconds(Clock::Real().SteadyNanos() - arrival_);
    summary->answered = answer.has_value();
    summary->reason = EndReasonOf(scope_);
    summary->code = CodeOfAnswer(answer, summary->reason);
    if (!answer.has_value() && record_ != nullptr) {
      summary->report = MakeReport(summary->method, summary->code,
                                   /*context_ended=*/true);
    }
    summary->context = context_;
    server_->options.on_finish(*summary);
  }
  TETHER_CATCH(...) { CountEvent(RpcEvent::kException); }
}

grpc::StatusCode ServerCall::CodeOfAnswer(
    std::optional<grpc::StatusCode> answer, EndReason reason) const {
  const grpc::StatusCode cut_off = cut_off_with_.load();
  if (cut_off != grpc::StatusCode::OK) return cut_off;
  if (answer.has_value()) return *answer;
  // Core cancels a call that is destroyed without an answer.
  return reason == EndReason::kCompleted ? grpc::StatusCode::CANCELLED
                                         : StatusOfRequest(scope_).error_code();
}

grpc::Status StatusOfAnswer(const grpc::ServerContextBase& server_context,
                            const grpc::Status& status) {
  // Null if there is none, or it is about to be destroyed.
  const std::shared_ptr<const ServerCall> call =
      ServerCall::Registry().Find(&server_context, [](const ServerCall* found) {
        return found == nullptr ? nullptr : found->weak_from_this().lock();
      });
  return call == nullptr ? status : call->StatusOfAnswer(status);
}

}  // namespace tether::internal
