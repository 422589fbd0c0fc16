// SPDX-License-Identifier: Apache-2.0
//
// One call on a channel without tether's interceptor: for proxies, engines of
// one's own, and frameworks that make their channels themselves. The call gets
// what CreateChannel and ClientCall (client.h) give: the context's deadline,
// cancellation and values, a status that names the hops that used the time, and
// a place in the report of the request for which it is made.
//
// IncomingCall (incoming_call.h) is the same for servers.
//
//   CallClient client(options);                    // once per channel
//
//   grpc::ClientContext rpc;
//   OutgoingCall call(ctx, rpc, method, client);   // before the stub's call
//   auto stream = stub.PrepareCall(&rpc, method, &queue);
//   call.OnStarted();
//   stream->StartCall(tag);
//   …
//   stream->Finish(&status, tag);                  // its tag has arrived:
//   status = call.OnStatus(status);
//
// docs/without_interceptors.md has a whole program.

#ifndef TETHER_GRPC_OUTGOING_CALL_H_
#define TETHER_GRPC_OUTGOING_CALL_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/export.h"
#include "tether/grpc/call_options.h"
#include "tether/grpc/client_options.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {

namespace internal {
struct ClientChannel;
}  // namespace internal

// What the calls on one channel share. Make it once per channel.
//
// Thread safety: any thread. Lifetime: it must outlive its OutgoingCalls.
class TETHER_EXPORT CallClient {
 public:
  // Options that are not set have the defaults of CreateChannel. For a client
  // that sends no values, only the time, set `options.propagator` to an empty
  // CompositePropagator.
  //
  // `channel` is that of the calls. If the channel isn't connected, a request
  // will wait, and more of its time is kept (Reserve). Null: it counts as
  // connected. An in-process channel must not be given: it logs an error.
  //
  // `target`: the name of the channel in Inspect().
  explicit CallClient(ClientOptions options = {},
                      std::shared_ptr<grpc::ChannelInterface> channel = nullptr,
                      std::string target = "");
  ~CallClient();
  CallClient(const CallClient&) = delete;
  CallClient& operator=(const CallClient&) = delete;

 private:
  friend class OutgoingCall;

  const std::unique_ptr<internal::ClientChannel> state_;
  const std::shared_ptr<grpc::ChannelInterface> channel_;
  const std::string target_;
};

struct OutgoingCallOptions {
  CallOptions call = {};

  // Whether the report of the request for which the call is made gets it.
  // False: for a proxy whose call is the request itself, at the next hop.
  bool in_report = true;
};

// Requires: `rpc` is a plain grpc::ClientContext, for one call, whose core call
// hasn't been made. If the channel has tether's interceptor after all, that
// does nothing for the call.
//
// Lifetime: `rpc` must outlive this, and isn't used after the destructor, which
// waits for a thread that is cancelling the call at that moment.
//
// Thread safety: reason() and report() may be called on any thread, the other
// functions and the destructor not concurrently with each other. The context
// may end on any thread at any time.
class TETHER_EXPORT OutgoingCall {
 public:
  using Metadata = std::multimap<std::string, std::string>;

  // Just before the stub makes the call of `method`, "/package.Service/Method".
  // Sets the deadline of `rpc` to the earlier of its own and the context's, and
  // adds the headers to send with rpc.AddMetadata: tether's, and `metadata`,
  // the application's own. Adding the latter here, and not to `rpc`, is how
  // tether learns what it must not replace (a header of a propagator whose name
  // the application has set is not sent) and how much room is left. tether's
  // own headers in `metadata` (tether-timeout, tether-reserve, tether) are
  // dropped: they belong to another hop.
  //
  // The time left is measured here, so don't wait before the stub's call.
  //
  // If the context has ended, nothing is added, and nothing is sent: see
  // OnStarted.
  OutgoingCall(const Context& ctx, grpc::ClientContext& rpc,
               std::string_view method, const CallClient& client,
               Metadata metadata = {}, OutgoingCallOptions options = {});

  // A call without a status is recorded as cancelled. It isn't cancelled by
  // this: ~ClientContext and the end of the stub's objects do that.
  ~OutgoingCall();

  OutgoingCall(const OutgoingCall&) = delete;
  OutgoingCall& operator=(const OutgoingCall&) = delete;

  // The stub has made the core call (rpc.c_call() is set). From now on the end
  // of the context ends the call at once, with the status of the context. If
  // the context has ended already, that happens here. Call it before the first
  // operation (between PrepareCall and StartCall, or before the reactor's
  // StartCall): then nothing is sent in that case.
  //
  // Without this call, as for a blocking stub, the context's cancellation ends
  // the call by rpc.TryCancel(), and gRPC's own timer ends it at the deadline.
  void OnStarted();

  // Cancels the call as rpc.TryCancel() does, for the application. reason() is
  // kCancelled then. After rpc.TryCancel() alone, it would be kCompleted, as if
  // the server had answered with CANCELLED. Not concurrently with OnStatus.
  void TryCancel();

  // The status of the call has arrived (the tag of Finish, or OnDone), and with
  // it rpc.GetServerTrailingMetadata(). Keeps the server's report, and returns
  // the status for the application: the context's, if that ended the call; and
  // the message of a DEADLINE_EXCEEDED names the hops that used the time. Call
  // it once. A proxy must not send the callee's report (kReportHeader,
  // budget/report.h) on: the hop's own report contains it.
  grpc::Status OnStatus(const grpc::Status& received);

  // The context that the call works for: see CallOptions::detached.
  const Context& context() const;

  // As EndReasonOf(const ClientCall&) and ClientCall::report() (client.h).
  EndReason reason() const;
  v1::CallReport report() const;

 private:
  class State;

  const std::unique_ptr<State> state_;
};

}  // namespace tether

#endif  // TETHER_GRPC_OUTGOING_CALL_H_
