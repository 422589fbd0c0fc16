#include "tether/grpc/internal/server_call.h"

#include <algorithm>
#include <utility>

#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/time.h"
#include "tether/internal/rpc_context.h"
#include "tether/propagation/timeout_header.h"

namespace tether::internal {
namespace {

// What the caller says is left of its budget.
absl::Duration TimeoutIn(const ReceivedMetadata& metadata) {
  const auto header = metadata.Get(kTimeoutHeader, 0);
  if (!header) return absl::InfiniteDuration();
  const auto timeout =
      metadata.Get(kTimeoutHeader, 1) ? std::nullopt : ParseTimeout(*header);
  if (!timeout) {
    counters.bad_timeouts.fetch_add(1, std::memory_order_relaxed);
    return absl::InfiniteDuration();
  }
  return *timeout;
}

Context ExtractValues(const Propagator& propagator,
                      const ReceivedMetadata& metadata, Context ctx) noexcept {
  try {
    return propagator.Extract(metadata, ctx);
  } catch (...) {
    counters.exceptions.fetch_add(1, std::memory_order_relaxed);
    return ctx;
  }
}

}  // namespace

CallRegistry<ServerCall>& ServerCall::Registry() {
  static auto& registry = *new CallRegistry<ServerCall>;
  return registry;
}

ServerCall::ServerCall(std::shared_ptr<const ServerOptions> options,
                       std::shared_ptr<EndWatcher> watcher)
    : options_(std::move(options)), watcher_(std::move(watcher)) {
  counters.server_calls.fetch_add(1, std::memory_order_relaxed);
}

ServerCall::~ServerCall() {
  EndOfHandler();
  counters.server_calls.fetch_sub(1, std::memory_order_relaxed);
}

void ServerCall::Begin(grpc::ServerContextBase* server_context,
                       const ReceivedMetadata::Map& metadata,
                       bool told_of_end) {
  const ReceivedMetadata carrier(metadata);
  const absl::Duration standard = UntilDeadline(server_context->raw_deadline());
  const absl::Duration exact = TimeoutIn(carrier);
  const absl::Duration asked_for = std::min(standard, exact);
  const absl::Duration timeout = std::min(asked_for, options_->max_timeout);
  if (timeout != absl::InfiniteDuration() && timeout == asked_for) {
    // What a loaded machine takes to deliver the headers, and, where there is
    // only grpc-timeout, its rounding.
    slack_ = std::min(absl::Milliseconds(5) + timeout / 20, absl::Seconds(1)) +
             (exact <= standard ? absl::ZeroDuration() : timeout / 32);
  }
  Cancelable cancelable;
  if (told_of_end) {
    cancelable = WithTimeout(options_->lifetime, timeout);
  } else {
    {
      MutexLock lock(mutex_);
      call_ = server_context->c_call();
      if (call_ != nullptr) grpc_call_ref(call_);
    }
    cancelable = WithLazyCancel(options_->lifetime, timeout, absl::OkStatus(),
                                [weak = weak_from_this()] {
                                  if (auto self = weak.lock())
                                    self->StartWatch();
                                });
  }
  cancel_ = std::move(cancelable.cancel);
  context_ =
      ExtractValues(*options_->propagator, carrier, std::move(cancelable.ctx));
  address_ = server_context;
  Registry().Put(address_, shared_from_this());
}

void ServerCall::StartWatch() {
  grpc_call* call;
  {
    MutexLock lock(mutex_);
    call = call_;
    if (call == nullptr) return;  // ended
    grpc_call_ref(call);
  }
  watcher_->Watch(call, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->EndOfCall();
  });
  grpc_call_unref(call);
}

void ServerCall::EndOfHandler() {
  // Told by PRE_SEND_STATUS, and again by destructors, where that may not come.
  if (handler_ended_.exchange(true, std::memory_order_relaxed)) return;
  static const absl::Status& cause =
      *new absl::Status(absl::CancelledError("the handler has returned"));
  DropCall();
  cancel_(cause);
}

void ServerCall::EndOfCall() {
  DropCall();
  if (context_.Remaining() <= slack_) {
    Expire(context_,
           absl::DeadlineExceededError("the caller gave up at its deadline"));
  } else {
    cancel_(absl::CancelledError("the caller cancelled the call or is gone"));
  }
}

void ServerCall::DropCall() {
  grpc_call* call;
  {
    MutexLock lock(mutex_);
    call = std::exchange(call_, nullptr);
  }
  if (call != nullptr) grpc_call_unref(call);
}

void ServerCall::Forget() {
  if (address_ != nullptr) Registry().Remove(address_, this);
}

}  // namespace tether::internal
