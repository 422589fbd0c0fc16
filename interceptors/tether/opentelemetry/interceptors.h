// SPDX-License-Identifier: Apache-2.0
//
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

#ifndef TETHER_OPENTELEMETRY_INTERCEPTORS_H_
#define TETHER_OPENTELEMETRY_INTERCEPTORS_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>

#include <memory>
#include <string>

#include "opentelemetry/nostd/shared_ptr.h"
#include "opentelemetry/trace/tracer.h"
#include "opentelemetry/trace/tracer_provider.h"
#include "tether/export.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"

namespace tether {

struct OpenTelemetryOptions {
  // Receives the spans. Null: the global provider at the moment when the server
  // or the channel is made, so set that one first.
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

// ServerInterceptorFactory (server.h) with the bridge.
// InstallServerWithOpenTelemetry registers it. With interceptors of your own,
// list it last, instead of ServerInterceptorFactory: then it sees requests
// first, and the hooks of the others run in the server span.
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

// ClientInterceptorFactory (client.h) with the bridge.
// CreateChannelWithOpenTelemetry registers it. With interceptors of your own,
// list it instead of ClientInterceptorFactory. Interceptors that are listed
// before it can set headers that replace the bridge's.
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

}  // namespace tether

#endif  // TETHER_OPENTELEMETRY_INTERCEPTORS_H_
