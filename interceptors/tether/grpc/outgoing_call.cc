// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/outgoing_call.h"

#include <utility>

#include "tether/grpc/internal/propagating_call.h"
#include "tether/grpc/internal/time.h"
#include "tether/internal/nanos.h"
#include "tether/internal/rpc_context.h"

namespace tether {

CallClient::CallClient(ClientOptions options,
                       std::shared_ptr<grpc::ChannelInterface> channel,
                       std::string target)
    : state_(std::make_unique<internal::ClientChannel>(std::move(options))),
      channel_(std::move(channel)),
      target_(std::move(target)) {}

CallClient::~CallClient() = default;

class OutgoingCall::State final : public internal::PropagatingCall {
 public:
  State(const Context& ctx, grpc::ClientContext& its_rpc,
        const CallClient& its_client, OutgoingCallOptions options)
      : PropagatingCall(options.call.detached ? WithoutCancel(ctx) : ctx,
                        std::move(options.call), &its_rpc, options.in_report),
        rpc(its_rpc),
        client(its_client) {}
  // While it is registered, Inspect() reads what `client` owns.
  ~State() override { Unregister(); }

  // The steps of ClientCall's constructor and of its interceptor's hooks, in
  // the same order.
  void Begin(std::string_view method, Metadata metadata) {
    Register(rpc);
    const internal::Nanos own =
        internal::NanosUntilDeadline(rpc.raw_deadline());
    if (internal::RemainingAt(internal::SteadyNanos(), context()) < own) {
      SetDeadline(rpc);
    }
    Take();
    record().Prepare(method, client.state_->options.report_limits);
    TellObservers(method);
    record().SetTarget(client.target_);
    const internal::Nanos now = internal::SteadyNanos();
    record().OnStart(now, OwnLeft(rpc, now));
    if (!WriteHeaders(rpc, *client.state_, client.channel_.get(), metadata)) {
      return;
    }
    for (const auto& [key, value] : metadata) rpc.AddMetadata(key, value);
  }

  grpc::Status OnStatus(const grpc::Status& received) {
    return ReadStatus(rpc, *client.state_, rpc.GetServerTrailingMetadata(),
                      received);
  }

  grpc::ClientContext& rpc;
  const CallClient& client;
};

OutgoingCall::OutgoingCall(const Context& ctx, grpc::ClientContext& rpc,
                           std::string_view method, const CallClient& client,
                           Metadata metadata, OutgoingCallOptions options)
    : state_(std::make_unique<State>(ctx, rpc, client, std::move(options))) {
  state_->Begin(method, std::move(metadata));
}

OutgoingCall::~OutgoingCall() = default;

void OutgoingCall::OnStarted() {
  if (grpc_call* call = state_->rpc.c_call()) state_->HoldCoreCall(call);
}

void OutgoingCall::TryCancel() {
  state_->record().OnTryCancel();
  state_->rpc.TryCancel();
}

grpc::Status OutgoingCall::OnStatus(const grpc::Status& received) {
  return state_->OnStatus(received);
}

const Context& OutgoingCall::context() const { return state_->context(); }

EndReason OutgoingCall::reason() const { return state_->record().reason(); }

v1::CallReport OutgoingCall::report() const {
  return state_->record().report();
}

}  // namespace tether
