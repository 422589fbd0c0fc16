// SPDX-License-Identifier: Apache-2.0
//
// One request of a server without tether's interceptor: for proxies, engines of
// one's own, and generic services, which have no interceptors or can't use
// them. The request gets what InstallServer (server.h) gives: its context,
// policies, the budget report, a place in Inspect() and in the metrics.
//
// OutgoingCall (outgoing_call.h) is the same for clients.
//
// A server with a completion queue, in outline:
//
//   CallServer server(options);                    // once
//
//   generic.RequestCall(&sc, &stream, …);          // a request has arrived:
//   IncomingCall call(server, sc, sc.method());
//   … serve it for call.context() …
//   std::multimap<std::string, std::string> trailing;
//   const grpc::Status sent =
//       call.Answer(status, /*after_messages=*/true, trailing);
//   for (const auto& [key, value] : trailing) sc.AddTrailingMetadata(key,
//   value); stream.Finish(sent, tag);
//
// and, when the tag of sc.AsyncNotifyWhenDone comes: call.OnCallEnded().
//
// docs/without_interceptors.md has a whole program.

#ifndef TETHER_GRPC_INCOMING_CALL_H_
#define TETHER_GRPC_INCOMING_CALL_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/grpc/server_options.h"

namespace tether {

namespace internal {
class ServerCall;
class ServerState;
template <typename T>
class Spread;
}  // namespace internal

// What the requests of one server share. Make it once per server: each has its
// own count of requests that were turned away (ServerOptions::shed_fraction).
//
// Thread safety: any thread. Lifetime: it must outlive the constructors of its
// IncomingCalls, but not the calls themselves.
class TETHER_EXPORT CallServer {
 public:
  // Options that are not set have the defaults of InstallServer.
  explicit CallServer(ServerOptions options = {});
  ~CallServer();
  CallServer(const CallServer&) = delete;
  CallServer& operator=(const CallServer&) = delete;

 private:
  friend class IncomingCall;

  const std::unique_ptr<
      const internal::Spread<std::shared_ptr<internal::ServerState>>>
      state_;
};

// Requires: the server has no interceptor of tether's (otherwise ContextOf
// finds either context), and a server context has one IncomingCall.
//
// Lifetime: from the moment when the request has arrived until before the
// server context is destroyed. OnCallEnded may come on any thread at any time
// in between. The other functions and the destructor must not run concurrently
// with each other, and the destructor not concurrently with OnCallEnded, which
// a callback API's reactor has until OnDone, and a completion queue until the
// tag of AsyncNotifyWhenDone.
//
// No function throws. No lock is held while callbacks of the context run, which
// is within OnCallEnded, Answer and the destructor.
class TETHER_EXPORT IncomingCall {
 public:
  // The headers of the request are here: `server_context` has its
  // client_metadata(). `method` is "/package.Service/Method", and is copied.
  //
  // From now on ContextOf(server_context) finds the context, and Inspect()
  // lists the request. Headers that are malformed, or were sent twice, count as
  // absent. The context ends at its deadline by itself.
  //
  // A request that brings less time than TimePolicy::min_budget is turned away:
  // its context has ended, and the core call is already cancelled with the
  // status that the caller gets.
  IncomingCall(const CallServer& server,
               grpc::ServerContextBase& server_context,
               std::string_view method);

  // If there was no Answer, the context ends as if the handler had returned,
  // and ServerOptions::on_finish is told that there was none. gRPC cancels such
  // a call when the server context is destroyed.
  ~IncomingCall();

  IncomingCall(const IncomingCall&) = delete;
  IncomingCall& operator=(const IncomingCall&) = delete;

  // The context of the request; see ContextOf (server.h). It is not Current().
  const Context& context() const;

  // True if the request was turned away. Destroy this, or answer with
  // StatusOfEnd(); what is sent then has no effect.
  bool turned_away() const;

  // The call was cancelled, its connection was lost, or it is over: the tag of
  // AsyncNotifyWhenDone has arrived, or the reactor's OnCancel or OnDone was
  // called. Ends the context, unless it has ended. If the deadline is near,
  // that is the reason; see EndReasonOf. May be called again. Any thread.
  //
  // Without this call, the context doesn't notice that the caller has left.
  void OnCallEnded();

  // A read or a write has failed because the call is over, which is often known
  // before OnCallEnded comes. The context is done when this returns, but its
  // callbacks run in OnCallEnded, Answer or the destructor. Not for a read that
  // fails because the caller has sent all its messages.
  void OnOperationFailed();

  // The status of the context, once it has ended or its deadline has passed:
  // that of StatusOf(context()) (status.h), but the message of a
  // DEADLINE_EXCEEDED names the hops that used the time, as far as the calls
  // for this request have told. For a request that was turned away, the status
  // that its caller gets. OK while the context is live.
  grpc::Status StatusOfEnd() const;

  // The answer with `status` is about to be sent. Returns the status to send:
  // it differs if the server is drained (ShutdownServer), or at the edge
  // (ServerOptions::edge). Ends the context with kCompleted, unless it has
  // ended, and tells ServerOptions::on_finish. Call it once.
  //
  // `after_messages`: a message has been sent, or comes with the status. Then
  // the trailers have more room than the headers of an answer without messages.
  //
  // `trailing`: the trailing metadata of the answer, all of it. Adds the budget
  // report, if one is due and there is room for it: the caller of this function
  // sends exactly this metadata. A report that it has already is left alone.
  grpc::Status Answer(const grpc::Status& status, bool after_messages,
                      std::multimap<std::string, std::string>& trailing);

 private:
  const std::shared_ptr<internal::ServerCall> call_;
  bool must_say_that_it_unpacks_ = false;
};

}  // namespace tether

#endif  // TETHER_GRPC_INCOMING_CALL_H_
