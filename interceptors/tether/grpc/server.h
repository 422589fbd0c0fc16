// tether on a server: one line gives every handler a context that ends when its
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
// Handlers of any API may use ContextOf. During a sync handler, and during the
// handler method of the callback API, the context is also Current(); reactions
// of a callback handler run on other threads: carry it with Bind.

#ifndef TETHER_GRPC_SERVER_H_
#define TETHER_GRPC_SERVER_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>

#include <memory>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/grpc/server_options.h"
#include "tether/propagation/propagator.h"

namespace tether {

namespace internal {
class ServerShared;
}

// Registers tether as the server's only interceptor: it replaces creators set
// before, and is replaced by ones set after. With interceptors of your own,
// list a ServerInterceptorFactory last beside them.
TETHER_EXPORT void InstallServer(grpc::ServerBuilder& builder,
                                 ServerOptions options = {});

// For ServerBuilder::experimental().SetInterceptorCreators. Put it last in the
// list, so that it sees requests first: then ContextOf works in the hooks of
// the others too. Of several in one list the last serves the calls; the others
// step aside.
class TETHER_EXPORT ServerInterceptorFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit ServerInterceptorFactory(ServerOptions options = {});
  ~ServerInterceptorFactory() override;

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  std::shared_ptr<internal::ServerShared> shared_;
};

// Shuts a server down in three steps. It takes no new requests from now on.
// After `grace`, `cancel_base_context` (the CancelFunc of
// ServerOptions::base_context) ends the contexts of the requests that still
// run; their Cause() is CANCELLED "the server is shutting down". After
// `cancel_grace` more, gRPC cuts off the handlers that have not returned.
//
// When this function returns, the base context has ended and
// grpc::Server::Shutdown has returned.
//
//   auto [base, cancel_base] = tether::WithCancel(tether::Background());
//   tether::ServerOptions options;
//   options.base_context = base;
//   …
//   tether::ShutdownServer(*server, cancel_base, absl::Seconds(5));
//
// grpc::Server::Shutdown alone also ends the contexts when its deadline has
// passed, but the interceptors can't tell that from callers that vanish.
TETHER_EXPORT void ShutdownServer(
    grpc::Server& server, const CancelFunc& cancel_base_context,
    absl::Duration grace,
    absl::Duration cancel_grace = absl::Milliseconds(100));

// The context of the request that `server_context` serves, with its deadline
// (the earliest of grpc-timeout, tether-timeout-us and the server's
// max_timeout), its values, and its end; EndReasonOf (tether/end_reason.h)
// tells who ended it. Background() when tether isn't installed, or before the
// request has arrived. Any thread, while the server context exists. Work that
// goes on after the handler uses WithoutCancel(ContextOf(…)).
//
// When a Read() or Write() of the handler's has failed because the call is over
// (an async one: when its tag is delivered with false), the context is done: so
// the end of a caller's messages can be told from a caller that left.
//
//   while (reader->Read(&part)) …
//   if (ctx.Done()) return tether::StatusOf(ctx);  // not all has come
//
// (Of a message that gRPC itself refuses, since it is too large or can't be
// parsed, Read() says no more than of the last one.)
//
// The context also ends when the handler has sent its status, so its AfterFunc
// callbacks run, too, within a callback or async handler's own Finish(). A
// callback that finishes the RPC must see to it that only one of the two does;
// and it may run before the Registration that it is kept in has been assigned.
// For the callback API, Finisher (tether/grpc/finisher.h) does all that.
TETHER_EXPORT Context ContextOf(const grpc::ServerContextBase& server_context);

}  // namespace tether

#endif  // TETHER_GRPC_SERVER_H_
