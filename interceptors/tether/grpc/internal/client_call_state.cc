// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/client_call_state.h"

#include <memory>
#include <utility>

#include "tether/grpc/internal/call_observer.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/counters.h"

namespace tether::internal {

AddressTable<ClientCallState>& ClientCallState::Registry() {
  static auto& registry = *new AddressTable<ClientCallState>;
  return registry;
}

ClientCallState* ClientCallState::Of(const grpc::ClientContext& call) {
  return Registry().Find(&call, [](ClientCallState* state) { return state; });
}

std::optional<Context> ClientCallState::ContextOf(
    const grpc::ClientContext& call) {
  return Registry().Find(&call, [](const ClientCallState* state) {
    return state == nullptr ? std::nullopt
                            : std::optional<Context>(state->context_);
  });
}

void ClientCallState::ClearPlace(const grpc::ClientContext& call) {
  if (ClientCallState* stale = Of(call)) std::destroy_at(stale);
}

ClientCallState::ClientCallState(Context ctx, CallOptions options,
                                 grpc::ClientContext* client_context,
                                 bool in_hop_record)
    : context_(std::move(ctx)),
      options_(std::move(options)),
      client_context_(client_context),
      record_(context_, options_.label,
              /*keeps_report=*/client_context != nullptr, in_hop_record) {
  CountEvent(RpcEvent::kClientCallMade);
}

ClientCallState::~ClientCallState() {
  Unregister();
  CountEvent(RpcEvent::kClientCallGone);
}

void ClientCallState::Register(const grpc::ClientContext& call) {
  address_ = &call;
  // The ClientContext of a state that was registered here is gone; see
  // invariant 5.
  if (ClientCallState* stale = Registry().Put(&call, this)) {
    stale->Unregister();
  }
  registration_.emplace(context_, [this] { OnContextEnd(); });
}

void ClientCallState::Unregister() {
  if (address_ != nullptr) {
    Registry().Remove(std::exchange(address_, nullptr), this);
  }
  registration_.reset();
  ReleaseCoreCall();
}

void ClientCallState::HoldCoreCall(grpc_call* call) {
  {
    SpinLockHolder lock(lock_);
    if (call_ != nullptr || released_) return;
    call_ = call;
    if (holds_reference()) grpc_call_ref(call_);
  }
  // If the context ended earlier, its callback found no call.
  CancelIfEnded();
}

bool ClientCallState::CancelIfEnded() {
  if (!context_.Done()) return false;
  OnContextEnd();
  return true;
}

void ClientCallState::TellObservers(std::string_view method) const {
  if (!CallObservers::Any()) return;
  const CallBegin call{context_, method, options_.detached};
  CallObservers::ForEach(
      [&call](CallObserver& observer) { observer.OnCallBegin(call); });
}

void ClientCallState::set_propagation(std::string description) {
  auto made = std::make_unique<const std::string>(std::move(description));
  SpinLockHolder lock(lock_);
  if (propagation_ == nullptr) propagation_.swap(made);
}

std::string ClientCallState::propagation() const {
  const std::string* made;
  {
    SpinLockHolder lock(lock_);
    made = propagation_.get();
  }
  return made == nullptr ? "" : *made;
}

void ClientCallState::ReleaseCoreCall() {
  if (released_.load(std::memory_order_acquire)) return;
  grpc_call* call;
  {
    SpinLockHolder lock(lock_);
    call = std::exchange(call_, nullptr);
    released_.store(true, std::memory_order_release);
  }
  if (call != nullptr && holds_reference()) grpc_call_unref(call);
}

void ClientCallState::OnContextEnd() {
  record_.OnContextEnd();
  grpc_call* call;
  {
    SpinLockHolder lock(lock_);
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
  ClientCallState* const state = ClientCallState::Of(call);
  if (state == nullptr) return std::nullopt;
  return state->record().Decide(call, trailing_metadata, received);
}

}  // namespace tether::internal
