// SPDX-License-Identifier: Apache-2.0

#include "sidecar/ingress_call.h"

#include <grpc/grpc.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "sidecar/grpc_time.h"
#include "sidecar/hop_headers.h"
#include "sidecar/names.h"
#include "tether/budget/report.h"
#include "tether/clock.h"
#include "tether/end_reason.h"
#include "tether/grpc/status.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/timeout_header.h"
#include "tether/propagation/trace_context.h"

namespace tether::sidecar {
namespace {

// The call to the app is ended when the context ends. Core's own timer is only
// there for grpc-timeout, and must not come first: its status says less.
constexpr absl::Duration kLaterThanContext = absl::Milliseconds(5);

// Headers that belong to this hop, not to the app.
bool IsOfTether(std::string_view key) {
  return key == kTimeoutHeader || key == kReserveHeader || key == "tether";
}

// What an edge server takes from strangers only if it is told to keep it.
bool IsHiddenAtEdge(std::string_view key, const EdgeOptions& edge) {
  bool hidden = key == kBaggageHeader;
  if (key == kTraceParentHeader || key == kTraceStateHeader || key == "b3" ||
      key.substr(0, 5) == "x-b3-") {
    hidden = !edge.keep_trace;
  } else if (key == kRequestIdHeader) {
    hidden = !edge.keep_request_id;
  }
  return hidden && std::find(edge.keep_headers.begin(), edge.keep_headers.end(),
                             key) == edge.keep_headers.end();
}

bool IsRewritten(std::string_view key) {
  return key == kBaggageHeader || key == kTraceStateHeader;
}

}  // namespace

IngressCall::IngressCall(CallQueue& queue, grpc::AsyncGenericService& service,
                         std::shared_ptr<const Routes<IngressRoute>> routes,
                         std::shared_ptr<Shared> shared)
    : ProxiedCall(queue, service),
      routes_(std::move(routes)),
      shared_(std::move(shared)) {}

IngressCall::~IngressCall() = default;

void IngressCall::AcceptNext() {
  route_ = routes_->Get(queue().index);
  (new IngressCall(queue(), service(), routes_, shared_))->Accept();
}

void IngressCall::OnAccepted() {
  arrival_ = Clock::Real().SteadyNanos();
  queue().counters().Add(Count::kRequests);
  const ReceivedMap& headers = server_context().client_metadata();
  incoming_.emplace(route_->server, server_context(), method());
  const Context& ctx = incoming_->context();
  time_left_ = ctx.Remaining();
  if (applies() && ctx.Done()) {
    queue().counters().Add(Count::kDeadOnArrival);
    return Answer(incoming_->StatusOfEnd());
  }
  trace_id_ = TraceIdIn(headers);
  request_id_ = RequestIdIn(headers);
  const HopId id = shared_->ids.Next();
  request_ = shared_->correlator.Begin(id, trace_id_, request_id_, ctx);
  SetHeaders(id);
  SetDeadline();
  Forward(route_->app->stub());
  if (!applies()) return;
  grpc_call* const call = client_context().c_call();
  at_end_.emplace(ctx, [call, ctx] {
    const grpc::Status status = StatusOf(ctx);
    grpc_call_cancel_with_status(
        call, static_cast<grpc_status_code>(status.error_code()),
        status.error_message().c_str(), nullptr);
  });
}

void IngressCall::SetDeadline() {
  if (!applies()) {
    client_context().set_deadline(server_context().raw_deadline());
    return;
  }
  const absl::Duration left = incoming_->context().Remaining();
  if (left == absl::InfiniteDuration()) return;
  client_context().set_deadline(DeadlineAfter(left + kLaterThanContext));
}

std::string IngressCall::WithId(std::string_view header, const HopId& id,
                                bool is_baggage, bool is_first) const {
  if (is_baggage) {
    return is_first && request_ != nullptr ? PutHopInBaggage(header, id)
                                           : TakeHopsFromBaggage(header).rest;
  }
  return is_first && request_ != nullptr && !trace_id_.empty()
             ? PutHopInTraceState(header, id)
             : TakeHopsFromTraceState(header).rest;
}

void IngressCall::SetHeaders(const HopId& id) {
  grpc::ClientContext& to_app = client_context();
  bool has_baggage = false;
  bool has_trace = false;
  bool has_trace_state = false;
  CopyMetadata(server_context().client_metadata(),
               [&](std::string key, std::string value) {
                 if (IsOfTether(key)) return;
                 if (route_->is_edge && IsHiddenAtEdge(key, route_->edge))
                   return;
                 if (key == kBaggageHeader) {
                   value = WithId(value, id, /*is_baggage=*/true,
                                  !std::exchange(has_baggage, true));
                 } else if (key == kTraceStateHeader) {
                   value = WithId(value, id, /*is_baggage=*/false,
                                  !std::exchange(has_trace_state, true));
                 } else if (key == kTraceParentHeader) {
                   has_trace = !trace_id_.empty();
                 }
                 if (!value.empty() || !IsRewritten(key))
                   to_app.AddMetadata(key, value);
               });
  if (request_ != nullptr && !has_baggage) {
    to_app.AddMetadata(std::string(kBaggageHeader), PutHopInBaggage("", id));
  }
  // A trace without traceparent isn't one.
  if (request_ != nullptr && has_trace && !has_trace_state) {
    to_app.AddMetadata(std::string(kTraceStateHeader),
                       PutHopInTraceState("", id));
  }
  if (route_->app->is_plaintext()) {
    to_app.set_authority(server_context().host());
  }
}

void IngressCall::OnCallerGone() {
  if (incoming_.has_value()) incoming_->OnCallEnded();
}

void IngressCall::OnAnswer(grpc::Status& status, bool, bool after_messages,
                           Metadata& trailing) {
  at_end_.reset();
  if (!incoming_.has_value()) return;
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE &&
      trailing.empty() && !after_messages &&
      route_->app->channel()->GetState(false) != GRPC_CHANNEL_READY) {
    queue().counters().Add(Count::kAppUnreachable);
    status = grpc::Status(
        status.error_code(),
        absl::StrCat("tether-sidecar: no connection to the app at ",
                     route_->app->target(), ": ", status.error_message()));
  }
  const Context& ctx = incoming_->context();
  if (applies()) {
    // The app's own answer may have come first.
    const bool was_ended =
        status.error_code() == grpc::StatusCode::CANCELLED ||
        status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
    if (was_ended && ctx.Done()) status = incoming_->StatusOfEnd();
    trailing.erase(std::string(kReportHeader));
    status = incoming_->Answer(status, after_messages, trailing);
  } else {
    Metadata unused;
    incoming_->Answer(status, after_messages, unused);
  }
  if (request_ != nullptr) shared_->correlator.End(request_);
  Log(status);
}

void IngressCall::Log(const grpc::Status& status) {
  if (route_->access_log == nullptr || !route_->access_log->Samples()) return;
  const std::string peer = server_context().peer();
  AccessEntry entry;
  entry.side = "ingress";
  entry.method = method();
  entry.peer = peer;
  entry.target = route_->app->target();
  entry.trace_id = trace_id_;
  entry.request_id = request_id_;
  entry.code = status.error_code();
  entry.reason = EndReasonOf(incoming_->context());
  entry.spent = absl::Nanoseconds(Clock::Real().SteadyNanos() - arrival_);
  entry.time_left = time_left_;
  route_->access_log->Write(entry);
}

}  // namespace tether::sidecar
