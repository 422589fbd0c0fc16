// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/call_outcome.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tether/budget/blame.h"
#include "tether/grpc/internal/time.h"
#include "tether/internal/messages.h"
#include "tether/internal/rpc_context.h"
#include "tether/internal/spread.h"

namespace tether::internal {
namespace {

// The message of gRPC core's own timer.
constexpr absl::string_view kCoreDeadlineText = "Deadline Exceeded";

// A cause that lives forever. Each request copies one, so each thread has one
// of its own: all copies of a Status write one count of references.
const Spread<absl::Status>* Marked(absl::StatusCode code,
                                   absl::string_view message,
                                   EndReason reason) {
  return new Spread<absl::Status>(
      [&] { return WithEndReason(absl::Status(code, message), reason); });
}

// True if the server sent `status`, and not this side. The message doesn't show
// it, because servers pass on what core wrote. But this side has only three
// reasons to end a call: its context, its deadline, and TryCancel. (A timeout
// in a service config is a fourth. gRPC doesn't report it, so it counts as an
// answer.)
bool IsAnswer(const grpc::Status& status, const ReceivedEnd& end,
              bool context_ended) {
  // If an answer waits behind a message that nobody has read, TryCancel
  // replaces its status, but not its trailers. So a report proves nothing then.
  if (status.error_code() == grpc::StatusCode::CANCELLED &&
      end.tried_to_cancel) {
    return false;
  }
  if (end.has_report) return true;
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      // Core makes most of these, when a connection fails. Only a peer sends
      // metadata. A draining server that cuts a request off sends none, but
      // tether's message.
      return end.has_trailers ||
             absl::StartsWith(status.error_message(), kCanceledMessage);
    case grpc::StatusCode::CANCELLED:
      return !context_ended;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return !context_ended && end.own_left > kCoreIsAhead;
    default:
      return true;
  }
}

// The status of a context that ended with `err` for `cause`.
grpc::Status StatusFor(const absl::Status& err, const absl::Status& cause) {
  const auto code = static_cast<grpc::StatusCode>(err.code());
  // Not ==: a cause that is the error itself may be marked (end_reason.h).
  if (cause.message().empty() ||
      (cause.code() == err.code() && cause.message() == err.message())) {
    return grpc::Status(code, std::string(err.message()));
  }
  return grpc::Status(code, absl::StrCat(err.message(), ": ", cause.message()));
}

// True if `callee` answered DEADLINE_EXCEEDED because of a call that ended by
// the deadline that had come with the request. The callee's own context may
// have been live: its callee noticed first.
bool PassesOnInheritedDeadline(const v1::BudgetReport& callee) {
  return std::any_of(
      callee.calls().begin(), callee.calls().end(),
      [](const v1::CallReport& call) {
        return call.outcome() == grpc::StatusCode::DEADLINE_EXCEEDED &&
               call.reason() == v1::END_REASON_INHERITED_DEADLINE;
      });
}

// True if so much of the call's time is over, with `left` until its deadline,
// that a callee may have seen its own deadline pass. Each hop on the way keeps
// a reserve, a quarter of its time at most.
bool IsHalfOver(const ReceivedEnd& end, absl::Duration left) {
  return left <= end.time_at_start / 2 + end.reserve;
}

// True if the callee, which answered DEADLINE_EXCEEDED with `left` before the
// call's deadline, was first to notice that deadline.
bool CalleeNoticedDeadline(const ReceivedEnd& end, absl::Duration left) {
  if (left == absl::InfiniteDuration()) return false;
  if (end.callee != nullptr) {
    switch (end.callee->reason()) {
      case v1::END_REASON_OWN_TIMEOUT:
      case v1::END_REASON_TOO_LITTLE_TIME:
        return false;
      case v1::END_REASON_INHERITED_DEADLINE:
        if (IsHalfOver(end, left)) return true;
        break;
      default:
        if (PassesOnInheritedDeadline(*end.callee) && IsHalfOver(end, left)) {
          return true;
        }
    }
  }
  // If the request has waited, the callee's time is that of core's clock, which
  // ticks in milliseconds (TimeLeft in request_budget.h).
  return left < end.reserve + absl::Milliseconds(1);
}

EndReason ReasonWithoutAnswer(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
      return EndReason::kConnectionLost;
    case grpc::StatusCode::CANCELLED:
      return EndReason::kCancelled;
    default:
      return EndReason::kOwnTimeout;
  }
}

bool IsDeadline(v1::EndReason reason) {
  return reason == v1::END_REASON_OWN_TIMEOUT ||
         reason == v1::END_REASON_INHERITED_DEADLINE;
}

// True if a deadline ended `call`: its own, its server's, or that of a call
// further on, whose status the hops in between have passed on.
bool EndedByDeadline(const v1::CallReport& call, MessageAuthor author) {
  return IsDeadline(call.reason()) || IsDeadline(call.report().reason()) ||
         (call.has_report() && author == MessageAuthor::kTether);
}

// The message of the code that set the deadline, in brackets; or "".
std::string NoteOnDeadline(const ClientOutcome& outcome) {
  if (outcome.reason != EndReason::kOwnTimeout) return "";
  const absl::Status& cause = outcome.cause;
  if (cause.message().empty() || cause.message() == kDeadlineExceededMessage) {
    return "";
  }
  return absl::StrCat(" (", cause.message(), ")");
}

// Sets the reason and the cause of a call whose deadline has passed.
void SetDeadlineOf(const Context& ctx, const ReceivedEnd& end,
                   ClientOutcome& outcome) {
  outcome.reason = EndReason::kOwnTimeout;
  if (end.own_is_earlier) return;
  outcome.cause = CauseOfDeadline(ctx);
  const EndReason marked = EndReasonIn(outcome.cause);
  if (marked != EndReason::kNone) outcome.reason = marked;
}

}  // namespace

v1::EndReason ToProto(EndReason reason) {
  // The numbers are the same.
  static_assert(static_cast<int>(EndReason::kTooLittleTime) ==
                v1::END_REASON_TOO_LITTLE_TIME);
  static_assert(static_cast<int>(EndReason::kSiblingFailed) ==
                v1::END_REASON_SIBLING_FAILED);
  return static_cast<v1::EndReason>(reason);
}

grpc::Status StatusOfContext(const Context& ctx) {
  const absl::Status err = ctx.Err();
  return err.ok() ? grpc::Status::OK : StatusFor(err, ctx.Cause());
}

grpc::Status StatusOfRequest(const Context& ctx) {
  grpc::Status status = StatusOfContext(ctx);
  if (status.ok() || EndReasonOf(ctx) != EndReason::kServerShutdown) {
    return status;
  }
  return grpc::Status(static_cast<grpc::StatusCode>(ctx.Cause().code()),
                      status.error_message());
}

MessageAuthor AuthorOfDeadlineMessage(const grpc::Status& status) {
  const std::string& message = status.error_message();
  if (message.empty()) return MessageAuthor::kNone;
  if (message == kCoreDeadlineText) return MessageAuthor::kCore;
  if (absl::StartsWith(message, kDeadlineExceededMessage)) {
    return MessageAuthor::kTether;
  }
  return MessageAuthor::kApplication;
}

const absl::Status& CauseOfPassedDeadline(DeadlineOwner owner) {
  static const auto* const caller =
      Marked(absl::StatusCode::kDeadlineExceeded,
             "the caller's deadline has passed", EndReason::kInheritedDeadline);
  static const auto* const default_timeout =
      Marked(absl::StatusCode::kDeadlineExceeded,
             "the server's default_timeout has passed", EndReason::kOwnTimeout);
  static const auto* const max_timeout =
      Marked(absl::StatusCode::kDeadlineExceeded,
             "the server's max_timeout has passed", EndReason::kOwnTimeout);
  switch (owner) {
    case DeadlineOwner::kDefaultTimeout:
      return default_timeout->get();
    case DeadlineOwner::kMaxTimeout:
      return max_timeout->get();
    case DeadlineOwner::kCaller:
      break;
  }
  return caller->get();
}

const absl::Status& CauseOfReturnedHandler() {
  static const auto* const cause =
      Marked(absl::StatusCode::kCancelled, "the handler has returned",
             EndReason::kCompleted);
  return cause->get();
}

absl::Status CauseOfTooLittleTime(absl::Duration time_left,
                                  absl::Duration min_budget) {
  return WithEndReason(
      absl::DeadlineExceededError(absl::StrCat(
          "the request arrived with ", ShortTime(time_left),
          " left, less than the ", absl::FormatDuration(min_budget),
          " that it needs here (min_budget)")),
      EndReason::kTooLittleTime);
}

ServerCallEnd EndOfServerCall(absl::Duration time_left, absl::Duration slack) {
  static const auto* const gave_up = Marked(
      absl::StatusCode::kDeadlineExceeded, "the caller gave up at its deadline",
      EndReason::kInheritedDeadline);
  static const auto* const left = Marked(
      absl::StatusCode::kCancelled, "the caller cancelled the call or is gone",
      EndReason::kCallerLeft);
  if (time_left <= slack) return {true, gave_up->get()};
  return {false, left->get()};
}

absl::Duration DeadlineSlack(absl::Duration timeout, bool is_rounded) {
  const absl::Duration delay =
      std::min(absl::Milliseconds(5) + timeout / 20, absl::Seconds(1));
  return is_rounded ? delay + timeout / 32 : delay;
}

grpc::Status StatusOfPassedDeadline(const absl::Status& cause) {
  return grpc::Status(
      grpc::StatusCode::DEADLINE_EXCEEDED,
      absl::StrCat(kDeadlineExceededMessage, ": ", cause.message()));
}

std::optional<grpc::Status> WithDrainCode(const grpc::Status& status,
                                          const Context& ctx) {
  if (status.error_code() != grpc::StatusCode::CANCELLED || !HasEnded(ctx) ||
      EndReasonOf(ctx) != EndReason::kServerShutdown) {
    return std::nullopt;
  }
  return grpc::Status(StatusOfRequest(ctx).error_code(), status.error_message(),
                      status.error_details());
}

std::optional<grpc::Status> WithoutInternalNames(const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED ||
      AuthorOfDeadlineMessage(status) != MessageAuthor::kTether) {
    return std::nullopt;
  }
  return grpc::Status(status.error_code(), kDeadlineExceededMessage);
}

ClientOutcome OutcomeOfClientCall(const Context& ctx,
                                  const grpc::Status& received,
                                  const ReceivedEnd& end) {
  // Read once: the context may end meanwhile, and all parts of the outcome must
  // agree.
  const EndReason context_reason = EndReasonOf(ctx);
  const bool context_ended = context_reason != EndReason::kNone;
  const grpc::StatusCode code = received.error_code();
  ClientOutcome outcome;
  outcome.status = received;
  outcome.answered = IsAnswer(received, end, context_ended);
  outcome.reason =
      outcome.answered ? EndReason::kCompleted : ReasonWithoutAnswer(code);
  if (code != grpc::StatusCode::CANCELLED &&
      code != grpc::StatusCode::DEADLINE_EXCEEDED) {
    return outcome;
  }
  if (context_ended) {
    // Core's timer, or a cancellation that reached core first, may have ended
    // the call; the reason is still the context's.
    outcome.status = StatusOfContext(ctx);
    outcome.cause = ctx.Cause();
    outcome.answered = end.has_report;
    outcome.reason = context_reason;
    return outcome;
  }
  if (code == grpc::StatusCode::CANCELLED) return outcome;
  const absl::Duration context_left = ctx.Remaining();
  if (context_left < kCoreIsAhead) {
    SetDeadlineOf(ctx, end, outcome);
    outcome.status = StatusFor(
        absl::DeadlineExceededError(kDeadlineExceededMessage), outcome.cause);
    outcome.answered = end.has_report;
  } else if (!outcome.answered ||
             CalleeNoticedDeadline(end, std::min(context_left, end.own_left))) {
    SetDeadlineOf(ctx, end, outcome);
  }
  return outcome;
}

EndReason ReasonOfAbandonedCall(const Context& ctx) {
  const EndReason reason = EndReasonOf(ctx);
  return reason == EndReason::kNone ? EndReason::kCancelled : reason;
}

grpc::Status WithBlame(const ClientOutcome& outcome,
                       const v1::CallReport& call) {
  const grpc::Status& status = outcome.status;
  if (status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) return status;
  const MessageAuthor author = AuthorOfDeadlineMessage(status);
  if (author == MessageAuthor::kApplication || !EndedByDeadline(call, author)) {
    return status;
  }
  return grpc::Status(
      status.error_code(),
      absl::StrCat("context ", BlameDeadline(call), NoteOnDeadline(outcome)),
      status.error_details());
}

}  // namespace tether::internal
