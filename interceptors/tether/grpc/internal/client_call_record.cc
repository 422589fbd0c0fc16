// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/client_call_record.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tether/budget/internal/names.h"
#include "tether/grpc/internal/call_observer.h"
#include "tether/grpc/internal/kept_time.h"
#include "tether/grpc/internal/method_names.h"
#include "tether/grpc/internal/report_metadata.h"
#include "tether/grpc/internal/time.h"
#include "tether/internal/rpc_context.h"

namespace tether::internal {
namespace {

bool HasReport(const ReceivedMetadata::Map& trailing_metadata) {
  return trailing_metadata.find(
             grpc::string_ref(kReportHeader.data(), kReportHeader.size())) !=
         trailing_metadata.end();
}

// True if `report` comes from the called hop. A hop that sends no report may
// hand back that of the hop behind it.
bool IsOfMethod(const v1::BudgetReport& report, std::string_view method) {
  if (report.service().empty() && report.method().empty()) return true;
  v1::CallReport names;
  SetNames(method, names);
  return report.service() == names.service() &&
         report.method() == names.method();
}

// The size of what fits of `text`.
template <size_t kSize>
uint8_t CopyText(std::string_view text, char (&out)[kSize]) {
  static_assert(kSize <= UINT8_MAX);
  const size_t size = std::min(text.size(), kSize);
  std::copy_n(text.data(), size, out);
  return static_cast<uint8_t>(size);
}

// `peer`, as gRPC writes it ("ipv6:%5B::1%5D:80"), for a report.
std::string AddressOf(std::string_view peer) {
  if (peer == "unknown") return "";
  const std::string_view scheme = peer.substr(0, 5);
  if (scheme == "ipv4:" || scheme == "ipv6:") peer.remove_prefix(5);
  return CleanReportText(
      absl::StrReplaceAll(absl::string_view(peer.data(), peer.size()),
                          {{"%5B", "["}, {"%5D", "]"}, {"%25", "%"}}));
}

}  // namespace

ClientCallRecord::ClientCallRecord(const Context& ctx, std::string_view label,
                                   bool keeps_report, bool in_hop_record)
    : context_(ctx),
      label_(label.empty() ? "" : CleanReportText(label)),
      keeps_report_(keeps_report),
      hop_(in_hop_record ? ctx.Value(kHop) : nullptr) {}

ClientCallRecord::~ClientCallRecord() {
  delete report_.load(std::memory_order_relaxed);
  if (start_us_ == 0 || has_status_) return;
  if (id_in_hop_ == 0 && !CallObservers::Any()) return;
  const EndReason reason = ReasonOfAbandonedCall(context_);
  const int64_t end = EndTime(SteadyMicros());
  TellObservers(grpc::StatusCode::CANCELLED, reason, end - start_us_);
  if (id_in_hop_ == 0) return;
  v1::CallReport call;
  call.set_outcome(static_cast<int32_t>(grpc::StatusCode::CANCELLED));
  call.set_reason(ToProto(reason));
  hop_->EndCall(id_in_hop_, end, std::move(call));
}

void ClientCallRecord::Prepare(std::string_view method,
                               const ReportLimits& limits) {
  method_.assign(method.begin(), method.end());
  limits_ = &limits;
}

void ClientCallRecord::OnStart(Nanos now, Nanos own_left) {
  start_us_ = now / 1000;
  const Nanos context_left = RemainingAt(now, context_);
  left_ = std::min(context_left, own_left);
  // A ClientCall's own deadline is by default that of its context.
  own_is_earlier_ =
      AddNanos(own_left, absl::ToInt64Nanoseconds(kCoreIsAhead)) < context_left;
  if (hop_ != nullptr) {
    id_in_hop_ = hop_->BeginCall(method(), start_us_, left_, label_);
  }
  phase_.store(Phase::kUnderWay, std::memory_order_release);
}

void ClientCallRecord::OnContextEnd() { context_end_us_ = SteadyMicros(); }

int64_t ClientCallRecord::EndTime(int64_t now_us) const {
  int64_t end = now_us;
  if (left_ != kNever) end = std::min(end, start_us_ + left_ / 1000);
  if (const int64_t ended = context_end_us_) end = std::min(end, ended);
  return std::max(end, start_us_);
}

v1::CallReport ClientCallRecord::NamesAndTimes(int64_t duration_us) const {
  v1::CallReport call;
  SetNames(method(), call);
  if (!label_.empty()) call.set_label(label_);
  call.set_duration_us(std::max<int64_t>(0, duration_us));
  if (left_ != kNever) {
    call.set_time_left_us(std::max<Nanos>(0, left_) / 1000);
  }
  return call;
}

bool ClientCallRecord::TookLong(int64_t duration_us) const {
  return left_ != kNever && duration_us > left_ / 10'000;
}

const ClientOutcome& ClientCallRecord::Decide(
    const grpc::ClientContext& rpc,
    const ReceivedMetadata::Map& trailing_metadata,
    const grpc::Status& status) {
  if (decision_ != nullptr) return decision_->outcome;
  auto decision = std::make_unique<Decision>();
  decision->callee = ReceiveReport(trailing_metadata, *limits_);
  ReceivedEnd end;
  end.has_report = decision->callee.has_value();
  end.has_trailers = !trailing_metadata.empty();
  end.tried_to_cancel = tried_to_cancel_;
  end.time_at_start = ToDuration(left_);
  end.own_left = UntilDeadline(rpc.raw_deadline());
  end.own_is_earlier = own_is_earlier_;
  end.reserve = absl::Nanoseconds(reserve_);
  if (end.has_report && IsOfMethod(*decision->callee, method())) {
    end.callee = &*decision->callee;
  }
  decision->outcome = OutcomeOfClientCall(context_, status, end);
  decision_ = std::move(decision);
  return decision_->outcome;
}

grpc::Status ClientCallRecord::OnStatus(
    const grpc::ClientContext& rpc,
    const ReceivedMetadata::Map& trailing_metadata, grpc::Status status) {
  phase_.store(Phase::kOver, std::memory_order_relaxed);
  const int64_t now = SteadyMicros();
  if (start_us_ == 0) start_us_ = now;  // no hook came earlier
  const int64_t end = EndTime(now);
  has_status_ = true;
  Receive(rpc, trailing_metadata, end, status);
  TellObservers(
      status.error_code(),
      decision_ == nullptr ? EndReason::kCompleted : decision_->outcome.reason,
      end - start_us_);
  return status;
}

void ClientCallRecord::Receive(const grpc::ClientContext& rpc,
                               const ReceivedMetadata::Map& trailing_metadata,
                               int64_t end, grpc::Status& status) {
  if (status.ok() && !HasReport(trailing_metadata) && !HasEnded(context_) &&
      !TookLong(end - start_us_)) {
    if (hop_ != nullptr) hop_->EndGoodCall(id_in_hop_, end);
    if (!keeps_report_) return;
    duration_us_.store(end - start_us_, std::memory_order_release);
    return;
  }
  const ClientOutcome& outcome = Decide(rpc, trailing_metadata, status);
  auto call = std::make_unique<v1::CallReport>(NamesAndTimes(end - start_us_));
  call->set_address(AddressOf(rpc.peer()));
  call->set_answered(outcome.answered);
  call->set_outcome(static_cast<int32_t>(outcome.status.error_code()));
  call->set_reason(ToProto(outcome.reason));
  if (decision_->callee.has_value()) {
    *call->mutable_report() = *std::exchange(decision_->callee, std::nullopt);
  }
  // If a call had no time from the start, no hop is to blame.
  status = left_ > 0 ? WithBlame(outcome, *call) : outcome.status;
  if (hop_ != nullptr) hop_->EndCall(id_in_hop_, end, *call);
  if (keeps_report_) {
    const v1::CallReport* none = nullptr;
    if (report_.compare_exchange_strong(none, call.get())) call.release();
  }
}

void ClientCallRecord::TellObservers(grpc::StatusCode code, EndReason reason,
                                     int64_t spent_us) const noexcept {
  if (!CallObservers::Any()) return;
  const CallEnd end{
      method(),
      code,
      reason,
      sent_,
      std::max<int64_t>(0, spent_us) * 1000,
      left_,
      left_when_sent_ == kNever ? kNever : GrpcTimeoutDrift(left_when_sent_)};
  CallObservers::ForEach(
      [&end](CallObserver& observer) { observer.OnCallEnd(end); });
}

bool ClientCallRecord::CopyIfUnderWay(UnderWay& copy) const noexcept {
  if (phase_.load(std::memory_order_acquire) != Phase::kUnderWay) return false;
  copy.ctx = context_;
  copy.method_size = CopyText(method(), copy.method);
  copy.target_size = CopyText(target_, copy.target);
  copy.label_size = CopyText(label_, copy.label);
  copy.start = start_us_ * 1000;
  copy.left = left_;
  return true;
}

EndReason ClientCallRecord::reason() const {
  // The numbers are the same.
  if (const v1::CallReport* report = report_) {
    return static_cast<EndReason>(report->reason());
  }
  return duration_us_ < 0 ? EndReason::kNone : EndReason::kCompleted;
}

v1::CallReport ClientCallRecord::report() const {
  if (const v1::CallReport* report = report_) return *report;
  const int64_t duration_us = duration_us_;
  if (duration_us < 0) return v1::CallReport();
  v1::CallReport call = NamesAndTimes(duration_us);
  call.set_answered(true);
  call.set_reason(v1::END_REASON_COMPLETED);
  return call;
}

}  // namespace tether::internal
