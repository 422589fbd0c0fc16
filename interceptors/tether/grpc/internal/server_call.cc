// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/server_call.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "tether/clock.h"
#include "tether/end_reason.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/time.h"
#include "tether/grpc/status.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/rpc_context.h"
#include "tether/propagation/log_fields.h"

namespace tether::internal {
namespace {

// The number of gRPC's own attempts before this one, from its header.
int32_t PreviousAttemptsIn(const ReceivedMetadata& headers) {
  const auto header = headers.Get("grpc-previous-rpc-attempts", 0);
  int32_t attempts = 0;
  if (!header ||
      !absl::SimpleAtoi(absl::string_view(header->data(), header->size()),
                        &attempts)) {
    return 0;
  }
  return std::max(0, attempts);
}

}  // namespace

AddressTable<ServerCall>& ServerCall::Registry() {
  static auto& registry = *new AddressTable<ServerCall>;
  return registry;
}

ServerCall::ServerCall(std::shared_ptr<ServerState> server)
    : server_(std::move(server)) {
  CountEvent(RpcEvent::kServerCallMade);
}

ServerCall::~ServerCall() {
  NoteArrival();
  OnHandlerEnded();
  CountEvent(RpcEvent::kServerCallGone);
}

// ---- The beginning ----------------------------------------------------------

void ServerCall::NoteArrival() {
  if (!std::exchange(has_arrived_, true)) {
    CountEvent(RpcEvent::kServerCallArrived);
  }
}

bool ServerCall::Begin(const void* rpc, grpc::ServerContextBase* server_context,
                       std::string_view method, const ReceivedMetadata& headers,
                       bool end_is_pushed) {
  NoteArrival();
  if (!Register(rpc, server_context)) return false;
  const TimeLimits& limits = server_->policies.For(method);
  // Read the arrival before the time left, so that no time is added to it.
  arrival_ = Clock::Real().SteadyNanos();
  const Nanos now = server_->is_on_real_clock
                        ? arrival_
                        : NowOf(server_->options.base_context);
  budget_ =
      BudgetOf(ArrivedTimeIn(
                   headers, NanosUntilDeadline(server_context->raw_deadline())),
               limits, server_->answer_grace());
  end_is_pushed_ = end_is_pushed;
  MakeContext(now, end_is_pushed);
  AddRecordAndValues(method, headers);
  if (server_->options.on_finish != nullptr) {
    BeginSummary(method, *server_context);
  }
  ScheduleCancelCall();
  if (end_is_pushed) {
    style_.store(ApiStyle::kCallback, std::memory_order_relaxed);
  }
  TurnAwayIfTooLate(method, limits.min_budget, server_context->c_call());
  has_begun_.store(true, std::memory_order_release);
  return true;
}

// No other thread knows this object before it is in the registry, so call_
// needs no lock.
bool ServerCall::Register(const void* rpc,
                          grpc::ServerContextBase* server_context)
    ABSL_NO_THREAD_SAFETY_ANALYSIS {
  rpc_ = rpc;
  call_ = server_context->c_call();
  const auto is_of_this_rpc = [rpc](const ServerCall& call) {
    return call.rpc_ == rpc;
  };
  if (!Registry().PutUnless(server_context, this, is_of_this_rpc)) return false;
  address_ = server_context;
  return true;
}

void ServerCall::MakeContext(Nanos now, bool end_is_pushed) {
  const Context& parent = server_->parent();
  const absl::Status& cause = CauseOfPassedDeadline(budget_.owner);
  absl::AnyInvocable<void() &&> start;
  if (!end_is_pushed) {
    start = [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->OnObserved();
    };
  }
  Cancellable made =
      WithLazyCancel(now, parent, ToDuration(budget_.timeout), cause,
                     server_->quiet_time, std::move(start));
  cancel_ = std::move(made.cancel);
  scope_ = made.ctx;
  context_ = std::move(made.ctx);
}

void ServerCall::AddRecordAndValues(std::string_view method,
                                    const ReceivedMetadata& headers) {
  context_ = WithMethod(context_, method);
  const bool reports =
      server_->options.report.when != ReportOptions::When::kNever ||
      server_->options.on_finish != nullptr;
  if (reports) {
    context_ = WithValue(context_, kHop, HopRecord(arrival_ / 1000));
    previous_attempts_ = PreviousAttemptsIn(headers);
  }
  ExtractValues(headers);
  // Extract may return an unrelated context.
  if (MethodOf(context_).data() == nullptr) {
    context_ = WithMethod(context_, method);
  }
  if (reports) record_ = context_.Value(kHop);
}

void ServerCall::ExtractValues(const ReceivedMetadata& headers) noexcept {
  TETHER_TRY {
    context_ = server_->options.propagator->Extract(headers, context_);
  }
  TETHER_CATCH(...) { CountEvent(RpcEvent::kException); }
}

void ServerCall::ScheduleCancelCall() {
  if (server_->cancels_calls_at_end && HasEnded(scope_)) {
    // The call came too late for ServerState::CancelAllCalls.
    CancelCallAfter(server_->answer_grace(), [server = server_] {
      return StatusOf(server->options.base_context);
    });
  } else if (budget_.until_cancelled != kNever) {
    CancelCallAfter(
        ToDuration(budget_.until_cancelled), [owner = budget_.owner] {
          return StatusOfPassedDeadline(CauseOfPassedDeadline(owner));
        });
  }
}

void ServerCall::TurnAwayIfTooLate(std::string_view method,
                                   absl::Duration min_budget, grpc_call* call) {
  if (min_budget <= absl::ZeroDuration()) return;
  ShedBudget& shed_budget = server_->shed_budgets.For(method);
  shed_budget.Earn();
  const absl::Duration time_left = ToDuration(budget_.time_left);
  if (time_left >= min_budget || !shed_budget.Spend()) return;
  CountEvent(RpcEvent::kShed);
  shed_.store(true, std::memory_order_relaxed);
  const absl::Status cause = CauseOfTooLittleTime(time_left, min_budget);
  Expire(scope_, cause);
  cut_off_with_ = grpc::StatusCode::DEADLINE_EXCEEDED;
  if (call != nullptr) {
    // This answers now. Later messages of the handler are discarded.
    grpc_call_cancel_with_status(call, GRPC_STATUS_DEADLINE_EXCEEDED,
                                 std::string(cause.message()).c_str(), nullptr);
  }
}

// ---- The watch --------------------------------------------------------------

void ServerCall::OnObserved() {
  const Nanos now = Clock::Real().SteadyNanos();
  if (now - arrival_ >= EndWatcher::kDelay) return StartWatch();
  server_->watcher->WatchLater(delayed_watch_, now);
  {
    MutexLock lock(mutex_);
    is_watch_delayed_ = !context_ended_;
    if (is_watch_delayed_) return;
  }
  server_->watcher->TakeBack(delayed_watch_);
}

void ServerCall::StartWatch() {
  grpc_call* call;
  {
    MutexLock lock(mutex_);
    call = call_;
    if (context_ended_ || call == nullptr) return;
    grpc_call_ref(call);
  }
  watched_.store(true, std::memory_order_relaxed);
  server_->watcher->Watch(call, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->OnCallEnded();
  });
  grpc_call_unref(call);
}

// ---- The end ----------------------------------------------------------------

void ServerCall::OnHandlerEnded() {
  // PRE_SEND_STATUS calls this. Without that hook, a destructor does.
  if (handler_ended_.exchange(true, std::memory_order_relaxed)) return;
  DropWatch();
  cancel_(CauseOfReturnedHandler());
  RunDeferredCallbacks();
}

void ServerCall::OnCallEnded() {
  DropCall();
  // If the handler has returned, that is the reason.
  if (handler_ended_.load(std::memory_order_relaxed)) return;
  const ServerCallEnd end =
      EndOfServerCall(scope_.Remaining(), budget_.Slack());
  NoteEnd();
  EndDeferringCallbacks(scope_, end.by_deadline, end.cause).Run();
  RunDeferredCallbacks();
}

void ServerCall::NoteEnd() {
  if (HasEnded(scope_)) return;
  Nanos none = 0;
  ended_at_.compare_exchange_strong(none, Clock::Real().SteadyNanos(),
                                    std::memory_order_relaxed);
}

void ServerCall::OnOperationFailed() {
  Nanos none = 0;
  released_at_.compare_exchange_strong(none, Clock::Real().SteadyNanos(),
                                       std::memory_order_relaxed);
  if (handler_ended_.load(std::memory_order_relaxed) || HasEnded(scope_)) {
    return;
  }
  const ServerCallEnd end =
      EndOfServerCall(scope_.Remaining(), budget_.Slack());
  NoteEnd();
  // A thread that finds the context ended by this sees may_have_deferred_, and
  // then waits for the lock. So it finds the deferred callbacks.
  MutexLock lock(mutex_);
  may_have_deferred_.store(true, std::memory_order_relaxed);
  DeferredCallbacks deferred =
      EndDeferringCallbacks(scope_, end.by_deadline, end.cause);
  if (!deferred.empty()) deferred_ = std::move(deferred);
}

void ServerCall::RunDeferredCallbacks() {
  // The end of the context, which the caller has seen, orders the two.
  if (!may_have_deferred_.load(std::memory_order_relaxed)) return;
  DeferredCallbacks deferred;
  {
    MutexLock lock(mutex_);
    deferred = std::move(deferred_);
  }
  deferred.Run();
}

void ServerCall::DropWatch() {
  bool is_watch_delayed;
  {
    MutexLock lock(mutex_);
    context_ended_ = true;
    is_watch_delayed = std::exchange(is_watch_delayed_, false);
  }
  if (is_watch_delayed) server_->watcher->TakeBack(delayed_watch_);
}

void ServerCall::DropCall() {
  bool is_watch_delayed;
  std::unique_ptr<Delayed> cancel;
  {
    MutexLock lock(mutex_);
    context_ended_ = true;
    is_watch_delayed = std::exchange(is_watch_delayed_, false);
    cancel = std::move(delayed_cancel_);
    call_ = nullptr;
  }
  if (is_watch_delayed) server_->watcher->TakeBack(delayed_watch_);
}

void ServerCall::CancelCallAfter(absl::Duration delay,
                                 absl::AnyInvocable<grpc::Status()> status_of) {
  // Made outside the lock, because it may run at once.
  auto cancel = std::make_unique<Delayed>(
      delay,
      [weak = weak_from_this(), status_of = std::move(status_of)]() mutable {
        if (auto self = weak.lock()) self->CancelCall(status_of());
      });
  MutexLock lock(mutex_);
  if (call_ != nullptr) delayed_cancel_.swap(cancel);
}

void ServerCall::CancelCall(const grpc::Status& status) {
  const grpc::Status sent = server_->options.edge.has_value()
                                ? WithoutInternalNames(status).value_or(status)
                                : status;
  grpc_call* call;
  {
    MutexLock lock(mutex_);
    call = call_;
    if (call == nullptr) return;
    grpc_call_ref(call);
  }
  cut_off_with_ = sent.error_code();
  grpc_call_cancel_with_status(call,
                               static_cast<grpc_status_code>(sent.error_code()),
                               sent.error_message().c_str(), nullptr);
  grpc_call_unref(call);
}

void ServerCall::Unregister() {
  DropCall();
  if (address_ != nullptr) Registry().Remove(address_, this);
}

}  // namespace tether::internal
