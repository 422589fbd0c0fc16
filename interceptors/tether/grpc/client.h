// tether on a client: one line gives every call on a channel the deadline, the
// cancellation and the values of a context.
//
//   auto channel = tether::CreateChannel(target, credentials);
//
//   auto [stock, cancel] = tether::WithTimeout(ctx, absl::Milliseconds(50));
//   tether::ClientCall call(stock);  // instead of grpc::ClientContext
//   grpc::Status status = stub->GetStock(&call, request, &reply);
//
// A plain grpc::ClientContext on such a channel works for Current().
//
// When the context ends before the call does, the call ends with StatusOf(ctx)
// (status.h): CANCELLED or DEADLINE_EXCEEDED, in whatever stage it is. A
// context that has ended already sends nothing.
//
// The message of a DEADLINE_EXCEEDED says who used the time up:
//
//   context deadline exceeded: 200ms, of which inventory.GetStock 187ms (did
//   not answer), orders.GetOrder 9ms, storefront.GetOrderPage 4ms

#ifndef TETHER_GRPC_CLIENT_H_
#define TETHER_GRPC_CLIENT_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>

#include <memory>
#include <string>

#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/grpc/call_options.h"
#include "tether/grpc/reserve.h"
#include "tether/propagation/propagator.h"
#include "tether/propagation/redact.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {

namespace internal {
class ClientCallState;
}

struct ClientOptions {
  // The values that calls carry on. Null: DefaultPropagator() (server.h).
  std::shared_ptr<const Propagator> propagator;

  // Headers, and keys of baggage, that never leave this process over the
  // channel.
  RedactOptions redact;

  // What each call keeps back of its time, for the reply.
  Reserve reserve;

  // What servers may tell of where the time went: a report beyond these limits
  // is dropped. max_bytes of 0 drops all.
  ReportLimits report_limits;
};

// A channel with tether as its only interceptor. With interceptors of your own,
// list a ClientInterceptorFactory beside them in
// grpc::experimental::CreateCustomChannelWithInterceptors.
std::shared_ptr<grpc::Channel> CreateChannel(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    ClientOptions options = {}, const grpc::ChannelArguments& arguments = {});

class ClientInterceptorFactory final
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit ClientInterceptorFactory(ClientOptions options = {});

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* info) override;

 private:
  const std::shared_ptr<const ClientOptions> options_;
};

// A grpc::ClientContext that works for a Context, whatever Current() is. For
// one call, as any ClientContext; every API style. On a channel without
// tether's interceptor, deadline and cancellation hold all the same; values
// don't cross.
//
// The call's deadline is set to the context's. set_deadline() may bring it
// forward; a later one has no effect beyond the standard grpc-timeout header.
//
// Thread safety and lifetime: as grpc::ClientContext. It isn't polymorphic:
// don't delete it through a pointer to that.
class ClientCall : public grpc::ClientContext {
 public:
  explicit ClientCall(const Context& ctx, CallOptions options = {});
  ~ClientCall();

  // What the call works for.
  const Context& context() const;

  // How the call went, once it has its status: its names, its time, its
  // outcome, who ended it, and what the server told of its own part, and of
  // those that it called (ServerOptions::report). Before that, and on a channel
  // without tether's interceptor, it is empty. Explain (tether/budget/
  // explain.h) prints it. A copy. Any thread.
  v1::CallReport report() const;

 private:
  const std::shared_ptr<internal::ClientCallState> state_;
};

// What a call works for: the context of a ClientCall; for a plain
// grpc::ClientContext, which knows of none, Current(). Any thread, while the
// call exists.
Context ContextOf(const grpc::ClientContext& call);

}  // namespace tether

#endif  // TETHER_GRPC_CLIENT_H_
