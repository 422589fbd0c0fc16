#include "tether/grpc/internal/client_call_state.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tether/budget/blame.h"
#include "tether/current.h"
#include "tether/end_reason.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/status.h"
#include "tether/internal/rpc_context.h"

namespace tether::internal {
namespace {

// As in the context's own words (Context::Err).
constexpr char kOutOfTime[] = "context deadline exceeded";

// Core keeps time in milliseconds, and may be ahead of us by one.
constexpr absl::Duration kCoreIsAhead = absl::Milliseconds(2);

bool IsDeadline(v1::EndReason reason) {
  return reason == v1::END_REASON_OWN_TIMEOUT ||
         reason == v1::END_REASON_INHERITED_DEADLINE;
}

// Whether a deadline was the end of `call`: its own, its hop's, or that of a
// call further on, whose status the hops in between have handed back.
bool ByDeadline(const v1::CallReport& call, const grpc::Status& status) {
  return IsDeadline(call.reason()) || IsDeadline(call.report().reason()) ||
         (call.has_report() &&
          absl::StartsWith(status.error_message(), kOutOfTime));
}

// Whether nobody but tether or core has said why: what a server's own code says
// is not ours to replace.
bool HasNoWordsOfItsOwn(const grpc::Status& status) {
  const std::string& message = status.error_message();
  return message.empty() || message == "Deadline Exceeded" ||
         absl::StartsWith(message, kOutOfTime);
}

v1::EndReason ReasonOfNoAnswer(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
      return v1::END_REASON_CONNECTION_LOST;
    case grpc::StatusCode::CANCELLED:
      return v1::END_REASON_CANCELLED;
    default:
      return v1::END_REASON_OWN_TIMEOUT;
  }
}

// What the code that set the deadline has to say of it.
std::string NoteOf(const Context& ctx) {
  if (EndReasonOf(ctx) != EndReason::kOwnTimeout) return "";
  const absl::Status cause = ctx.Cause();
  if (cause == ctx.Err() || cause.message().empty()) return "";
  return absl::StrCat(" (", cause.message(), ")");
}

}  // namespace

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
    const EndReason reason = EndReasonOf(context_);
    call.set_reason(reason == EndReason::kNone ? v1::END_REASON_CANCELLED
                                               : ToProto(reason));
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

bool ClientCallState::IsAnswer(const grpc::Status& status, bool has_trailers,
                               bool ended_here, absl::Duration own_left) const {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      // Mostly core's, for a connection. Only a peer sends metadata.
      return has_trailers;
    case grpc::StatusCode::CANCELLED:
      return !ended_here && !tried_to_cancel_;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return !ended_here && own_left > kCoreIsAhead;
    default:
      return true;
  }
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

bool ClientCallState::SettleReason(grpc::Status& status) const {
  const grpc::StatusCode code = status.error_code();
  if (code != grpc::StatusCode::CANCELLED &&
      code != grpc::StatusCode::DEADLINE_EXCEEDED) {
    return false;
  }
  // Core's own timer, or a cancellation that core heard of first, may have
  // ended the call; the reason is the context's.
  if (grpc::Status reason = StatusOf(context_); !reason.ok()) {
    status = std::move(reason);
    return true;
  }
  if (code == grpc::StatusCode::DEADLINE_EXCEEDED &&
      context_.Remaining() < kCoreIsAhead) {
    status = grpc::Status(code, kOutOfTime);
    return true;
  }
  return false;
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
  const EndReason reason = EndReasonOf(context_);
  const bool ended_here = reason != EndReason::kNone;
  call->set_answered(
      child.has_value() ||
      IsAnswer(status, !trailing_metadata.empty(), ended_here, own_left));
  if (SettleReason(status) && !child.has_value()) call->set_answered(false);
  call->set_outcome(static_cast<int32_t>(status.error_code()));
  call->set_reason(ended_here         ? ToProto(reason)
                   : call->answered() ? v1::END_REASON_COMPLETED
                                      : ReasonOfNoAnswer(status.error_code()));
  if (child.has_value()) *call->mutable_report() = *std::move(child);
  // A call that had no time to begin with blames nobody.
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED &&
      left_ > absl::ZeroDuration() && ByDeadline(*call, status) &&
      HasNoWordsOfItsOwn(status)) {
    status = grpc::Status(
        status.error_code(),
        absl::StrCat("context ", BlameDeadline(*call), NoteOf(context_)),
        status.error_details());
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
