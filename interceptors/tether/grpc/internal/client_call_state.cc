#include "tether/grpc/internal/client_call_state.h"

#include <algorithm>
#include <string>
#include <utility>

#include "tether/current.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/status.h"
#include "tether/internal/rpc_context.h"

namespace tether::internal {

CallRegistry<ClientCallState>& ClientCallState::Registry() {
  static auto& registry = *new CallRegistry<ClientCallState>;
  return registry;
}

std::shared_ptr<ClientCallState> ClientCallState::Of(
    const grpc::ClientContext& call) {
  return Registry().Find(&call, [](ClientCallState* state) {
    return state == nullptr ? nullptr : state->shared_from_this();
  });
}

ClientCallState& ClientCallState::Make(Context ctx, const CallOptions& options,
                                       grpc::ClientContext* client_context) {
  auto state = std::make_shared<ClientCallState>(std::move(ctx), options,
                                                 client_context);
  state->Enter(*client_context);
  ClientCallState& made = *state;
  made.self_ = std::move(state);
  made.Start();
  return made;
}

std::shared_ptr<ClientCallState> ClientCallState::TakeFor(
    const grpc::ClientContext& call) {
  std::shared_ptr<ClientCallState> state = Of(call);
  if (state == nullptr) {
    state = std::make_shared<ClientCallState>(Current(), CallOptions(),
                                              /*client_context=*/nullptr);
    state->Enter(call);
    state->Start();
  }
  return std::exchange(state->taken_, true) ? nullptr : state;
}

void ClientCallState::Enter(const grpc::ClientContext& call) {
  address_ = &call;
  // Whose ClientContext was here is gone; see invariant 2.
  if (ClientCallState* gone = Registry().Put(&call, this)) gone->Leave();
}

void ClientCallState::Leave() {
  if (address_ != nullptr) {
    Registry().Remove(std::exchange(address_, nullptr), this);
  }
  Close();
  Detach();
  const std::shared_ptr<ClientCallState> self = std::move(self_);
}

ClientCallState::ClientCallState(Context ctx, const CallOptions& options,
                                 grpc::ClientContext* client_context)
    : context_(std::move(ctx)),
      options_(options),
      record_(context_.Value(kHop)),
      client_context_(client_context) {
  counters.client_calls.fetch_add(1, std::memory_order_relaxed);
}

ClientCallState::~ClientCallState() {
  Close();
  Detach();
  if (id_in_record_ != 0 && !settled_) {
    // Such as a stream that nobody finished: from now on it isn't under way.
    v1::CallReport call;
    call.set_outcome(static_cast<int32_t>(grpc::StatusCode::CANCELLED));
    call.set_reason(ToProto(ReasonOfAbandonedCall(context_)));
    record_->EndCall(id_in_record_, EndOf(SteadyMicros()), std::move(call));
  }
  counters.client_calls.fetch_sub(1, std::memory_order_relaxed);
}

void ClientCallState::Start() {
  registration_.emplace(context_, [this] { OnContextDone(); });
}

void ClientCallState::Attach(grpc_call* call) {
  {
    MutexLock lock(mutex_);
    if (call_ != nullptr || over_) return;
    call_ = call;
    grpc_call_ref(call_);
  }
  // Where the context ended earlier, its callback found no call.
  if (context_.Done()) OnContextDone();
}

void ClientCallState::Detach() {
  if (over_.load(std::memory_order_acquire)) return;
  grpc_call* call;
  {
    MutexLock lock(mutex_);
    call = std::exchange(call_, nullptr);
    over_.store(true, std::memory_order_release);
  }
  if (call != nullptr) grpc_call_unref(call);
}

void ClientCallState::Prepared(std::string_view method) {
  method_ = std::string(method);
}

void ClientCallState::Started(absl::Duration own_left) {
  // Here, and not before: a call may be prepared long before it is made.
  start_us_ = SteadyMicros();
  left_ = std::min(context_.Remaining(), own_left);
  if (record_ == nullptr) return;
  id_in_record_ = record_->BeginCall(method_, start_us_, left_);
}

int64_t ClientCallState::EndOf(int64_t now_us) const {
  int64_t end = now_us;
  if (left_ != absl::InfiniteDuration()) {
    end = std::min(end, start_us_ + absl::ToInt64Microseconds(std::min(
                                        left_, absl::Hours(24 * 365 * 100))));
  }
  if (const int64_t ended = context_end_us_) end = std::min(end, ended);
  return std::max(end, start_us_);
}

v1::CallReport ClientCallState::Facts(int64_t duration_us) const {
  v1::CallReport call;
  SetNames(method_, call);
  call.set_duration_us(std::max<int64_t>(0, duration_us));
  if (left_ != absl::InfiniteDuration()) {
    call.set_time_left_us(
        std::max<int64_t>(0, absl::ToInt64Microseconds(left_)));
  }
  return call;
}

void ClientCallState::Settle(const ReceivedMetadata::Map& trailing_metadata,
                             const ReportLimits& limits,
                             absl::Duration own_left, grpc::Status& status) {
  std::optional<v1::BudgetReport> child =
      ReceiveReport(trailing_metadata, limits);
  const int64_t now = SteadyMicros();
  if (start_us_ == 0) start_us_ = now;  // no hook came before
  const int64_t end = EndOf(now);
  settled_ = true;
  if (status.ok() && !child.has_value() && !HasEnded(context_)) {
    if (record_ != nullptr) record_->EndGoodCall(id_in_record_, end);
    // Most calls: little to tell, and perhaps nobody to ask.
    if (client_context_ == nullptr) return;
    MutexLock lock(mutex_);
    duration_us_ = end - start_us_;
    return;
  }
  auto call = std::make_unique<v1::CallReport>(Facts(end - start_us_));
  ReceivedEnd received;
  received.has_report = child.has_value();
  received.has_trailers = !trailing_metadata.empty();
  received.tried_to_cancel = tried_to_cancel_;
  received.own_left = own_left;
  ClientOutcome outcome = OutcomeOfClientCall(context_, status, received);
  status = std::move(outcome.status);
  call->set_answered(outcome.answered);
  call->set_outcome(static_cast<int32_t>(status.error_code()));
  call->set_reason(ToProto(outcome.reason));
  if (child.has_value()) *call->mutable_report() = *std::move(child);
  // A call that had no time to begin with blames nobody.
  if (left_ > absl::ZeroDuration()) {
    status = WithBlame(std::move(status), context_, *call);
  }
  if (client_context_ == nullptr) {  // nobody to ask for it
    if (record_ != nullptr) {
      record_->EndCall(id_in_record_, end, std::move(*call));
    }
    return;
  }
  if (record_ != nullptr) record_->EndCall(id_in_record_, end, *call);
  MutexLock lock(mutex_);
  report_ = std::move(call);
}

v1::CallReport ClientCallState::report() const {
  MutexLock lock(mutex_);
  if (report_ != nullptr) return *report_;
  if (duration_us_ < 0) return v1::CallReport();
  v1::CallReport call = Facts(duration_us_);
  call.set_answered(true);
  call.set_reason(v1::END_REASON_COMPLETED);
  return call;
}

void ClientCallState::Close() { registration_.reset(); }

void ClientCallState::OnContextDone() {
  context_end_us_ = SteadyMicros();
  grpc_call* call;
  {
    MutexLock lock(mutex_);
    if (over_) return;
    call = call_;
    if (call != nullptr) grpc_call_ref(call);
  }
  const grpc::Status status = StatusOf(context_);
  if (call != nullptr) {
    grpc_call_cancel_with_status(
        call, static_cast<grpc_status_code>(status.error_code()),
        status.error_message().c_str(), nullptr);
    grpc_call_unref(call);
  } else if (client_context_ != nullptr &&
             status.error_code() == grpc::StatusCode::CANCELLED) {
    // Not started yet, or on a channel without the interceptor. A passed
    // deadline is the ClientContext's own, too.
    client_context_->TryCancel();
  }
}

}  // namespace tether::internal
