// SPDX-License-Identifier: Apache-2.0
//
// Decides the outcome of a call: its status, its EndReason, and the words of
// both. Only these functions decide it, for clients, servers and the
// OpenTelemetry bridge.
//
// All functions are pure and thread-safe.

#ifndef TETHER_GRPC_INTERNAL_CALL_OUTCOME_H_
#define TETHER_GRPC_INTERNAL_CALL_OUTCOME_H_

#include <grpcpp/support/status.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/v1/budget_report.pb.h"

namespace tether::internal {

v1::EndReason ToProto(EndReason reason);

// ---- Both sides -------------------------------------------------------------

// The status of a call that a client made for `ctx`: as StatusOfRequest, but
// the code is always that of Err(). If the caller's own server is drained, the
// callee isn't unavailable.
grpc::Status StatusOfContext(const Context& ctx);

// See tether::StatusOf (status.h), which returns this.
grpc::Status StatusOfRequest(const Context& ctx);

// The author of a status's message.
enum class MessageAuthor {
  kNone,         // there is no message
  kCore,         // gRPC core, when its own timer ended the call
  kTether,       // tether, on this hop or on another one
  kApplication,  // anybody else
};

// The author of the message of a DEADLINE_EXCEEDED. The message may come from
// the wire, so only its text tells.
MessageAuthor AuthorOfDeadlineMessage(const grpc::Status& status);

// ---- Server -----------------------------------------------------------------

// The origin of the deadline of a server's context.
enum class DeadlineOwner {
  kCaller,          // it came with the request
  kDefaultTimeout,  // TimePolicy::default_timeout
  kMaxTimeout,      // TimePolicy::max_timeout
};

// The cause of a context whose deadline has passed. Lives forever.
const absl::Status& CauseOfPassedDeadline(DeadlineOwner owner);

// The cause of a context whose handler has returned. Lives forever.
const absl::Status& CauseOfReturnedHandler();

// The cause of a context whose request was turned away, because it arrived with
// `time_left`, less than `min_budget`.
absl::Status CauseOfTooLittleTime(absl::Duration time_left,
                                  absl::Duration min_budget);

// What ended a server's call.
struct ServerCallEnd {
  bool by_deadline;           // else the call was cancelled
  const absl::Status& cause;  // lives forever
};

// Tells why a call ended that was cancelled, or whose connection was lost, with
// `time_left` before its deadline and a `slack` as below. The wire doesn't say
// why a caller cancels a stream. A caller that gives up at its deadline does so
// at about the moment when the same deadline passes here, and often a little
// earlier: timeouts are counted from their arrival, and grpc-timeout is rounded
// up. With a reserve (reserve.h) the deadline here is well before the caller's,
// and the question doesn't arise.
ServerCallEnd EndOfServerCall(absl::Duration time_left, absl::Duration slack);

// How long before the caller's deadline a cancellation still counts as that
// deadline: a twentieth of `timeout` and 5 ms more, 1 s at most. That covers
// the delay of the headers on a loaded machine. `is_rounded`: the deadline
// comes from grpc-timeout alone, whose rounding takes another 3 %.
absl::Duration DeadlineSlack(absl::Duration timeout, bool is_rounded);

// The status of a call that is cut off because its context's deadline passed,
// for `cause`.
grpc::Status StatusOfPassedDeadline(const absl::Status& cause);

// If `ctx` has ended because the server is drained, a CANCELLED of the handler
// has this reason: the result is `status` with the code of
// StatusOfRequest(ctx). Otherwise nullopt. Counts as observing `ctx` only if it
// has ended.
std::optional<grpc::Status> WithDrainCode(const grpc::Status& status,
                                          const Context& ctx);

// `status` without the names of the services behind this one, for callers that
// aren't trusted. nullopt: it names none.
std::optional<grpc::Status> WithoutInternalNames(const grpc::Status& status);

// ---- Client -----------------------------------------------------------------

// Core keeps time in milliseconds, so its timer may fire earlier than ours by
// this much.
inline constexpr absl::Duration kCoreIsAhead = absl::Milliseconds(2);

// What this side knows about a call whose status has arrived.
struct ReceivedEnd {
  bool has_report = false;       // the server sent a budget report
  bool has_trailers = false;     // trailing metadata arrived
  bool tried_to_cancel = false;  // the application called TryCancel
  // The report, if it is the called hop's own; null otherwise.
  const v1::BudgetReport* callee = nullptr;
  // The time until the call's deadline when it started.
  absl::Duration time_at_start = absl::InfiniteDuration();
  // Until the ClientContext's own deadline, when the status arrived.
  absl::Duration own_left = absl::InfiniteDuration();
  // That deadline is the application's, and earlier than the context's.
  bool own_is_earlier = false;
  // The callee's deadline is this much earlier than the call's.
  absl::Duration reserve = absl::ZeroDuration();
};

struct ClientOutcome {
  // The status for the application: the context's if the context ended the
  // call, otherwise as received.
  grpc::Status status;
  // The cause of the context, if its end or its deadline ended the call,
  // whoever noticed first; OK otherwise.
  absl::Status cause;
  // True if the server sent the status; false if this side ended the call.
  bool answered = false;
  // What ended the call; kCompleted if it was the server's answer. If it was
  // the call's deadline, whose deadline that is.
  EndReason reason = EndReason::kNone;
};

// The outcome of a call on behalf of `ctx` for which `received` has arrived.
//
// A call's deadline passes on both sides at about the same time, and the callee
// notices first if its answer arrives before this side's timer fires: it has
// less time, by the reserve. So a DEADLINE_EXCEEDED that arrives while `ctx` is
// live counts as the call's deadline if one of these holds:
//  - The callee reports that the deadline that came with the request has
//    passed, or that it made a call for the request for which that is so; and
//    by this side's clock, at least half of the call's time is used, apart from
//    the reserve. (A proxy may have shortened the callee's deadline, and a
//    report may be untrue.)
//  - The time that the callee was given is over, and the callee doesn't report
//    a limit of its own.
// Any other DEADLINE_EXCEEDED is the callee's answer, such as that of a limit
// of the server, or of a call with a shorter timeout.
ClientOutcome OutcomeOfClientCall(const Context& ctx,
                                  const grpc::Status& received,
                                  const ReceivedEnd& end);

// The reason why a call on behalf of `ctx` ended that was destroyed before its
// status arrived.
EndReason ReasonOfAbandonedCall(const Context& ctx);

// The status of `outcome`. If a deadline ended `call`, whose outcome this is,
// and the message isn't the application's, the message names the hops that used
// the time.
grpc::Status WithBlame(const ClientOutcome& outcome,
                       const v1::CallReport& call);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_CALL_OUTCOME_H_
