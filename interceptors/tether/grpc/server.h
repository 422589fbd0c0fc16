// SPDX-License-Identifier: Apache-2.0
//
// tether on a server: one line gives every handler a context. It ends when the
// caller leaves, when the caller's deadline passes, and when the handler
// returns.
//
//   grpc::ServerBuilder builder;
//   builder.AddListeningPort(…).RegisterService(…);
//   tether::InstallServer(builder);
//
//   grpc::Status GetOrder(grpc::ServerContext* sc, const GetOrderRequest*,
//                         Order* order) override {
//     tether::Context ctx = tether::ContextOf(*sc);
//     while (!ctx.Done()) …
//   }
//
// Handlers of every API style may use ContextOf. During a sync handler, and
// during the handler method of the callback API, the context is also Current().
// The reactions of a callback handler run on other threads; use Bind to carry
// the context there.

#ifndef TETHER_GRPC_SERVER_H_
#define TETHER_GRPC_SERVER_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>

#include <memory>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/grpc/server_options.h"
#include "tether/grpc/shutdown.h"

namespace tether {

namespace internal {
class ServerState;
template <typename T>
class Spread;
}  // namespace internal

// Registers tether as the server's only interceptor: it replaces interceptor
// creators that were set before, and ones that are set later replace it
// (IsInstalled is false then). If you have interceptors of your own, use a
// ServerInterceptorFactory instead.
TETHER_EXPORT void InstallServer(grpc::ServerBuilder& builder,
                                 ServerOptions options = {});

// For ServerBuilder::experimental().SetInterceptorCreators. Put it last in the
// list: gRPC passes requests through the list from its end, and replies from
// its start. If the list has several of these, the last one serves the calls
// and the others do nothing.
//
//   the list       your interceptor sees
//   yours, tether  the request's context, until the status has been sent
//   tether, yours  on arrival no context (ContextOf returns Background()); with
//                  the status, the ended context and the header of the report
class TETHER_EXPORT ServerInterceptorFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit ServerInterceptorFactory(ServerOptions options = {});
  ~ServerInterceptorFactory() override;

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  std::shared_ptr<
      const internal::Spread<std::shared_ptr<internal::ServerState>>>
      server_;
};

// Returns the context of the request that `server_context` serves: its values,
// its end, and its deadline, which is the earliest of grpc-timeout,
// tether-timeout and the server's max_timeout (or its default_timeout, if
// the request brings none). EndReasonOf (tether/end_reason.h) says why it
// ended. Returns Background() if tether isn't installed, if the request has not
// arrived yet, or if it is over. That is counted
// (GrpcStats::contexts_not_found), and the first time in the process it is told
// to the WarningHandler (tether/grpc/warnings.h).
//
// Thread safety: any thread, while the server context exists. Work that
// continues after the handler uses WithoutCancel(ContextOf(…)).
//
// If a Read() or Write() of the handler fails because the call is over, the
// context is done (for an async operation: when its tag is delivered with
// false). So a handler can distinguish the end of the caller's messages from a
// caller that left:
//
//   while (reader->Read(&part)) …
//   if (ctx.Done()) return tether::StatusOf(ctx);  // some are missing
//
// (If gRPC itself refuses a message, because it is too large or can't be
// parsed, Read() looks the same as after the last message.)
//
// The context also ends when the handler has sent its status. So in a callback
// or async handler the AfterFunc callbacks also run within the handler's own
// Finish(). A callback that finishes the RPC must make sure that only one of
// the two does so, and it may run before AfterFunc returns its Registration. In
// the callback API, Finisher (tether/grpc/finisher.h) takes care of both.
//
// A handler may return early, while calls or threads that it started still use
// the context. They are cancelled then: Cause() is CANCELLED, and EndReasonOf
// is kCompleted.
TETHER_EXPORT Context ContextOf(const grpc::ServerContextBase& server_context);

// True if ContextOf(server_context) finds the request's context. In a handler,
// false means that the server lacks tether: InstallServer was forgotten, or a
// later SetInterceptorCreators has replaced it. Counts and warns about nothing.
// Any thread, while the server context exists.
TETHER_EXPORT bool IsInstalled(const grpc::ServerContextBase& server_context);

}  // namespace tether

#endif  // TETHER_GRPC_SERVER_H_
