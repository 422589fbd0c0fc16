// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/client.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tether/current.h"
#include "tether/grpc/internal/client_call_state.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/kept_time.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/internal/time.h"
#include "tether/grpc/status.h"
#include "tether/internal/exceptions.h"
#include "tether/propagation/default.h"
#include "tether/propagation/internal/described_inject.h"
#include "tether/propagation/limited_carrier.h"
#include "tether/propagation/redact.h"
#include "tether/propagation/timeout_header.h"

namespace tether {
namespace {

using grpc::experimental::InterceptionHookPoints;
using internal::ClientCallState;

class ClientInterceptor final : public grpc::experimental::Interceptor {
 public:
  ClientInterceptor(grpc::experimental::ClientRpcInfo* info,
                    std::shared_ptr<ClientCallState> state,
                    std::shared_ptr<const ClientOptions> options,
                    bool asks_state)
      : info_(info),
        state_(std::move(state)),
        options_(std::move(options)),
        asks_state_(asks_state) {}

  ~ClientInterceptor() override { state_->Unregister(); }

  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    // This hook runs under the ClientContext's lock.
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_CANCEL)) {
      state_->record().OnTryCancel();
      return methods->Proceed();
    }
    if (!started_.load(std::memory_order_relaxed)) OnFirstHook();
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      if (!state_->context().Done()) {
        WriteHeaders(*methods->GetSendInitialMetadata());
      }
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
    state_->record().OnStart(UntilOwnDeadline());
    state_->HoldCoreCall(call);
  }

  // The call's method (info_->method()) and its final status are known here, so
  // this is the place to count calls per method. Streams that the application
  // abandons never get here.
  void OnReceiveStatus(grpc::experimental::InterceptorBatchMethods* methods) {
    grpc::Status& status = *methods->GetRecvStatus();
    status = state_->record().OnStatus(*info_->client_context(),
                                       *methods->GetRecvTrailingMetadata(),
                                       std::move(status));
    state_->ReleaseCoreCall();
  }

  // The time until the ClientContext's deadline.
  absl::Duration UntilOwnDeadline() const {
    return internal::UntilDeadline(info_->client_context()->raw_deadline());
  }

  void WriteHeaders(internal::SentMetadata::Map& metadata) {
    // Core adds credentials below the interceptors, so they can't be measured.
    constexpr size_t kForCredentials = 2048;
    internal::SentMetadata carrier(metadata);
    const size_t used =
        carrier.RemoveAndMeasure({kTimeoutHeader, kReserveHeader});
    if (used > internal::kMetadataRoom) {
      internal::CountEvent(internal::RpcEvent::kOversized);
      if (state_->options().describe_propagation) {
        state_->set_propagation(
            "  nothing: the application's own metadata leaves no room\n");
      }
      return;
    }
    WriteValues(internal::kMetadataRoom -
                    std::min(internal::kMetadataRoom, used + kForCredentials),
                carrier);
    // The timeout comes last, so that it is as fresh as possible on the wire.
    const absl::Duration own = UntilOwnDeadline();
    const absl::Duration left = std::min(own, state_->context().Remaining());
    const Reserve& reserve = state_->options().reserve.has_value()
                                 ? *state_->options().reserve
                                 : options_->reserve;
    const absl::Duration kept =
        internal::KeptTime(reserve, left, IsConnected());
    std::optional<std::string> header = FormatTimeout(left - kept);
    if (!header) return;  // no deadline
    state_->record().OnTimeoutSent(kept);
    // tether's names come before those of most other headers.
    metadata.emplace_hint(metadata.begin(), kTimeoutHeader, *std::move(header));
    if (kept != Reserve().Of(left)) {
      metadata.emplace(kReserveHeader, FormatTimeout(kept).value_or("0"));
    }
    if (own == absl::InfiniteDuration()) {
      // Core writes this header only if the call has a deadline.
      metadata.emplace("grpc-timeout", internal::FormatGrpcTimeout(left));
    }
  }

  // False if the request will wait for a connection, as far as that is known.
  bool IsConnected() const {
    return !asks_state_ || info_->channel()->GetState(
                               /*try_to_connect=*/false) == GRPC_CHANNEL_READY;
  }

  void WriteValues(size_t room, internal::SentMetadata& carrier) noexcept {
    const Propagator& propagator = *options_->propagator;
    const Context& ctx = state_->context();
    TETHER_TRY {
      const bool fits = state_->options().describe_propagation
                            ? InjectAndDescribe(room, carrier)
                            : carrier.Inject(propagator, ctx, room);
      if (!fits) {
        internal::CountEvent(internal::RpcEvent::kOversized);
      }
    }
    TETHER_CATCH(...) { internal::CountEvent(internal::RpcEvent::kException); }
  }

  bool InjectAndDescribe(size_t room, internal::SentMetadata& carrier) {
    InjectLimits limits;
    limits.max_bytes = room;
    limits.max_headers = SIZE_MAX;
    internal::DescribedInject described = internal::InjectAndDescribe(
        *options_->propagator, state_->context(), carrier, limits);
    state_->set_propagation(std::move(described.text));
    if (described.threw) {
      internal::CountEvent(internal::RpcEvent::kException);
    }
    return described.fits;
  }

  grpc::experimental::ClientRpcInfo* const info_;
  const std::shared_ptr<ClientCallState> state_;
  const std::shared_ptr<const ClientOptions> options_;
  const bool asks_state_;
  std::atomic<bool> started_{false};
};

// Does nothing: another tether interceptor serves the call.
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
    : options_([&] {
        if (options.propagator == nullptr) {
          options.propagator = DefaultPropagator();
        }
        if (!options.redact.headers.empty() ||
            !options.redact.baggage_keys.empty()) {
          options.propagator = std::make_shared<RedactPropagator>(
              options.propagator, options.redact);
        }
        return std::make_shared<const ClientOptions>(std::move(options));
      }()) {}

grpc::experimental::Interceptor*
ClientInterceptorFactory::CreateClientInterceptor(
    grpc::experimental::ClientRpcInfo* info) {
  // This is the caller's thread, so Current() is the caller's.
  std::shared_ptr<ClientCallState> state =
      ClientCallState::TakeFor(*info->client_context());
  // gRPC doesn't allow a globally registered factory to return null.
  if (state == nullptr) return new PassThrough;
  state->record().Prepare(info->method(), options_->report_limits);
  return new ClientInterceptor(info, std::move(state), options_, asks_state_);
}

ClientCall::ClientCall(const Context& ctx, CallOptions options) {
  // A pointer, because GCC warns that a reference might dangle.
  const ClientCallState* const state = &ClientCallState::Make(
      options.detached ? WithoutCancel(ctx) : ctx, options, this);
  const absl::Duration left = state->context().Remaining();
  if (left != absl::InfiniteDuration()) {
    set_deadline(internal::DeadlineAfter(left));
  }
}

ClientCall::~ClientCall() { ClientCallState::Of(*this)->Unregister(); }

// The reference stays valid, because the state lives until ~ClientCall.
const Context& ClientCall::context() const {
  return ClientCallState::Of(*this)->context();
}

v1::CallReport ClientCall::report() const {
  return ClientCallState::Of(*this)->record().report();
}

EndReason EndReasonOf(const ClientCall& call) {
  return ClientCallState::Of(call)->record().reason();
}

Context ContextOf(const grpc::ClientContext& call) {
  const auto state = ClientCallState::Of(call);
  return state == nullptr ? Current() : state->context();
}

}  // namespace tether
