// SPDX-License-Identifier: Apache-2.0
//
// The part of ServerCall that tells of the request: to Inspect() while it is
// alive, and to the observers when it ends.

#include <grpc/support/alloc.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "tether/clock.h"
#include "tether/end_reason.h"
#include "tether/grpc/in_flight.h"
#include "tether/grpc/internal/call_observer.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/server_call.h"
#include "tether/grpc/internal/time.h"
#include "tether/internal/rpc_context.h"
#include "tether/propagation/log_fields.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether::internal {
tether::DeadlineOwner ServerCall::OwnerOfDeadline() const {
  if (!HasOwnDeadline(scope_)) {
    return scope_.Deadline() == absl::InfiniteFuture()
               ? tether::DeadlineOwner::kNone
               : tether::DeadlineOwner::kBaseContext;
  }
  switch (budget_.owner) {
    case DeadlineOwner::kCaller:
      return tether::DeadlineOwner::kCaller;
    case DeadlineOwner::kDefaultTimeout:
      return tether::DeadlineOwner::kDefaultTimeout;
    case DeadlineOwner::kMaxTimeout:
      return tether::DeadlineOwner::kMaxTimeout;
  }
  return tether::DeadlineOwner::kNone;
}

std::optional<Nanos> ServerCall::EndedAgo(Nanos now, EndReason reason) const {
  switch (reason) {
    case EndReason::kNone:
    case EndReason::kCompleted:
      return std::nullopt;
    case EndReason::kTooLittleTime:
      return now - arrival_;
    case EndReason::kOwnTimeout:
    case EndReason::kInheritedDeadline: {
      // Core may have noticed the deadline a moment before. A request may
      // arrive after its deadline.
      const Nanos left = RemainingAt(now, scope_);
      return left == kNever ? 0 : std::clamp<Nanos>(-left, 0, now - arrival_);
    }
    default:
      break;
  }
  Nanos ended_at = ended_at_.load(std::memory_order_relaxed);
  if (ended_at == 0) ended_at = server_->ended_at();
  if (ended_at == 0) return std::nullopt;
  return std::max<Nanos>(0, now - std::max(ended_at, arrival_));
}

void ServerCall::TellObservers(std::optional<grpc::StatusCode> answer) const {
  const Nanos now = Clock::Real().SteadyNanos();
  // Nearly all requests end because their handler returned, and compare fast.
  const EndReason reason = scope_.Cause() == CauseOfReturnedHandler()
                               ? EndReason::kCompleted
                               : EndReasonOf(scope_);
  const Nanos worked = EndedAgo(now, reason).value_or(0);
  Nanos deaf = worked;
  // An operation that blocks fails a little after the end of the context, when
  // core ends the call.
  if (const Nanos released = released_at_.load(std::memory_order_relaxed)) {
    deaf = std::clamp<Nanos>(now - released, 0, worked);
  }
  const RequestEnd end{context_, MethodOf(context_),
                       CodeOfAnswer(answer, reason), reason, budget_.time_left,
                       budget_.timeout, budget_.owner, now - arrival_,
                       RemainingAt(now, scope_), worked, deaf,
                       // gRPC itself tells the handler otherwise.
                       WasObserved(scope_) || !is_unary_ || end_is_pushed_,
                       watched_.load(std::memory_order_relaxed),
                       shed_.load(std::memory_order_relaxed)};
  CallObservers::ForEach(
      [&end](CallObserver& observer) { observer.OnRequestEnd(end); });
}

std::optional<InFlightRequest> ServerCall::Describe(Nanos now) {
  if (!has_begun_.load(std::memory_order_acquire)) return std::nullopt;
  InFlightRequest request;
  request.method = std::string(MethodOf(context_));
  request.peer = Peer();
  if (const TraceContext* trace = TraceOf(context_);
      trace != nullptr && trace->valid()) {
    request.trace_id = trace->TraceIdHex();
  }
  if (const std::string* id = RequestIdOf(context_)) request.request_id = *id;
  request.style = style_.load(std::memory_order_relaxed);
  request.age = absl::Nanoseconds(std::max<Nanos>(0, now - arrival_));
  // Before the clock is read: a context that has ended stays so.
  const bool has_ended = HasEnded(scope_);
  const Nanos left = RemainingAt(now, scope_);
  request.time_left = ToDuration(left);
  request.deadline_owner = OwnerOfDeadline();
  if (handler_ended_.load(std::memory_order_relaxed)) {
    request.ended_by = EndReason::kCompleted;
  } else if (has_ended) {
    request.ended_by = EndReasonOf(scope_);
  } else if (left <= 0) {
    const EndReason reason = EndReasonIn(CauseOfDeadline(scope_));
    request.ended_by =
        reason == EndReason::kNone ? EndReason::kOwnTimeout : reason;
  }
  if (const auto ago = EndedAgo(now, request.ended_by)) {
    request.ended_ago = absl::Nanoseconds(*ago);
  }
  request.observed = WasObserved(scope_);
  return request;
}

std::string ServerCall::Peer() {
  grpc_call* call;
  {
    MutexLock lock(mutex_);
    call = call_;
    if (call == nullptr) return "";
    grpc_call_ref(call);
  }
  char* const text = grpc_call_get_peer(call);
  grpc_call_unref(call);
  std::string peer = text == nullptr ? "" : text;
  gpr_free(text);
  return peer;
}

}  // namespace tether::internal
