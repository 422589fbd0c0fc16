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

#include <cstddef>
#include <memory>
#include <string>

#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/grpc/call_options.h"
#include "tether/grpc/reserve.h"
#include "tether/propagation/propagator.h"
#include "tether/propagation/redact.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {

struct ClientOptions {
  // The values that calls carry on. Null: DefaultPropagator()
  // (tether/propagation/default.h).
  std::shared_ptr<const Propagator> propagator = nullptr;

  // Headers, and keys of baggage, that never leave this process over the
  // channel.
  RedactOptions redact = {};

  // What each call keeps back of its time, for the reply.
  Reserve reserve = {};

  // What servers may tell of where the time went: a report beyond these limits
  // is dropped. max_bytes of 0 drops all.
  ReportLimits report_limits = {};
};

namespace internal {
struct TETHER_EXPORT ChannelMaker {
  std::shared_ptr<grpc::Channel> operator()(
      const std::string& target,
      const std::shared_ptr<grpc::ChannelCredentials>& credentials,
      ClientOptions options = {},
      const grpc::ChannelArguments& arguments = {}) const;
};
}  // namespace internal

// CreateChannel(target, credentials, options = {}, arguments = {}): a channel
// with tether as its only interceptor. With interceptors of your own, list a
// ClientInterceptorFactory beside them in
// grpc::experimental::CreateCustomChannelWithInterceptors.
//
// Called like a function. It is an object so that, after `using namespace
// tether`, the compiler doesn't consider gRPC's function of the same name,
// which it would find by the types of the arguments.
inline constexpr internal::ChannelMaker CreateChannel{};

// One serves a call. Where several are on a channel, as when one is registered
// by grpc::experimental::RegisterGlobalClientInterceptorFactory, too, the
// others step aside.
class TETHER_EXPORT ClientInterceptorFactory final
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
// Thread safety and lifetime: as grpc::ClientContext.
//
// That has no virtual destructor, so nobody may delete a ClientCall through a
// pointer to it, as a std::unique_ptr<grpc::ClientContext> would. Therefore
// `new ClientCall` and std::make_unique<ClientCall> don't compile. Put it on
// the stack, into another object, a std::optional, a container, or
// std::make_shared<ClientCall>(ctx): a std::shared_ptr<grpc::ClientContext> of
// that knows what to delete.
class TETHER_EXPORT ClientCall : public grpc::ClientContext {
 public:
  explicit ClientCall(const Context& ctx, CallOptions options = {});
  ~ClientCall();

  // See above.
  static void* operator new(size_t) = delete;
  static void* operator new[](size_t) = delete;
  static void* operator new(size_t, void* place) noexcept { return place; }

  // What the call works for.
  const Context& context() const;

  // How the call went, once it has its status: its names, its time, its
  // outcome, who ended it, and what the server told of its own part, and of
  // those that it called (ServerOptions::report). Before that, and on a channel
  // without tether's interceptor, it is empty. Explain (tether/budget/
  // explain.h) prints it. A copy. Any thread.
  v1::CallReport report() const;

  // It has no members: what it knows is found by its address, and goes with the
  // ClientContext.
};

// What a call works for: the context of a ClientCall. Of a plain
// grpc::ClientContext, that which was Current() when the call was made; before
// that, and on a channel without tether's interceptor, Current(). Any thread,
// while the call exists.
TETHER_EXPORT Context ContextOf(const grpc::ClientContext& call);

}  // namespace tether

#endif  // TETHER_GRPC_CLIENT_H_
