#include "tether/grpc/internal/server_call.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "tether/after_func.h"
#include "tether/clock.h"
#include "tether/end_reason.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/report_metadata.h"
#include "tether/grpc/internal/time.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/status.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/rpc_context.h"
#include "tether/propagation/internal/sole_value.h"
#include "tether/propagation/timeout_header.h"

namespace tether::internal {
namespace {

// What the caller says is left of its budget.
absl::Duration TimeoutIn(const ReceivedMetadata& metadata) {
  const SoleValue header = GetSole(metadata, kTimeoutHeader);
  if (!header.value && !header.repeated) return absl::InfiniteDuration();
  const auto timeout =
      header.repeated ? std::nullopt : ParseTimeout(*header.value);
  if (!timeout) {
    counters.bad_timeouts.fetch_add(1, std::memory_order_relaxed);
    return absl::InfiniteDuration();
  }
  return *timeout;
}

// How often gRPC has tried before, as it says itself.
int32_t AttemptsIn(const ReceivedMetadata& metadata) {
  const auto header = metadata.Get("grpc-previous-rpc-attempts", 0);
  int32_t attempts = 0;
  if (!header ||
      !absl::SimpleAtoi(absl::string_view(header->data(), header->size()),
                        &attempts)) {
    return 0;
  }
  return std::max(0, attempts);
}

}  // namespace

ServerShared::ServerShared(ServerOptions server_options)
    : options(std::move(server_options)),
      policies(options.time, options.methods),
      shed_budgets(options.shed_fraction),
      watcher(EndWatcher::Get()),
      cuts_at_end_of_lifetime(options.base_context != Background() &&
                              options.answer_grace !=
                                  absl::InfiniteDuration()) {}

std::shared_ptr<ServerShared> ServerShared::Make(ServerOptions server_options) {
  std::shared_ptr<ServerShared> shared(
      new ServerShared(std::move(server_options)));
  if (shared->cuts_at_end_of_lifetime) {
    shared->at_end_of_lifetime_.emplace(
        shared->options.base_context,
        [weak = std::weak_ptr<ServerShared>(shared)] {
          if (auto self = weak.lock()) self->LifetimeEnded();
        });
  }
  return shared;
}

void ServerShared::LifetimeEnded() {
  // Not under the lock: it may run at once.
  auto cut = std::make_unique<Delayed>(grace(), [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->CutAll();
  });
  MutexLock lock(mutex_);
  cut_all_.swap(cut);
}

void ServerShared::CutAll() {
  std::vector<std::shared_ptr<ServerCall>> calls;
  ServerCall::Registry().ForEach([&](ServerCall* call) {
    if (!call->IsOf(this)) return;
    // Null when its interceptor is about to go.
    if (auto held = call->weak_from_this().lock()) {
      calls.push_back(std::move(held));
    }
  });
  const grpc::Status status = StatusOf(options.base_context);
  for (const auto& call : calls) call->Cut(status);
}

absl::Duration TimeLeft(absl::Duration standard, absl::Duration exact) {
  constexpr absl::Duration kNoWait = absl::Milliseconds(5);
  if (exact == absl::InfiniteDuration() || exact - standard <= kNoWait) {
    return std::min(standard, exact);
  }
  return standard - Reserve().Of(standard);
}

CallRegistry<ServerCall>& ServerCall::Registry() {
  static auto& registry = *new CallRegistry<ServerCall>;
  return registry;
}

ServerCall::ServerCall(std::shared_ptr<ServerShared> shared)
    : shared_(std::move(shared)) {
  counters.server_calls.fetch_add(1, std::memory_order_relaxed);
}

ServerCall::~ServerCall() {
  EndOfHandler();
  DropCall();
  counters.server_calls.fetch_sub(1, std::memory_order_relaxed);
}

struct ServerCall::Budget {
  absl::Duration timeout;
  DeadlineOwner owner;
};

ServerCall::Budget ServerCall::BudgetOf(absl::Duration asked_for,
                                        const TimeLimits& policy) const {
  const bool asked = asked_for != absl::InfiniteDuration();
  const absl::Duration timeout = asked ? asked_for : policy.default_timeout;
  if (policy.max_timeout < timeout) {
    return {policy.max_timeout, DeadlineOwner::kMaxTimeout};
  }
  return {timeout,
          asked ? DeadlineOwner::kCaller : DeadlineOwner::kDefaultTimeout};
}

bool ServerCall::Begin(const void* rpc, grpc::ServerContextBase* server_context,
                       std::string_view method,
                       const ReceivedMetadata::Map& metadata,
                       bool told_of_end) {
  rpc_ = rpc;
  if (!Registry().PutUnless(server_context, this, [rpc](const ServerCall& c) {
        return c.rpc_ == rpc;
      })) {
    return false;
  }
  address_ = server_context;
  const ServerOptions& options = shared_->options;
  const TimeLimits& policy = shared_->policies.For(method);
  const ReceivedMetadata carrier(metadata);
  // Before what is left is read, so that nothing is added to it.
  const Nanos now = NowOf(options.base_context);
  const absl::Duration standard = UntilDeadline(server_context->raw_deadline());
  const absl::Duration exact = TimeoutIn(carrier);
  time_left_ = TimeLeft(standard, exact);
  const Budget budget = BudgetOf(time_left_, policy);
  const absl::Duration timeout = budget.timeout;
  const absl::Status& cause = CauseOfPassedDeadline(budget.owner);
  if (timeout != absl::InfiniteDuration() && timeout == time_left_) {
    slack_ = DeadlineSlack(timeout, /*is_rounded=*/exact > standard);
  }
  // gRPC ends what waits in it at its own deadline, and at no other time.
  const absl::Duration grace = shared_->grace();
  absl::Duration until_cut = timeout + grace;
  if (timeout == time_left_) {
    // The caller ends the call itself when all of its time is up, which is its
    // reserve later, and knows better then how to say it. grpc-timeout is that
    // time, rounded up.
    until_cut =
        timeout +
        std::max(grace, std::min(timeout / 4, absl::Seconds(1) + timeout / 32));
  }
  const bool outlives_timeout = until_cut < standard;
  may_be_cut_ = outlives_timeout || shared_->cuts_at_end_of_lifetime;
  if (!told_of_end || may_be_cut_) {
    MutexLock lock(mutex_);
    call_ = server_context->c_call();
    if (call_ != nullptr) grpc_call_ref(call_);
  }
  Cancellable cancellable;
  if (told_of_end) {
    cancellable = WithTimeoutFrom(now, options.base_context, timeout, cause);
  } else {
    arrival_ = Clock::Real().SteadyNanos();
    cancellable = WithLazyCancel(now, options.base_context, timeout, cause,
                                 [weak = weak_from_this()] {
                                   if (auto self = weak.lock())
                                     self->Observed();
                                 });
  }
  cancel_ = std::move(cancellable.cancel);
  scope_ = cancellable.ctx;
  context_ = std::move(cancellable.ctx);
  if (options.report.when != ReportOptions::When::kNever) {
    context_ = WithValue(context_, kHop, HopRecord(SteadyMicros()));
    previous_attempts_ = AttemptsIn(carrier);
  }
  ExtractValues(carrier);
  // Of the context that stays: propagators may return any.
  if (options.report.when != ReportOptions::When::kNever) {
    record_ = context_.Value(kHop);
  }
  if (shared_->cuts_at_end_of_lifetime && HasEnded(scope_)) {
    // It came too late for CutAll.
    CutIn(grace, [this] { return StatusOf(shared_->options.base_context); });
  } else if (outlives_timeout) {
    CutIn(until_cut, [&cause] { return StatusOfPassedDeadline(cause); });
  }
  if (policy.min_budget > absl::ZeroDuration()) {
    ShedBudget& shed_budget = shared_->shed_budgets.For(method);
    shed_budget.Earn();
    if (time_left_ < policy.min_budget && shed_budget.Spend()) {
      TurnAway(server_context, time_left_, policy.min_budget);
    }
  }
  return true;
}

void ServerCall::ExtractValues(const ReceivedMetadata& metadata) noexcept {
  TETHER_TRY {
    context_ = shared_->options.propagator->Extract(metadata, context_);
  }
  TETHER_CATCH(...) {
    counters.exceptions.fetch_add(1, std::memory_order_relaxed);
  }
}

void ServerCall::TurnAway(grpc::ServerContextBase* server_context,
                          absl::Duration asked_for, absl::Duration min_budget) {
  counters.shed.fetch_add(1, std::memory_order_relaxed);
  const absl::Status cause = CauseOfTooLittleTime(asked_for, min_budget);
  Expire(scope_, cause);
  if (grpc_call* call = server_context->c_call()) {
    // The answer, now. What the handler sends later goes nowhere.
    grpc_call_cancel_with_status(call, GRPC_STATUS_DEADLINE_EXCEEDED,
                                 std::string(cause.message()).c_str(), nullptr);
  }
}

void ServerCall::Observed() {
  const absl::Duration delay =
      kWatchDelay - absl::Nanoseconds(Clock::Real().SteadyNanos() - arrival_);
  if (delay <= absl::ZeroDuration()) return StartWatch();
  // Not under the lock: it may run at once.
  auto watch = std::make_unique<Delayed>(delay, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->StartWatch();
  });
  MutexLock lock(mutex_);
  if (!context_ended_) delayed_watch_.swap(watch);
  // Else the watch goes, after the lock.
}

void ServerCall::StartWatch() {
  grpc_call* call;
  {
    MutexLock lock(mutex_);
    call = call_;
    if (context_ended_ || call == nullptr) return;
    grpc_call_ref(call);
  }
  shared_->watcher->Watch(call, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->EndOfCall();
  });
  grpc_call_unref(call);
}

void ServerCall::WriteReport(std::string_view method,
                             const grpc::Status& status, bool after_messages,
                             SentMetadata::Map& trailing_metadata) {
  if (record_ == nullptr || handler_ended_.load(std::memory_order_relaxed)) {
    return;
  }
  const ReportOptions& options = shared_->options.report;
  const absl::Duration left = context_.Remaining();
  const bool ended = left <= absl::ZeroDuration() || HasEnded(context_);
  if (options.when == ReportOptions::When::kWhenItMatters && status.ok() &&
      !ended &&
      (time_left_ == absl::InfiniteDuration() ||
       record_->Elapsed() < options.min_fraction * time_left_)) {
    return;
  }
  v1::BudgetReport report;
  SetNames(method, report);
  if (time_left_ != absl::InfiniteDuration()) {
    report.set_time_left_us(
        std::max<int64_t>(0, absl::ToInt64Microseconds(time_left_)));
  }
  report.set_outcome(static_cast<int32_t>(status.error_code()));
  report.set_reason(ended ? ToProto(EndReasonOf(context_))
                          : v1::END_REASON_COMPLETED);
  report.set_previous_attempts(previous_attempts_);
  record_->Fill(SteadyMicros(), report);
  SendReport(std::move(report), options.limits, status, trailing_metadata,
             status.ok() && after_messages
                 ? kMetadataRoom
                 : RoomInHeaders(options.max_headers_bytes));
}

std::optional<grpc::Status> ServerCall::Discreet(
    const grpc::Status& status) const {
  if (!shared_->options.edge.has_value()) return std::nullopt;
  return WithoutInternalNames(status);
}

void ServerCall::EndOfHandler() {
  // Told by PRE_SEND_STATUS, and again by destructors, where that may not come.
  if (handler_ended_.exchange(true, std::memory_order_relaxed)) return;
  DropWatch();
  cancel_(CauseOfReturnedHandler());
  RunDeferredCallbacks();
}

void ServerCall::EndOfCall() {
  DropCall();
  // Where the handler has returned, that is the reason.
  if (handler_ended_.load(std::memory_order_relaxed)) return;
  const auto [by_deadline, cause] = EndOfServerCall(scope_.Remaining(), slack_);
  EndDeferringCallbacks(scope_, by_deadline, cause).Run();
  RunDeferredCallbacks();
}

void ServerCall::OperationFailed() {
  if (handler_ended_.load(std::memory_order_relaxed) || HasEnded(scope_)) {
    return;
  }
  const auto [by_deadline, cause] = EndOfServerCall(scope_.Remaining(), slack_);
  // Both under the lock, so that whoever finds the context ended by this, and
  // takes the lock next, finds what it owes.
  MutexLock lock(mutex_);
  DeferredCallbacks owed = EndDeferringCallbacks(scope_, by_deadline, cause);
  if (!owed.empty()) owed_ = std::move(owed);
}

void ServerCall::RunDeferredCallbacks() {
  DeferredCallbacks owed;
  {
    MutexLock lock(mutex_);
    owed = std::move(owed_);
  }
  owed.Run();
}

void ServerCall::DropWatch() {
  grpc_call* call = nullptr;
  std::unique_ptr<Delayed> watch;
  {
    MutexLock lock(mutex_);
    context_ended_ = true;
    watch = std::move(delayed_watch_);
    if (!may_be_cut_) call = std::exchange(call_, nullptr);
  }
  if (call != nullptr) grpc_call_unref(call);
}

void ServerCall::DropCall() {
  grpc_call* call;
  std::unique_ptr<Delayed> watch;
  std::unique_ptr<Delayed> cut;
  {
    MutexLock lock(mutex_);
    context_ended_ = true;
    watch = std::move(delayed_watch_);
    cut = std::move(cut_);
    call = std::exchange(call_, nullptr);
  }
  if (call != nullptr) grpc_call_unref(call);
}

void ServerCall::CutIn(absl::Duration delay,
                       absl::AnyInvocable<grpc::Status()> status_of) {
  // Not under the lock: it may run at once.
  auto cut = std::make_unique<Delayed>(
      delay,
      [weak = weak_from_this(), status_of = std::move(status_of)]() mutable {
        if (auto self = weak.lock()) self->Cut(status_of());
      });
  MutexLock lock(mutex_);
  if (call_ != nullptr) cut_.swap(cut);
}

void ServerCall::Cut(const grpc::Status& status) {
  const grpc::Status said = Discreet(status).value_or(status);
  grpc_call* call;
  {
    MutexLock lock(mutex_);
    call = call_;
    if (call == nullptr) return;
    grpc_call_ref(call);
  }
  grpc_call_cancel_with_status(call,
                               static_cast<grpc_status_code>(said.error_code()),
                               said.error_message().c_str(), nullptr);
  grpc_call_unref(call);
}

void ServerCall::Forget() {
  DropCall();
  if (address_ != nullptr) Registry().Remove(address_, this);
}

}  // namespace tether::internal
