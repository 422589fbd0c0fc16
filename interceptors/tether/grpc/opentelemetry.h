// The bridge to OpenTelemetry: a span for each RPC, and one trace for both
// sides.
//
//   tether::InstallServerWithOpenTelemetry(builder);  // not InstallServer
//   auto channel = tether::CreateChannelWithOpenTelemetry(target, credentials);
//
// tether's trace and OpenTelemetry's active span are then the same:
//  - The trace that came in (TraceOf) is the parent of the server span.
//    TraceOf(ContextOf(sc)) names the server span, so logs do, too.
//  - The server span is active while a sync handler, or the handler method of
//    the callback API, runs; elsewhere ActivateSpan makes it so.
//  - A client span is the child of its context's span, or of one that was
//    started below that and is active on the thread. Without a trace in the
//    context it is the child of the thread's active span.
//  - The headers of a call name its client span.
//
// Needs OpenTelemetry's API alone (1.19), which is headers. Where a program has
// no SDK, nothing is recorded, and all else is as without the bridge.
//
// Spans have the names and attributes of OpenTelemetry's conventions for gRPC
// (https://opentelemetry.io/docs/specs/semconv/rpc/grpc/): rpc.system,
// rpc.service, rpc.method, rpc.grpc.status_code, network.peer.address and
// .port; and of tether's own
//   tether.budget.remaining_us  (server; int) the time left when the request
//                               arrived, in microseconds. None: no deadline.
//   tether.cause                (string) why the context ended, where it did so
//                               before the RPC: "CANCELLED: the user left". For
//                               a sync or async server only where something
//                               observed the context; a call on its behalf
//                               does.
// The status of a span is an error as the conventions say: on a client for all
// codes but OK; on a server for those that are its fault. A span whose RPC was
// abandoned has an error, and no code.

#ifndef TETHER_GRPC_OPENTELEMETRY_H_
#define TETHER_GRPC_OPENTELEMETRY_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "opentelemetry/context/propagation/global_propagator.h"
#include "opentelemetry/context/propagation/text_map_propagator.h"
#include "opentelemetry/context/runtime_context.h"
#include "opentelemetry/nostd/shared_ptr.h"
#include "opentelemetry/nostd/unique_ptr.h"
#include "opentelemetry/trace/span.h"
#include "opentelemetry/trace/tracer.h"
#include "opentelemetry/trace/tracer_provider.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/propagator.h"

namespace tether {

struct OpenTelemetryOptions {
  // Where spans go. Null: to the global provider, as it is when the server or
  // the channel is made: set it before.
  opentelemetry::nostd::shared_ptr<opentelemetry::trace::TracerProvider>
      tracer_provider;
};

// InstallServer (server.h), with the bridge.
TETHER_EXPORT void InstallServerWithOpenTelemetry(
    grpc::ServerBuilder& builder, ServerOptions options = {},
    OpenTelemetryOptions telemetry = {});

// CreateChannel (client.h), with the bridge.
TETHER_EXPORT std::shared_ptr<grpc::Channel> CreateChannelWithOpenTelemetry(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    ClientOptions options = {}, const grpc::ChannelArguments& arguments = {},
    OpenTelemetryOptions telemetry = {});

// The span that `ctx` works in; never null. Of a trace that came from another
// process, or from WithTrace, it is one that records nothing; so is the one of
// a context without a trace, whose span context isn't valid either.
TETHER_EXPORT opentelemetry::nostd::shared_ptr<opentelemetry::trace::Span>
SpanOf(const Context& ctx);

// A child of `parent` that works in `span`; TraceOf names it. `parent` itself
// where `span` is null or has no valid span context (there is no SDK). Neither
// makes the span active nor ends it.
TETHER_EXPORT Context
WithSpan(const Context& parent,
         opentelemetry::nostd::shared_ptr<opentelemetry::trace::Span> span);

// Makes the span of `ctx` OpenTelemetry's active one, on this thread, for as
// long as what it returns lives; without a span in `ctx`, none is active then.
// For threads that work for a request. Keep it in a local variable: it must be
// destroyed on the same thread, as an opentelemetry::trace::Scope.
//
//   pool.Schedule([ctx] {
//     const auto active = tether::ActivateSpan(ctx);
//     ...
//   });
[[nodiscard]] TETHER_EXPORT
    opentelemetry::nostd::unique_ptr<opentelemetry::context::Token>
    ActivateSpan(const Context& ctx);

// What InstallServerWithOpenTelemetry registers: ServerInterceptorFactory
// (server.h) with the bridge. With interceptors of your own, list it last, in
// the place of ServerInterceptorFactory, and not beside that: then it sees
// requests first, and the hooks of the others run in the server span.
class TETHER_EXPORT OpenTelemetryServerInterceptorFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit OpenTelemetryServerInterceptorFactory(
      ServerOptions options = {}, OpenTelemetryOptions telemetry = {});

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  const opentelemetry::nostd::shared_ptr<opentelemetry::trace::Tracer> tracer_;
  ServerInterceptorFactory tether_;
};

// What CreateChannelWithOpenTelemetry registers: ClientInterceptorFactory
// (client.h) with the bridge. With interceptors of your own, list it in the
// place of ClientInterceptorFactory, and not beside that. Those that are listed
// before it can set headers of their own in the place of the bridge's.
class TETHER_EXPORT OpenTelemetryClientInterceptorFactory final
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit OpenTelemetryClientInterceptorFactory(
      ClientOptions options = {}, OpenTelemetryOptions telemetry = {});

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* info) override;

 private:
  const opentelemetry::nostd::shared_ptr<opentelemetry::trace::Tracer> tracer_;
  ClientInterceptorFactory tether_;
};

// One of OpenTelemetry's propagators as one of tether's: for its baggage, B3 or
// Jaeger headers, or whatever the program has set as the global one.
//
// What it extracts is kept in the context: the span context is the trace
// (TraceOf, SpanOf), and with the baggage it is active after ActivateSpan, and
// in a server's handler. Inject has the span of the context written; with the
// bridge, that is the client span.
//
// A header that came several times is read as one, joined with commas. Headers
// that gRPC can't send are left out, and counted; what OpenTelemetry itself
// drops isn't known.
//
// Thread safety: any thread, as OpenTelemetry's propagators are meant to be.
//
// Example:
//
//   tether::ServerOptions options;
//   options.propagator = std::make_shared<tether::OpenTelemetryPropagator>();
class TETHER_EXPORT OpenTelemetryPropagator final : public Propagator {
 public:
  using TextMapPropagator =
      opentelemetry::context::propagation::TextMapPropagator;

  // By default, the global one as it is now. Not null.
  explicit OpenTelemetryPropagator(
      opentelemetry::nostd::shared_ptr<TextMapPropagator> propagator =
          opentelemetry::context::propagation::GlobalTextMapPropagator::
              GetGlobalPropagator());

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;
  std::vector<std::string_view> Fields() const override;
  int64_t Dropped() const override;

 private:
  const opentelemetry::nostd::shared_ptr<TextMapPropagator> propagator_;
  const std::vector<std::string> fields_;
  mutable std::atomic<int64_t> dropped_{0};
};

}  // namespace tether

#endif  // TETHER_GRPC_OPENTELEMETRY_H_
