// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/client.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "tether/current.h"
#include "tether/grpc/internal/client_call_state.h"
#include "tether/grpc/internal/propagating_call.h"
#include "tether/grpc/internal/time.h"
#include "tether/internal/nanos.h"
#include "tether/internal/spread.h"

namespace tether {

namespace {

using grpc::experimental::InterceptionHookPoints;
using internal::ClientCallState;
using internal::ClientChannel;
using internal::Nanos;
using internal::PropagatingCall;

// The interceptor of one RPC, together with the state of its call.
class ClientInterceptor : public grpc::experimental::Interceptor,
                          public PropagatingCall {
 public:
  using PropagatingCall::PropagatingCall;
  // While it is registered, Inspect() reads what channel_ owns.
  ~ClientInterceptor() override { Unregister(); }

  // Its RPC begins. Called once, before Intercept.
  void Serve(grpc::experimental::ClientRpcInfo* info,
             std::shared_ptr<ClientChannel> channel, bool asks_state) {
    info_ = info;
    channel_ = std::move(channel);
    asks_state_ = asks_state;
    record().Prepare(info->method(), channel_->options.report_limits);
    TellObservers(info->method());
  }

  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    // This hook runs under the ClientContext's lock.
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_CANCEL)) {
      record().OnTryCancel();
      return methods->Proceed();
    }
    if (!started_.load(std::memory_order_relaxed)) OnFirstHook();
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      WriteHeaders(*info_->client_context(), *channel_,
                   asks_state_ ? info_->channel() : nullptr,
                   *methods->GetSendInitialMetadata());
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_STATUS)) {
      OnReceiveStatus(methods);
    }
    methods->Proceed();
  }

 private:
  // The first hook may have no hook point: a stream with corked initial
  // metadata can wait for a message before it sends anything. Hooks of a stream
  // run concurrently; only one of them starts the call.
  void OnFirstHook() {
    grpc_call* call = info_->client_context()->c_call();
    if (call == nullptr) return;
    if (started_.exchange(true, std::memory_order_relaxed)) return;
    const Nanos now = internal::SteadyNanos();
    record().SetTarget(channel_->target.For(info_->channel(), call));
    record().OnStart(now, OwnLeft(*info_->client_context(), now));
    HoldCoreCall(call);
  }

  // The call's method (info_->method()) and its final status are known here, so
  // this is the place to count calls per method. Streams that the application
  // abandons never get here.
  void OnReceiveStatus(grpc::experimental::InterceptorBatchMethods* methods) {
    grpc::Status& status = *methods->GetRecvStatus();
    status = ReadStatus(*info_->client_context(), *channel_,
                        *methods->GetRecvTrailingMetadata(), std::move(status));
  }

  // Set by Serve.
  grpc::experimental::ClientRpcInfo* info_ = nullptr;
  std::shared_ptr<ClientChannel> channel_;
  bool asks_state_ = false;

  std::atomic<bool> started_{false};
};

// Lives in a ClientCall. gRPC deletes it, but the memory is the ClientCall's.
class InterceptorInPlace final : public ClientInterceptor {
 public:
  using ClientInterceptor::ClientInterceptor;
  static void* operator new(size_t) = delete;
  // NOLINTNEXTLINE(misc-new-delete-overloads): made in place
  static void operator delete(void*) {}
};

// For a plain ClientContext, made when its RPC begins.
class InterceptorOnHeap final : public ClientInterceptor {
 public:
  InterceptorOnHeap()
      : ClientInterceptor(Current(), CallOptions(),
                          /*client_context=*/nullptr) {}
};

// Does nothing: another tether interceptor, or an OutgoingCall, serves the
// call.
class PassThrough final : public grpc::experimental::Interceptor {
  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    methods->Proceed();
  }
};

}  // namespace

std::shared_ptr<grpc::Channel> internal::ChannelMaker::operator()(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    ClientOptions options, const grpc::ChannelArguments& arguments) const {
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      creators;
  auto factory = std::make_unique<ClientInterceptorFactory>(std::move(options));
  factory->asks_state_ = true;
  creators.push_back(std::move(factory));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, credentials, arguments, std::move(creators));
}

ClientInterceptorFactory::ClientInterceptorFactory(ClientOptions options)
    : channel_(std::make_shared<
               const internal::Spread<std::shared_ptr<ClientChannel>>>(
          internal::SpreadOwners(
              std::make_shared<ClientChannel>(std::move(options))))) {}

grpc::experimental::Interceptor*
ClientInterceptorFactory::CreateClientInterceptor(
    grpc::experimental::ClientRpcInfo* info) {
  const grpc::ClientContext& call = *info->client_context();
  ClientCallState* state = ClientCallState::Of(call);
  if (state == nullptr) {
    // This is the caller's thread, so Current() is the caller's.
    state = new InterceptorOnHeap;
    state->Register(call);
  }
  // gRPC doesn't allow a globally registered factory to return null.
  if (!state->Take()) return new PassThrough;
  // An OutgoingCall takes its state itself. All others are ClientInterceptors.
  auto* const interceptor = static_cast<ClientInterceptor*>(state);
  interceptor->Serve(info, channel_->get(), asks_state_);
  return interceptor;
}

ClientCall::ClientCall(const Context& ctx, CallOptions options) {
  static_assert(sizeof(InterceptorInPlace) <= sizeof(state_), "enlarge state_");
  static_assert(alignof(InterceptorInPlace) <= alignof(std::max_align_t), "");
  ClientCallState::ClearPlace(*this);
  const bool detached = options.detached;
  auto* const state = ::new (static_cast<void*>(state_)) InterceptorInPlace(
      detached ? WithoutCancel(ctx) : ctx, std::move(options), this);
  state->Register(*this);
  state->SetDeadline(*this);
}

// MemorySanitizer would poison the state, which ~ClientContext still uses.
ABSL_ATTRIBUTE_NO_SANITIZE_MEMORY ClientCall::~ClientCall() {
  state().Unregister();
  // Otherwise gRPC owns it.
  if (!state().taken()) std::destroy_at(&state());
}

internal::ClientCallState& ClientCall::state() {
  return *std::launder(
      static_cast<InterceptorInPlace*>(static_cast<void*>(state_)));
}

const internal::ClientCallState& ClientCall::state() const {
  return const_cast<ClientCall*>(this)->state();
}

const Context& ClientCall::context() const { return state().context(); }

v1::CallReport ClientCall::report() const { return state().record().report(); }

EndReason EndReasonOf(const ClientCall& call) {
  return call.state().record().reason();
}

Context ContextOf(const grpc::ClientContext& call) {
  std::optional<Context> ctx = ClientCallState::ContextOf(call);
  return ctx.has_value() ? *std::move(ctx) : Current();
}

}  // namespace tether
