// SPDX-License-Identifier: Apache-2.0

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/client_call_state.h"
#include "tether/opentelemetry/interceptors.h"
#include "tether/opentelemetry/internal/bridge.h"
#include "tether/opentelemetry/internal/call_headers.h"
#include "tether/opentelemetry/internal/otel_context.h"
#include "tether/opentelemetry/internal/rpc_span.h"
#include "tether/opentelemetry/span.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/delegating.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

namespace trace = opentelemetry::trace;
using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using internal::HandDown;
using internal::RpcSpan;

class ClientPropagator final : public DelegatingPropagator {
 public:
  using DelegatingPropagator::DelegatingPropagator;

  void Inject(const Context& ctx, Carrier& carrier) const override {
    const RpcSpan* span = HandDown<const RpcSpan>::Take();
    if (span == nullptr || !span->span()->GetContext().IsValid()) {
      return DelegatingPropagator::Inject(ctx, carrier);
    }
    const Context call_ctx = WithSpan(ctx, span->span());
    internal::CallHeaders headers(carrier, *TraceOf(call_ctx),
                                  span->ParentIdHex());
    DelegatingPropagator::Inject(call_ctx, headers);
  }
};

class ClientInterceptor final : public grpc::experimental::Interceptor {
 public:
  ClientInterceptor(std::unique_ptr<grpc::experimental::Interceptor> tether,
                    grpc::experimental::ClientRpcInfo* info,
                    trace::Tracer& tracer)
      : tether_(std::move(tether)),
        info_(info),
        ctx_(ContextOf(*info->client_context())) {
    span_.Start(tracer, trace::SpanKind::kClient, info->method(),
                internal::ParentOfCall(ctx_), /*budget=*/std::nullopt);
  }

  ~ClientInterceptor() override {
    if (!span_.ended()) span_.End(nullptr, ctx_.Cause());
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_STATUS)) {
      End(methods);
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      const HandDown<const RpcSpan> hand_down(&span_);
      tether_->Intercept(methods);
    } else {
      tether_->Intercept(methods);
    }
    // `this` may have been destroyed.
  }

 private:
  void End(InterceptorBatchMethods* methods) {
    const grpc::Status& received = *methods->GetRecvStatus();
    const grpc::ClientContext& call = *info_->client_context();
    if (span_.IsRecording()) span_.SetPeer(call.peer());
    if (received.ok()) return span_.End(&received, absl::OkStatus());
    // The status that the application gets from tether's own interceptor.
    const auto outcome = internal::OutcomeOf(
        call, *methods->GetRecvTrailingMetadata(), received);
    if (!outcome.has_value()) return span_.End(&received, ctx_.Cause());
    span_.End(&outcome->status, outcome->cause);
  }

  const std::unique_ptr<grpc::experimental::Interceptor> tether_;
  grpc::experimental::ClientRpcInfo* const info_;
  const Context ctx_;
  RpcSpan span_;
};

}  // namespace

OpenTelemetryClientInterceptorFactory::OpenTelemetryClientInterceptorFactory(
    ClientOptions options, OpenTelemetryOptions telemetry)
    : tracer_(internal::TracerOf(telemetry.tracer_provider)),
      tether_(internal::WithWrappedPropagator<ClientPropagator>(
          std::move(options))) {}

grpc::experimental::Interceptor*
OpenTelemetryClientInterceptorFactory::CreateClientInterceptor(
    grpc::experimental::ClientRpcInfo* info) {
  std::unique_ptr<grpc::experimental::Interceptor> tether(
      tether_.CreateClientInterceptor(info));
  return new ClientInterceptor(std::move(tether), info, *tracer_);
}

std::shared_ptr<grpc::Channel> CreateChannelWithOpenTelemetry(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    ClientOptions options, const grpc::ChannelArguments& arguments,
    OpenTelemetryOptions telemetry) {
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      creators;
  creators.push_back(std::make_unique<OpenTelemetryClientInterceptorFactory>(
      std::move(options), std::move(telemetry)));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, credentials, arguments, std::move(creators));
}

}  // namespace tether
