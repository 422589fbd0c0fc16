#include "tether/grpc/opentelemetry.h"

#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "opentelemetry/trace/provider.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/opentelemetry_context.h"
#include "tether/grpc/internal/rpc_span.h"
#include "tether/grpc/status.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/rpc_context.h"
#include "tether/propagation/b3.h"
#include "tether/propagation/default.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

namespace nostd = opentelemetry::nostd;
namespace trace = opentelemetry::trace;
using grpc::experimental::InterceptionHookPoints;
using internal::RpcSpan;

nostd::shared_ptr<trace::Tracer> TracerOf(
    const OpenTelemetryOptions& telemetry) {
  const auto provider = telemetry.tracer_provider == nullptr
                            ? trace::Provider::GetTracerProvider()
                            : telemetry.tracer_provider;
  return provider->GetTracer("tether");
}

// Why `ctx` has ended; OK where it has not, or where nobody has looked. Unlike
// Cause() it doesn't look itself: that would start a watch over each call.
absl::Status CauseIfEnded(const Context& ctx) {
  if (!internal::HasEnded(ctx) && ctx.Remaining() > absl::ZeroDuration()) {
    return absl::OkStatus();
  }
  return ctx.Cause();
}

// What an interceptor hands down the stack to tether's propagator, which tether
// calls within the same hook: an interceptor can't pass it a parameter. The
// application's code may run within the hook, too, so it is taken only once.
template <typename T>
class HandDown {
 public:
  explicit HandDown(T* what) : outer_(std::exchange(current_, what)) {}
  ~HandDown() { current_ = outer_; }
  HandDown(const HandDown&) = delete;
  HandDown& operator=(const HandDown&) = delete;

  // Null when there is none.
  static T* Take() { return std::exchange(current_, nullptr); }

 private:
  static thread_local T* current_;
  T* const outer_;
};

template <typename T>
thread_local T* HandDown<T>::current_ = nullptr;

// A request that has arrived, and whose handler may run before this goes.
class Arrival {
 public:
  Arrival(trace::Tracer& tracer, grpc::experimental::ServerRpcInfo& info,
          RpcSpan& span, Context& ctx)
      : tracer_(tracer), info_(info), span_(span), ctx_(ctx) {}

  // Starts the span below that of `ctx`, and makes it active. Returns the
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
  // Of the interceptor, which may be gone when the handler has returned: for
  // Begin alone.
  trace::Tracer& tracer_;
  grpc::experimental::ServerRpcInfo& info_;
  RpcSpan& span_;
  Context& ctx_;

  nostd::unique_ptr<opentelemetry::context::Token> active_;
};

class ServerPropagator final : public Propagator {
 public:
  explicit ServerPropagator(std::shared_ptr<const Propagator> inner)
      : inner_(std::move(inner)) {}

  Context Extract(const Carrier& carrier, const Context& ctx) const override {
    Arrival* arrival = HandDown<Arrival>::Take();
    if (arrival == nullptr) return inner_->Extract(carrier, ctx);
    Context extracted = ctx;
    TETHER_TRY { extracted = inner_->Extract(carrier, ctx); }
    TETHER_CATCH(...) {  // the request has a span all the same
      internal::counters.exceptions.fetch_add(1, std::memory_order_relaxed);
    }
    return arrival->Begin(extracted);
  }
  void Inject(const Context& ctx, Carrier& carrier) const override {
    inner_->Inject(ctx, carrier);
  }
  std::vector<std::string_view> Fields() const override {
    return inner_->Fields();
  }
  int64_t Dropped() const override { return inner_->Dropped(); }

 private:
  const std::shared_ptr<const Propagator> inner_;
};

class ServerInterceptor final : public grpc::experimental::Interceptor {
 public:
  ServerInterceptor(std::unique_ptr<grpc::experimental::Interceptor> tether,
                    grpc::experimental::ServerRpcInfo* info,
                    nostd::shared_ptr<trace::Tracer> tracer)
      : tether_(std::move(tether)), info_(info), tracer_(std::move(tracer)) {}

  // Before tether's, which ends the context.
  ~ServerInterceptor() override { End(nullptr); }

  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
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
    // `this` may be gone.
  }

 private:
  void End(const grpc::Status* status) {
    if (!span_.ended()) span_.End(status, CauseIfEnded(ctx_));
  }

  const std::unique_ptr<grpc::experimental::Interceptor> tether_;
  grpc::experimental::ServerRpcInfo* const info_;
  const nostd::shared_ptr<trace::Tracer> tracer_;
  RpcSpan span_;
  Context ctx_;
};

// The headers of a call. tether's propagators draw a new span id for each; here
// the call has a span, whose id they write then, and the id of its parent.
class CallCarrier final : public Carrier {
 public:
  // `parent_id`: "" if the span is the first of its trace.
  CallCarrier(Carrier& carrier, const TraceContext& span, std::string parent_id)
      : carrier_(carrier),
        span_(span),
        span_id_(span.SpanIdHex()),
        parent_id_(std::move(parent_id)) {}

  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override {
    // What the propagator believes to have written.
    if (replaced_ && index == 0 && key == kTraceParentHeader) return given_;
    return carrier_.Get(key, index);
  }

  void Set(std::string_view key, std::string_view value) override {
    if (key == kTraceParentHeader) {
      const std::string header = FormatTraceParent(span_);
      carrier_.Set(key, header);
      given_ = std::string(value);
      replaced_ = carrier_.Get(key, 0) == header;
    } else if (key == kB3Header) {
      carrier_.Set(key, SingleB3(value));
    } else if (key == kB3SpanIdHeader) {
      carrier_.Set(key, span_id_);
    } else if (key == kB3ParentSpanIdHeader) {
      if (!parent_id_.empty()) carrier_.Set(key, parent_id_);
    } else {
      carrier_.Set(key, value);
    }
  }
  bool Add(std::string_view key, std::string_view value) override {
    return carrier_.Add(key, value);
  }
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override {
    carrier_.ForEachKey(visit);
  }

 private:
  // traceid-spanid[-sampled[-parentspanid]]
  std::string SingleB3(std::string_view value) const {
    std::vector<std::string> parts =
        absl::StrSplit(absl::string_view(value.data(), value.size()), '-');
    if (parts.size() < 2) return std::string(value);
    parts[1] = span_id_;
    if (parts.size() == 4) parts[3] = parent_id_;
    if (parts.back().empty()) parts.pop_back();
    return absl::StrJoin(parts, "-");
  }

  Carrier& carrier_;
  const TraceContext& span_;
  const std::string span_id_;
  const std::string parent_id_;
  std::string given_;
  bool replaced_ = false;
};

class ClientPropagator final : public Propagator {
 public:
  explicit ClientPropagator(std::shared_ptr<const Propagator> inner)
      : inner_(std::move(inner)) {}

  void Inject(const Context& ctx, Carrier& carrier) const override {
    const RpcSpan* span = HandDown<const RpcSpan>::Take();
    if (span == nullptr || !span->span()->GetContext().IsValid()) {
      return inner_->Inject(ctx, carrier);
    }
    const Context call_ctx = WithSpan(ctx, span->span());
    CallCarrier call_carrier(carrier, *TraceOf(call_ctx), span->ParentIdHex());
    inner_->Inject(call_ctx, call_carrier);
  }
  Context Extract(const Carrier& carrier, const Context& ctx) const override {
    return inner_->Extract(carrier, ctx);
  }
  std::vector<std::string_view> Fields() const override {
    return inner_->Fields();
  }
  size_t MaxInjectBytes(const Context& ctx) const override {
    return inner_->MaxInjectBytes(ctx);
  }
  int64_t Dropped() const override { return inner_->Dropped(); }

 private:
  const std::shared_ptr<const Propagator> inner_;
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

  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_STATUS)) {
      End(*methods->GetRecvStatus());
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      const HandDown<const RpcSpan> hand_down(&span_);
      tether_->Intercept(methods);
    } else {
      tether_->Intercept(methods);
    }
    // `this` may be gone.
  }

 private:
  void End(const grpc::Status& status) {
    if (span_.IsRecording()) span_.SetPeer(info_->client_context()->peer());
    const grpc::StatusCode code = status.error_code();
    if (code != grpc::StatusCode::CANCELLED &&
        code != grpc::StatusCode::DEADLINE_EXCEEDED) {
      return span_.End(&status, absl::OkStatus());
    }
    // The application will see the context's reason, where it has one, also
    // where core's timer is a little ahead of it: see client_call_state.cc.
    const grpc::Status reason = StatusOf(ctx_);
    absl::Status cause = ctx_.Cause();
    if (reason.ok() && code == grpc::StatusCode::DEADLINE_EXCEEDED &&
        ctx_.Remaining() < absl::Milliseconds(2)) {
      cause = absl::DeadlineExceededError("context deadline exceeded");
    }
    span_.End(reason.ok() ? &status : &reason, cause);
  }

  const std::unique_ptr<grpc::experimental::Interceptor> tether_;
  grpc::experimental::ClientRpcInfo* const info_;
  const Context ctx_;
  RpcSpan span_;
};

template <typename WithBridge, typename Options>
Options Bridged(Options options) {
  if (options.propagator == nullptr) options.propagator = DefaultPropagator();
  options.propagator =
      std::make_shared<WithBridge>(std::move(options.propagator));
  return options;
}

}  // namespace

OpenTelemetryServerInterceptorFactory::OpenTelemetryServerInterceptorFactory(
    ServerOptions options, OpenTelemetryOptions telemetry)
    : tracer_(TracerOf(telemetry)),
      tether_(Bridged<ServerPropagator>(std::move(options))) {}

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

OpenTelemetryClientInterceptorFactory::OpenTelemetryClientInterceptorFactory(
    ClientOptions options, OpenTelemetryOptions telemetry)
    : tracer_(TracerOf(telemetry)),
      tether_(Bridged<ClientPropagator>(std::move(options))) {}

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
