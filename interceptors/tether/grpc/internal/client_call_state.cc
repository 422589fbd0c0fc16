// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/client_call_state.h"

#include <utility>

#include "tether/current.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/counters.h"

namespace tether::internal {

AddressTable<ClientCallState>& ClientCallState::Registry() {
  static auto& registry = *new AddressTable<ClientCallState>;
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
  state->Register(*client_context);
  ClientCallState& made = *state;
  made.self_ = std::move(state);
  made.CancelAtContextEnd();
  return made;
}

std::shared_ptr<ClientCallState> ClientCallState::TakeFor(
    const grpc::ClientContext& call) {
  std::shared_ptr<ClientCallState> state = Of(call);
  if (state == nullptr) {
    state = std::make_shared<ClientCallState>(Current(), CallOptions(),
                                              /*client_context=*/nullptr);
    state->Register(call);
    state->CancelAtContextEnd();
  }
  return std::exchange(state->taken_, true) ? nullptr : state;
}

ClientCallState::ClientCallState(Context ctx, const CallOptions& options,
                                 grpc::ClientContext* client_context)
    : context_(std::move(ctx)),
      options_(options),
      client_context_(client_context),
      record_(context_, options_.label,
              /*keeps_report=*/client_context != nullptr) {
  CountEvent(RpcEvent::kClientCallMade);
}

ClientCallState::~ClientCallState() {
  registration_.reset();
  ReleaseCoreCall();
  CountEvent(RpcEvent::kClientCallGone);
}

void ClientCallState::Register(const grpc::ClientContext& call) {
  address_ = &call;
  // The ClientContext of a state that was registered here is gone; see
  // invariant 2.
  if (ClientCallState* stale = Registry().Put(&call, this)) {
    stale->Unregister();
  }
}

void ClientCallState::Unregister() {
  if (address_ != nullptr) {
    Registry().Remove(std::exchange(address_, nullptr), this);
  }
  registration_.reset();
  ReleaseCoreCall();
  // The destructor may run at the end of this scope.
  const std::shared_ptr<ClientCallState> self = std::move(self_);
}

void ClientCallState::CancelAtContextEnd() {
  registration_.emplace(context_, [this] { OnContextEnd(); });
}

void ClientCallState::HoldCoreCall(grpc_call* call) {
  {
    MutexLock lock(mutex_);
    if (call_ != nullptr || released_) return;
    call_ = call;
    grpc_call_ref(call_);
  }
  // If the context ended earlier, its callback found no call.
  if (context_.Done()) OnContextEnd();
}

void ClientCallState::set_propagation(std::string description) {
  MutexLock lock(mutex_);
  propagation_ = std::move(description);
}

std::string ClientCallState::propagation() const {
  MutexLock lock(mutex_);
  return propagation_;
}

void ClientCallState::ReleaseCoreCall() {
  if (released_.load(std::memory_order_acquire)) return;
  grpc_call* call;
  {
    MutexLock lock(mutex_);
    call = std::exchange(call_, nullptr);
    released_.store(true, std::memory_order_release);
  }
  if (call != nullptr) grpc_call_unref(call);
}

void ClientCallState::OnContextEnd() {
  record_.OnContextEnd();
  grpc_call* call;
  {
    MutexLock lock(mutex_);
    if (released_) return;
    call = call_;
    if (call != nullptr) grpc_call_ref(call);
  }
  const grpc::Status status = StatusOfContext(context_);
  if (call != nullptr) {
    grpc_call_cancel_with_status(
        call, static_cast<grpc_status_code>(status.error_code()),
        status.error_message().c_str(), nullptr);
    grpc_call_unref(call);
  } else if (client_context_ != nullptr &&
             status.error_code() == grpc::StatusCode::CANCELLED) {
    // The call hasn't started, or its channel has no interceptor. A deadline
    // needs nothing here, because the ClientContext has it, too.
    client_context_->TryCancel();
  }
}

std::optional<ClientOutcome> OutcomeOf(
    const grpc::ClientContext& call,
    const ReceivedMetadata::Map& trailing_metadata,
    const grpc::Status& received) {
  const std::shared_ptr<ClientCallState> state = ClientCallState::Of(call);
  if (state == nullptr) return std::nullopt;
  return state->record().Decide(call, trailing_metadata, received);
}

}  // namespace tether::internal
