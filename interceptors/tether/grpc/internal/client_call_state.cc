#include "tether/grpc/internal/client_call_state.h"

#include <utility>

#include "tether/grpc/internal/counters.h"
#include "tether/grpc/status.h"

namespace tether::internal {

CallRegistry<ClientCallState>& ClientCallState::Registry() {
  static auto& registry = *new CallRegistry<ClientCallState>;
  return registry;
}

ClientCallState::ClientCallState(Context ctx,
                                 grpc::ClientContext* client_context)
    : context_(std::move(ctx)), client_context_(client_context) {
  counters.client_calls.fetch_add(1, std::memory_order_relaxed);
}

ClientCallState::~ClientCallState() {
  Close();
  Detach();
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

void ClientCallState::Close() { registration_.reset(); }

void ClientCallState::OnContextDone() {
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
