// SPDX-License-Identifier: Apache-2.0

#include "sidecar/egress_call.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sidecar/hop_headers.h"
#include "sidecar/names.h"
#include "tether/budget/report.h"
#include "tether/clock.h"
#include "tether/end_reason.h"
#include "tether/grpc/status.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/trace_context.h"

namespace tether::sidecar {
namespace {

// The name by which the app calls the sidecar says nothing to the target.
bool IsOfThisMachine(std::string_view host) {
  return host.substr(0, 9) == "localhost" || host.substr(0, 4) == "127." ||
         host.substr(0, 5) == "[::1]" || host.empty();
}

// The deadline came with the request, as on any server.
absl::Status CauseOfDeadline() {
  return WithEndReason(absl::DeadlineExceededError(""),
                       EndReason::kInheritedDeadline);
}

// gRPC's "no deadline" is a time in the far future.
constexpr absl::Duration kLongerThanAnyCall = absl::Hours(24 * 365 * 10);

// Timers of one deadline fire within this time.
constexpr absl::Duration kSameDeadline = absl::Milliseconds(1);

// For the access log.
std::string_view NameOf(const Correlator::Match& match) {
  using Kind = Correlator::Match::Kind;
  switch (match.kind) {
    case Kind::kNone:
      return "none";
    case Kind::kLate:
      return "late";
    case Kind::kRefused:
      return "refused";
    case Kind::kAlive:
      break;
  }
  switch (match.by) {
    case Correlator::By::kId:
      return "id";
    case Correlator::By::kTrace:
      return "trace";
    case Correlator::By::kRequestId:
      return "request_id";
  }
  return "";
}

}  // namespace

EgressCall::EgressCall(CallQueue& queue, grpc::AsyncGenericService& service,
                       std::shared_ptr<const Routes<EgressRoute>> routes,
                       std::shared_ptr<Shared> shared)
    : ProxiedCall(queue, service),
      routes_(std::move(routes)),
      shared_(std::move(shared)) {}

EgressCall::~EgressCall() = default;

void EgressCall::AcceptNext() {
  route_ = routes_->Get(queue().index);
  (new EgressCall(queue(), service(), routes_, shared_))->Accept();
}

void EgressCall::OnAccepted() {
  arrival_ = Clock::Real().SteadyNanos();
  queue().counters().Add(Count::kCalls);
  client_context().set_deadline(server_context().raw_deadline());
  SetAuthority();
  Metadata metadata = TakeHeaders();
  const Correlate correlate = route_->CorrelateOf(method());
  if (correlate == Correlate::kOff) {
    queue().counters().Add(Count::kNotCorrelated);
    correlated_ = "off";
    return Pass(metadata);
  }
  mode_ = route_->ModeOf(correlate);
  Find(std::move(metadata));
}

void EgressCall::SetAuthority() {
  const std::string& host = server_context().host();
  if (route_->target->is_plaintext() && !IsOfThisMachine(host)) {
    client_context().set_authority(host);
  }
}

Metadata EgressCall::TakeHeaders() {
  Metadata metadata;
  const auto take = [&](TakenHops taken, std::string& value) {
    if (!taken.changed) return true;
    ids_.insert(ids_.end(), taken.ids.begin(), taken.ids.end());
    value = std::move(taken.rest);
    return !value.empty();
  };
  CopyMetadata(server_context().client_metadata(),
               [&](std::string key, std::string value) {
                 bool is_left = true;
                 if (key == kBaggageHeader) {
                   is_left = take(TakeHopsFromBaggage(value), value);
                 } else if (key == kTraceStateHeader) {
                   is_left = take(TakeHopsFromTraceState(value), value);
                 }
                 if (is_left)
                   metadata.emplace(std::move(key), std::move(value));
               });
  return metadata;
}

void EgressCall::Find(Metadata metadata) {
  trace_id_ = TraceIdIn(server_context().client_metadata());
  request_id_ = RequestIdIn(server_context().client_metadata());
  RequestNames names;
  names.ids = ids_;
  names.trace_id = trace_id_;
  names.request_id = request_id_;
  Correlator::Match match = shared_->correlator.Find(names);
  correlated_ = NameOf(match);
  using Kind = Correlator::Match::Kind;
  switch (match.kind) {
    case Kind::kNone:
    case Kind::kLate:
      return Pass(metadata);
    case Kind::kRefused:
      if (mode_ == Mode::kFull) {
        is_cut_ = true;
        return Answer(ToGrpcStatus(match.status));
      }
      shared_->would_cut.Add(method());
      return Pass(metadata);
    case Kind::kAlive:
      return PassFor(std::move(match.requests), std::move(metadata));
  }
}

void EgressCall::Pass(const Metadata& metadata) {
  for (const auto& [key, value] : metadata) {
    client_context().AddMetadata(key, value);
  }
  Forward(route_->target->stub());
}

Cancellable EgressCall::ContextFor(const Requests& requests) const {
  // With one request, the call is in its report. With several, it isn't known
  // in whose.
  const Context parent = requests.size() == 1
                             ? WithoutCancel(requests[0]->context())
                             : Background();
  const absl::Duration rest = RemainingOfLatest(requests);
  return rest == absl::InfiniteDuration()
             ? WithCancel(parent)
             : WithTimeout(parent, rest, CauseOfDeadline());
}

void EgressCall::PassFor(Requests requests, Metadata metadata) {
  if (mode_ == Mode::kObserve) {
    Pass(metadata);
  } else {
    made_.emplace(ContextFor(requests));
    outgoing_.emplace(made_->ctx, client_context(), method(), route_->client,
                      std::move(metadata));
    Forward(route_->target->stub());
    outgoing_->OnStarted();
  }
  cut_.emplace(std::move(requests),
               [this](RequestEnd end, const absl::Status& status) {
                 OnRequestsEnded(end, status);
               });
}

void EgressCall::OnRequestsEnded(RequestEnd end, const absl::Status& status) {
  if (mode_ == Mode::kFull) {
    // If the deadline of a single request has passed, so has the call's, which
    // ends with the better status.
    const bool ends_by_itself =
        end == RequestEnd::kDeadline && made_->ctx.Remaining() < kSameDeadline;
    if (ends_by_itself) return;
    cut_with_ = status;
    made_->cancel(end == RequestEnd::kDeadline
                      ? WithEndReason(status, EndReason::kInheritedDeadline)
                      : status);
    return;
  }
  const bool is_cut_anyway =
      mode_ == Mode::kDeadline && end == RequestEnd::kDeadline;
  if (!is_cut_anyway) shared_->would_cut.Add(method());
}

void EgressCall::OnCallerGone() {
  if (outgoing_.has_value()) outgoing_->TryCancel();
}

void EgressCall::OnAnswer(grpc::Status& status, bool is_callees, bool,
                          Metadata& trailing) {
  cut_.reset();
  // It is for tether. If a request is known, its own report has what it says.
  if (mode_ != Mode::kObserve) trailing.erase(std::string(kReportHeader));
  if (outgoing_.has_value() && is_callees) {
    status = outgoing_->OnStatus(status);
    if (!status.ok() && made_->ctx.Done()) {
      is_cut_ = true;
      // A caller that gives up at its deadline ends the request, and so the
      // call, before the call's own deadline.
      if (cut_with_.has_value() &&
          status.error_code() == grpc::StatusCode::CANCELLED) {
        status = ToGrpcStatus(*cut_with_);
      }
      queue().counters().Add(Count::kCut);
    }
  }
  Log(status);
}

void EgressCall::Log(const grpc::Status& status) {
  if (route_ == nullptr || route_->access_log == nullptr ||
      !route_->access_log->Samples()) {
    return;
  }
  std::string peer = server_context().peer();
  if (peer.rfind("fd:", 0) == 0) peer = "connect";
  AccessEntry entry;
  entry.side = "egress";
  entry.method = method();
  entry.peer = peer;
  entry.target = route_->target->target();
  entry.trace_id = trace_id_;
  entry.request_id = request_id_;
  entry.code = status.error_code();
  if (outgoing_.has_value()) entry.reason = outgoing_->reason();
  entry.spent = absl::Nanoseconds(Clock::Real().SteadyNanos() - arrival_);
  absl::Time deadline = absl::FromChrono(server_context().deadline());
  if (made_.has_value()) deadline = std::min(deadline, made_->ctx.Deadline());
  if (deadline < absl::Now() + kLongerThanAnyCall) {
    entry.time_left = deadline - absl::Now() + entry.spent;
  }
  entry.correlated = correlated_;
  entry.not_sent = correlated_ == "refused" && is_cut_;
  entry.cut = is_cut_;
  route_->access_log->Write(entry);
}

}  // namespace tether::sidecar
