// SPDX-License-Identifier: Apache-2.0
//
// tether on a client. Every call on a channel that CreateChannel makes has the
// deadline, the cancellation and the values of a context.
//
//   auto channel = tether::CreateChannel(target, credentials);
//
//   auto [stock, cancel] = tether::WithTimeout(ctx, absl::Milliseconds(50));
//   tether::ClientCall call(stock);  // instead of grpc::ClientContext
//   grpc::Status status = stub->GetStock(&call, request, &reply);
//
// A plain grpc::ClientContext on such a channel works for Current().
//
// If the context ends during the call, the call ends at once, at any stage,
// with the message of StatusOf(ctx) (status.h) and the code of ctx.Err():
// CANCELLED or DEADLINE_EXCEEDED. If it ended before the call, nothing is sent.
//
// The message of a DEADLINE_EXCEEDED lists the hops that used the time:
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

#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/export.h"
#include "tether/grpc/call_options.h"
#include "tether/grpc/client_options.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {

namespace internal {
class ClientCallState;
struct ClientChannel;
template <typename T>
class Spread;

struct TETHER_EXPORT ChannelMaker {
  std::shared_ptr<grpc::Channel> operator()(
      const std::string& target,
      const std::shared_ptr<grpc::ChannelCredentials>& credentials,
      ClientOptions options = {},
      const grpc::ChannelArguments& arguments = {}) const;
};
}  // namespace internal

// CreateChannel(target, credentials, options = {}, arguments = {}): a channel
// whose only interceptor is tether's. To add your own interceptors, list a
// ClientInterceptorFactory among them in
// grpc::experimental::CreateCustomChannelWithInterceptors. gRPC passes calls
// through the list from its start, and statuses from its end. ContextOf(call)
// works in both orders.
//
//   the list       your interceptor sees
//   yours, tether  none of tether's headers; the status that the caller gets,
//                  with the context's reason and the hops that used the time
//   tether, yours  the headers that tether writes; the status as gRPC has
//                  received it
//
// Call it like a function. It is an object, so that after `using namespace
// tether` the call isn't ambiguous with gRPC's function of the same name, which
// argument-dependent lookup would find.
inline constexpr internal::ChannelMaker CreateChannel{};

// Makes the interceptor that CreateChannel installs. If a channel has several
// of them, for example a second one from
// grpc::experimental::RegisterGlobalClientInterceptorFactory, only one serves
// each call; the others do nothing.
class TETHER_EXPORT ClientInterceptorFactory final
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit ClientInterceptorFactory(ClientOptions options = {});

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* info) override;

 private:
  friend struct internal::ChannelMaker;

  const std::shared_ptr<
      const internal::Spread<std::shared_ptr<internal::ClientChannel>>>
      channel_;
  // Only for channels with a connectivity state: others log an error if asked.
  bool asks_state_ = false;
};

// A grpc::ClientContext that works for the given Context, whatever Current()
// is. Like any ClientContext it serves one call, of any API style. On a channel
// without tether's interceptor, the deadline and the cancellation still apply,
// but no values are sent.
//
// The call's deadline is set to the context's. set_deadline() can bring it
// forward. A later deadline changes only the standard grpc-timeout header.
//
// Thread safety and lifetime: as grpc::ClientContext.
//
// grpc::ClientContext has no virtual destructor, so a ClientCall must not be
// deleted through a pointer to its base, as a
// std::unique_ptr<grpc::ClientContext> would do. Therefore `new ClientCall` and
// std::make_unique<ClientCall> don't compile. Put it on the stack, into another
// object, a std::optional or a container, or use
// std::make_shared<ClientCall>(ctx): a std::shared_ptr<grpc::ClientContext>
// made from it deletes it correctly.
class TETHER_EXPORT ClientCall : public grpc::ClientContext {
 public:
  explicit ClientCall(const Context& ctx, CallOptions options = {});
  ~ClientCall();

  // See above.
  static void* operator new(size_t) = delete;
  static void* operator new[](size_t) = delete;
  static void* operator new(size_t, void* place) noexcept { return place; }

  // The context that the call works for: with CallOptions::detached, one
  // without deadline and cancellation.
  const Context& context() const;

  // Describes the call, once its status has arrived: its names, time and
  // outcome, what ended it, and what the server reported about itself and its
  // own calls (ServerOptions::report). Empty before that, and on a channel
  // without tether's interceptor. Explain (tether/budget/explain.h) prints it.
  // Returns a copy. Any thread.
  v1::CallReport report() const;

 private:
  static constexpr size_t kStateBytes = 704;

  friend EndReason EndReasonOf(const ClientCall& call);

  internal::ClientCallState& state();
  const internal::ClientCallState& state() const;

  // The state of the call, which is also the interceptor of its RPC
  // (internal/client_call_state.h). Raw bytes, because gRPC destroys the
  // interceptor in ~ClientContext, so after ~ClientCall.
  alignas(std::max_align_t) unsigned char state_[kStateBytes];
};

// What ended `call`, once its status has arrived. `call.report()` and the
// message of the status agree with it.
//
//  - kOwnTimeout, kInheritedDeadline: the deadline of the call has passed: one
//    that this process has set, or the one that came with the request for which
//    the call was made. It doesn't matter who noticed first: this side, or the
//    callee, which has less time (Reserve). If it was the callee,
//    `call.context()` is still live. A callee is not believed while more than
//    half of the call's time is left, besides the reserve.
//  - kCompleted: the server answered, successfully or not. DEADLINE_EXCEEDED
//    with kCompleted is the callee's own: a limit of the server, or a timeout
//    that it gave to one of its calls. `call` had time left.
//  - kConnectionLost: UNAVAILABLE that no server sent.
//  - kCancelled, if the application called TryCancel; otherwise the reason of
//    the context that was cancelled (EndReasonOf(call.context())).
//  - kNone: no status has arrived yet, or the channel has no interceptor of
//    tether's.
//
// Whose deadline it was is exact if the callee reports (ServerOptions::report)
// or if this side noticed. Otherwise an answer of DEADLINE_EXCEEDED counts as
// the call's deadline if the time that the callee was given is over.
//
// Thread safety: any thread, while `call` exists.
TETHER_EXPORT EndReason EndReasonOf(const ClientCall& call);

// The context that `call` works for: a ClientCall's context(); for a plain
// grpc::ClientContext, the context that was Current() when the call was made.
// Before that, and on a channel without tether's interceptor, it returns
// Current(). Any thread, while `call` exists.
TETHER_EXPORT Context ContextOf(const grpc::ClientContext& call);

}  // namespace tether

#endif  // TETHER_GRPC_CLIENT_H_
