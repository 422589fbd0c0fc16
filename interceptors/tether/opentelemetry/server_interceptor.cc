// SPDX-License-Identifier: Apache-2.0

#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/server_call.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/rpc_context.h"
#include "tether/opentelemetry/interceptors.h"
#include "tether/opentelemetry/internal/bridge.h"
#include "tether/opentelemetry/internal/otel_context.h"
#include "tether/opentelemetry/internal/rpc_span.h"
#include "tether/opentelemetry/span.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/delegating.h"

namespace tether {
namespace {

namespace nostd = opentelemetry::nostd;
namespace trace = opentelemetry::trace;
using grpc::experimental::InterceptionHookPoints;
using internal::HandDown;
using internal::RpcSpan;

// Returns true if `ctx` has ended and something has seen it. Unlike
// Done(), this does not observe `ctx`, which would start a watch over each
// call.
bool HasEnded(const Context& ctx) {
  return internal::HasEnded(ctx) || ctx.Remaining() <= absl::ZeroDuration();
}

// The same, with the reason; OK if `ctx` has not ended.
absl::Status CauseIfEnded(const Context& ctx) {
  return HasEnded(ctx) ? ctx.Cause() : absl::OkStatus();
}

// A request that has arrived. Its handler may run before this is destroyed.
class Arrival {
 public:
  Arrival(trace::Tracer& tracer, grpc::experimental::ServerRpcInfo& info,
          RpcSpan& span, Context& ctx)
      : tracer_(tracer), info_(info), span_(span), ctx_(ctx) {}

  // Starts a child of the span of `ctx`, and makes it active. Returns the
  // context of the request.
  Context Begin(const Context& ctx) {
    const absl::Duration left = ctx.Remaining();
    span_.Start(tracer_, trace::SpanKind::kServer, info_.method(),
                internal::OpenTelemetryContextOf(ctx),
                left == absl::InfiniteDuration() ? std::nullopt
                                                 : std::make_optional(left));
    if (span_.IsRecording()) span_.SetPeer(info_.server_context()->peer());
    ctx_ = WithSpan(ctx, span_.span());
    active_ = ActivateSpan(ctx_);
    return ctx_;
  }

 private:
  // Members of the interceptor, which may have been destroyed when the handler
  // returns. Only Begin uses them.
  trace::Tracer& tracer_;
  grpc::experimental::ServerRpcInfo& info_;
  RpcSpan& span_;
  Context& ctx_;

  nostd::unique_ptr<opentelemetry::context::Token> active_;
};

class ServerPropagator final : public DelegatingPropagator {
 public:
  using DelegatingPropagator::DelegatingPropagator;

  Context Extract(const Carrier& carrier, const Context& ctx) const override {
    Arrival* arrival = HandDown<Arrival>::Take();
    if (arrival == nullptr) return DelegatingPropagator::Extract(carrier, ctx);
    Context extracted = ctx;
    TETHER_TRY { extracted = DelegatingPropagator::Extract(carrier, ctx); }
    TETHER_CATCH(...) {  // the request still gets a span
      internal::CountEvent(internal::RpcEvent::kException);
    }
    return arrival->Begin(extracted);
  }
};

class ServerInterceptor final : public grpc::experimental::Interceptor {
 public:
  ServerInterceptor(std::unique_ptr<grpc::experimental::Interceptor> tether,
                    grpc::experimental::ServerRpcInfo* info,
                    nostd::shared_ptr<trace::Tracer> tracer)
      : tether_(std::move(tether)), info_(info), tracer_(std::move(tracer)) {}

  // Ends the span before tether's interceptor ends the context.
  ~ServerInterceptor() override { End(nullptr); }

  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = StatusToSend(methods);
      End(&status);
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      Arrival arrival(*tracer_, *info_, span_, ctx_);
      const HandDown<Arrival> hand_down(&arrival);
      tether_->Intercept(methods);
    } else {
      tether_->Intercept(methods);
    }
    // `this` may have been destroyed.
  }

 private:
  // What tether will send: as long as the context lives, the handler's status.
  grpc::Status StatusToSend(
      grpc::experimental::InterceptorBatchMethods* methods) const {
    grpc::Status status = methods->GetSendStatus();
    if (!HasEnded(ctx_)) return status;
    return internal::StatusOfAnswer(*info_->server_context(), status);
  }

  void End(const grpc::Status* status) {
    if (!span_.ended()) span_.End(status, CauseIfEnded(ctx_));
  }

  const std::unique_ptr<grpc::experimental::Interceptor> tether_;
  grpc::experimental::ServerRpcInfo* const info_;
  const nostd::shared_ptr<trace::Tracer> tracer_;
  RpcSpan span_;
  Context ctx_;
};

}  // namespace

OpenTelemetryServerInterceptorFactory::OpenTelemetryServerInterceptorFactory(
    ServerOptions options, OpenTelemetryOptions telemetry)
    : tracer_(internal::TracerOf(telemetry.tracer_provider)),
      tether_(internal::WithWrappedPropagator<ServerPropagator>(
          std::move(options))) {}

grpc::experimental::Interceptor*
OpenTelemetryServerInterceptorFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  std::unique_ptr<grpc::experimental::Interceptor> tether(
      tether_.CreateServerInterceptor(info));
  return new ServerInterceptor(std::move(tether), info, tracer_);
}

void InstallServerWithOpenTelemetry(grpc::ServerBuilder& builder,
                                    ServerOptions options,
                                    OpenTelemetryOptions telemetry) {
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      creators;
  creators.push_back(std::make_unique<OpenTelemetryServerInterceptorFactory>(
      std::move(options), std::move(telemetry)));
  builder.experimental().SetInterceptorCreators(std::move(creators));
}

}  // namespace tether
