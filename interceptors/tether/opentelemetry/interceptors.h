// SPDX-License-Identifier: Apache-2.0
//
// Connects tether to OpenTelemetry: each RPC gets a span, and the two share one
// trace.
//
//   tether::InstallServerWithOpenTelemetry(builder);  // not InstallServer
//   auto channel = tether::CreateChannelWithOpenTelemetry(target, credentials);
//
// tether's trace and OpenTelemetry's active span are then the same:
//  - The trace that arrived (TraceOf) is the parent of the server span.
//    TraceOf(ContextOf(sc)) names the server span, so log lines name it, too.
//  - The server span is active while a sync handler, or the handler method of
//    the callback API, runs. Elsewhere, call ActivateSpan.
//  - A client span is the child of its context's span, or of a span that was
//    started below that one and is active on the thread. If the context has no
//    trace, the client span is the child of the thread's active span.
//  - The headers of a call carry the id of its client span.
//
// Needs only OpenTelemetry's API (1.19), which consists of headers. In a
// program without the SDK nothing is recorded, and everything else works as
// without the bridge.
//
// Spans have the names and attributes of OpenTelemetry's conventions for gRPC,
// version 1.37:
// https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/rpc/grpc.md
// They are rpc.system, rpc.service, rpc.method, rpc.grpc.status_code,
// network.peer.address and network.peer.port. tether adds
//   tether.budget.remaining_us  (server; int) the time left when the request
//                               arrived, in microseconds. Missing if there is
//                               no deadline.
//   tether.cause                (string) why the context ended, if it ended
//                               before the RPC: "CANCELLED: the user left". On
//                               sync and async servers it is set only if
//                               something observed the context, such as a call
//                               on its behalf.
// The status of a span follows the conventions. On a client, every code except
// OK is an error; on a server, only the codes that are the server's fault. The
// span of an abandoned RPC is an error without a code.

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
  // Receives the spans. If null, the provider that is global when the server or
  // the channel is made; so set the global provider first.
  opentelemetry::nostd::shared_ptr<opentelemetry::trace::TracerProvider>
      tracer_provider;
};

// Like InstallServer (server.h), with the bridge.
TETHER_EXPORT void InstallServerWithOpenTelemetry(
    grpc::ServerBuilder& builder, ServerOptions options = {},
    OpenTelemetryOptions telemetry = {});

// Like CreateChannel (client.h), with the bridge.
TETHER_EXPORT std::shared_ptr<grpc::Channel> CreateChannelWithOpenTelemetry(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    ClientOptions options = {}, const grpc::ChannelArguments& arguments = {},
    OpenTelemetryOptions telemetry = {});

// Like ServerInterceptorFactory (server.h), with the bridge.
// InstallServerWithOpenTelemetry registers it. If you have interceptors of your
// own, list this one last, instead of ServerInterceptorFactory: then it sees
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

// Like ClientInterceptorFactory (client.h), with the bridge.
// CreateChannelWithOpenTelemetry registers it. If you have interceptors of your
// own, list this one instead of ClientInterceptorFactory. Interceptors that are
// listed before it can set headers that replace the bridge's.
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
