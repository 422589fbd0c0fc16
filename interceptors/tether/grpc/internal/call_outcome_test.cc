// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/call_outcome.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/v1/budget_report.pb.h"

namespace tether::internal {
namespace {

const grpc::Status kCoreDeadline(grpc::StatusCode::DEADLINE_EXCEEDED,
                                 "Deadline Exceeded");
const grpc::Status kCoreCancelled(grpc::StatusCode::CANCELLED, "CANCELLED");
const grpc::Status kUnavailable(grpc::StatusCode::UNAVAILABLE, "");

// A context whose deadline has passed, with the message `cause`.
Context OutOfTime(const std::string& cause = "") {
  const Cancellable made = WithTimeout(Background(), absl::ZeroDuration(),
                                       absl::DeadlineExceededError(cause));
  return made.ctx;
}

Context Cancelled(const std::string& cause) {
  Cancellable cancellable = WithCancel(Background());
  cancellable.cancel(absl::CancelledError(cause));
  return cancellable.ctx;
}

TEST(ToProtoTest, TheNumbersAreTheSame) {
  for (int i = 0; i <= 9; ++i) {
    EXPECT_EQ(static_cast<int>(ToProto(static_cast<EndReason>(i))), i);
  }
}

// ---- Who wrote a message ----------------------------------------------------

TEST(MessageAuthorTest, TheMessageOfAContextsErrIsTethers) {
  const grpc::Status status = StatusOfContext(OutOfTime("too slow"));
  EXPECT_EQ(status.error_message(), "context deadline exceeded: too slow");
  EXPECT_EQ(AuthorOfDeadlineMessage(status), MessageAuthor::kTether);
  EXPECT_EQ(AuthorOfDeadlineMessage(StatusOfContext(OutOfTime())),
            MessageAuthor::kTether);
}

TEST(MessageAuthorTest, OtherMessagesAreCoresOrTheApplications) {
  const auto author = [](const char* message) {
    return AuthorOfDeadlineMessage(
        grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, message));
  };
  EXPECT_EQ(author(""), MessageAuthor::kNone);
  EXPECT_EQ(author("Deadline Exceeded"), MessageAuthor::kCore);
  EXPECT_EQ(author("Deadline Exceeded by the database"),
            MessageAuthor::kApplication);
  EXPECT_EQ(author("the database is slow"), MessageAuthor::kApplication);
}

// ---- Server -----------------------------------------------------------------

TEST(ServerOutcomeTest, EachDeadlineOwnerHasItsReasonAndWords) {
  const auto reason = [](DeadlineOwner owner) {
    const Cancellable made = WithTimeout(Background(), absl::ZeroDuration(),
                                         CauseOfPassedDeadline(owner));
    return EndReasonOf(made.ctx);
  };
  EXPECT_EQ(reason(DeadlineOwner::kCaller), EndReason::kInheritedDeadline);
  EXPECT_EQ(reason(DeadlineOwner::kDefaultTimeout), EndReason::kOwnTimeout);
  EXPECT_EQ(reason(DeadlineOwner::kMaxTimeout), EndReason::kOwnTimeout);
  const grpc::Status status =
      StatusOfPassedDeadline(CauseOfPassedDeadline(DeadlineOwner::kMaxTimeout));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message(),
            "context deadline exceeded: the server's max_timeout has passed");
}

TEST(ServerOutcomeTest, ACallThatEndsWithinTheSlackEndedByItsDeadline) {
  const absl::Duration slack = absl::Milliseconds(10);
  EXPECT_TRUE(EndOfServerCall(slack, slack).by_deadline);
  EXPECT_TRUE(EndOfServerCall(-absl::Seconds(1), slack).by_deadline);
  const ServerCallEnd early =
      EndOfServerCall(slack + absl::Milliseconds(1), slack);
  EXPECT_FALSE(early.by_deadline);
  EXPECT_EQ(early.cause.code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(EndOfServerCall(absl::InfiniteDuration(), absl::ZeroDuration())
                   .by_deadline);
}

TEST(ServerOutcomeTest, TheSlackIsAShareOfTheTimeAndCapped) {
  EXPECT_EQ(DeadlineSlack(absl::Milliseconds(100), /*is_rounded=*/false),
            absl::Milliseconds(10));
  EXPECT_EQ(DeadlineSlack(absl::Hours(1), /*is_rounded=*/false),
            absl::Seconds(1));
  EXPECT_EQ(DeadlineSlack(absl::Milliseconds(320), /*is_rounded=*/true),
            absl::Milliseconds(31));
}

TEST(ServerOutcomeTest, ARequestWithTooLittleTimeSaysHowMuchItNeeds) {
  const absl::Status cause =
      CauseOfTooLittleTime(absl::Milliseconds(5), absl::Milliseconds(50));
  EXPECT_EQ(cause.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(cause.message(),
            "the request arrived with 5ms left, less than the 50ms that it "
            "needs here (min_budget)");
}

TEST(ServerOutcomeTest, OnlyTethersDeadlineMessagesNameOtherServices) {
  const auto reduced = WithoutInternalNames(
      grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED,
                   "context deadline exceeded: 200ms, of which pricing.Quote"));
  ASSERT_TRUE(reduced.has_value());
  EXPECT_EQ(reduced->error_message(), "context deadline exceeded");
  EXPECT_FALSE(WithoutInternalNames(kCoreDeadline).has_value());
  EXPECT_FALSE(
      WithoutInternalNames(grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED,
                                        "the application's own words"))
          .has_value());
  EXPECT_FALSE(WithoutInternalNames(grpc::Status(grpc::StatusCode::CANCELLED,
                                                 "context deadline exceeded"))
                   .has_value());
}

// ---- Client -----------------------------------------------------------------

TEST(ClientOutcomeTest, AnEndedContextExplainsItsCallsStatus) {
  const Context ctx = Cancelled("the user left");
  // Core's timer may be first.
  for (const grpc::Status& received : {kCoreCancelled, kCoreDeadline}) {
    const ClientOutcome outcome =
        OutcomeOfClientCall(ctx, received, ReceivedEnd());
    EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_EQ(outcome.status.error_message(),
              "context canceled: the user left");
    EXPECT_EQ(outcome.cause, absl::CancelledError("the user left"));
    EXPECT_EQ(outcome.reason, EndReason::kCancelled);
    EXPECT_FALSE(outcome.answered);
  }
}

TEST(ClientOutcomeTest, ACallWithAReportWasAnsweredWhateverEndedIt) {
  ReceivedEnd end;
  end.has_report = true;
  EXPECT_TRUE(OutcomeOfClientCall(OutOfTime(), kCoreDeadline, end).answered);
  EXPECT_TRUE(OutcomeOfClientCall(Background(), kUnavailable, end).answered);
}

TEST(ClientOutcomeTest, OtherStatusesStayThoughTheContextHasEnded) {
  const grpc::Status not_found(grpc::StatusCode::NOT_FOUND, "no such order");
  const ClientOutcome outcome =
      OutcomeOfClientCall(Cancelled("late"), not_found, ReceivedEnd());
  EXPECT_EQ(outcome.status.error_message(), "no such order");
  EXPECT_TRUE(outcome.cause.ok());
  EXPECT_TRUE(outcome.answered);
  EXPECT_EQ(outcome.reason, EndReason::kCompleted);
}

// Core keeps time in milliseconds, so its timer may fire before the context's.
TEST(ClientOutcomeTest, CoresTimerCountsAsTheContextsWithinTwoMilliseconds) {
  // Nothing below depends on how fast this runs: the context may end meanwhile.
  const Cancellable soon = WithTimeout(Background(), absl::Microseconds(1500));
  ClientOutcome outcome =
      OutcomeOfClientCall(soon.ctx, kCoreDeadline, ReceivedEnd());
  EXPECT_EQ(outcome.status.error_message(), "context deadline exceeded");
  EXPECT_EQ(outcome.cause.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(outcome.answered);
  EXPECT_EQ(outcome.reason, EndReason::kOwnTimeout);

  const Cancellable later = WithTimeout(Background(), absl::Hours(1));
  outcome = OutcomeOfClientCall(later.ctx, kCoreDeadline, ReceivedEnd());
  EXPECT_EQ(outcome.status.error_message(), "Deadline Exceeded");
  EXPECT_TRUE(outcome.cause.ok());
  EXPECT_TRUE(outcome.answered);
  EXPECT_EQ(outcome.reason, EndReason::kCompleted);
}

// ---- Whose deadline it was --------------------------------------------------

// A context that is live, with an hour left.
Cancellable WithAnHour(const absl::Status& cause = absl::OkStatus()) {
  return WithTimeout(Background(), absl::Hours(1), cause);
}

const absl::Status kInherited =
    WithEndReason(absl::DeadlineExceededError("the caller's deadline"),
                  EndReason::kInheritedDeadline);

v1::BudgetReport ReportWith(v1::EndReason reason) {
  v1::BudgetReport report;
  report.set_outcome(grpc::StatusCode::DEADLINE_EXCEEDED);
  report.set_reason(reason);
  return report;
}

// A report of a hop that passed on the DEADLINE_EXCEEDED of a call that ended
// for `reason`.
v1::BudgetReport ReportWithCall(v1::EndReason reason) {
  v1::BudgetReport report = ReportWith(v1::END_REASON_COMPLETED);
  v1::CallReport& call = *report.add_calls();
  call.set_outcome(grpc::StatusCode::DEADLINE_EXCEEDED);
  call.set_reason(reason);
  return report;
}

ReceivedEnd Reported(const v1::BudgetReport& report) {
  ReceivedEnd end;
  end.has_report = true;
  end.callee = &report;
  return end;
}

TEST(WhoseDeadlineTest, TheCallsIfTheCalleeNoticedThatItHasPassed) {
  for (const v1::BudgetReport& report :
       {ReportWith(v1::END_REASON_INHERITED_DEADLINE),
        ReportWithCall(v1::END_REASON_INHERITED_DEADLINE)}) {
    SCOPED_TRACE(report.ShortDebugString());
    const Cancellable own = WithAnHour();
    ClientOutcome outcome =
        OutcomeOfClientCall(own.ctx, kCoreDeadline, Reported(report));
    EXPECT_EQ(outcome.reason, EndReason::kOwnTimeout);
    EXPECT_TRUE(absl::IsDeadlineExceeded(outcome.cause));
    EXPECT_TRUE(outcome.answered);
    EXPECT_EQ(outcome.status.error_message(), "Deadline Exceeded");

    const Cancellable inherited = WithAnHour(kInherited);
    outcome =
        OutcomeOfClientCall(inherited.ctx, kCoreDeadline, Reported(report));
    EXPECT_EQ(outcome.reason, EndReason::kInheritedDeadline);
    EXPECT_EQ(outcome.cause, kInherited);
  }
}

// A proxy has shortened grpc-timeout, or the report is untrue.
TEST(WhoseDeadlineTest, TheCalleesOwnIfMostOfTheCallsTimeIsLeft) {
  for (const v1::BudgetReport& report :
       {ReportWith(v1::END_REASON_INHERITED_DEADLINE),
        ReportWithCall(v1::END_REASON_INHERITED_DEADLINE)}) {
    SCOPED_TRACE(report.ShortDebugString());
    const Cancellable made = WithAnHour(kInherited);
    const auto outcome_with = [&](absl::Duration left) {
      ReceivedEnd end = Reported(report);
      end.time_at_start = absl::Seconds(30);
      end.reserve = absl::Milliseconds(50);
      end.own_left = left;
      return OutcomeOfClientCall(made.ctx, kCoreDeadline, end);
    };
    for (const absl::Duration left :
         {absl::Seconds(29), absl::Milliseconds(15051)}) {
      EXPECT_EQ(outcome_with(left).reason, EndReason::kCompleted);
      EXPECT_TRUE(outcome_with(left).cause.ok());
      EXPECT_TRUE(outcome_with(left).answered);
    }
    // The control.
    for (const absl::Duration left :
         {absl::Milliseconds(15049), absl::Seconds(1), absl::ZeroDuration()}) {
      EXPECT_EQ(outcome_with(left).reason, EndReason::kInheritedDeadline);
    }
  }
}

TEST(WhoseDeadlineTest, TheCalleesOwnIfItsReportShowsNoOther) {
  const Cancellable made = WithAnHour();
  for (const v1::BudgetReport& report :
       {ReportWith(v1::END_REASON_OWN_TIMEOUT),
        ReportWith(v1::END_REASON_TOO_LITTLE_TIME),
        ReportWith(v1::END_REASON_COMPLETED),
        ReportWithCall(v1::END_REASON_OWN_TIMEOUT),
        ReportWithCall(v1::END_REASON_COMPLETED)}) {
    SCOPED_TRACE(report.ShortDebugString());
    const ClientOutcome outcome =
        OutcomeOfClientCall(made.ctx, kCoreDeadline, Reported(report));
    EXPECT_EQ(outcome.reason, EndReason::kCompleted);
    EXPECT_TRUE(outcome.cause.ok());
    EXPECT_TRUE(outcome.answered);
  }
}

TEST(WhoseDeadlineTest, TheCallsIfTheTimeThatTheCalleeWasGivenIsOver) {
  const Cancellable made = WithAnHour();
  ReceivedEnd end;
  end.reserve = absl::Hours(2);
  EXPECT_EQ(OutcomeOfClientCall(made.ctx, kCoreDeadline, end).reason,
            EndReason::kOwnTimeout);
  // Unless the callee reports a limit of its own.
  v1::BudgetReport report = ReportWith(v1::END_REASON_COMPLETED);
  end.has_report = true;
  end.callee = &report;
  EXPECT_EQ(OutcomeOfClientCall(made.ctx, kCoreDeadline, end).reason,
            EndReason::kOwnTimeout);
  report = ReportWith(v1::END_REASON_OWN_TIMEOUT);
  EXPECT_EQ(OutcomeOfClientCall(made.ctx, kCoreDeadline, end).reason,
            EndReason::kCompleted);

  end = ReceivedEnd();
  end.reserve = absl::Minutes(59);
  EXPECT_EQ(OutcomeOfClientCall(made.ctx, kCoreDeadline, end).reason,
            EndReason::kCompleted);
}

TEST(WhoseDeadlineTest, TheApplicationsOwnIfThatIsTheEarlierOne) {
  const Cancellable made = WithAnHour(kInherited);
  ReceivedEnd end;
  end.own_is_earlier = true;
  end.own_left = absl::Minutes(30);
  end.reserve = absl::Minutes(31);
  const ClientOutcome outcome =
      OutcomeOfClientCall(made.ctx, kCoreDeadline, end);
  EXPECT_EQ(outcome.reason, EndReason::kOwnTimeout);
  EXPECT_TRUE(outcome.cause.ok());
}

TEST(WhoseDeadlineTest, NobodysIfTheCallHasNone) {
  const v1::BudgetReport report = ReportWith(v1::END_REASON_INHERITED_DEADLINE);
  EXPECT_EQ(
      OutcomeOfClientCall(Background(), kCoreDeadline, Reported(report)).reason,
      EndReason::kCompleted);
}

TEST(WhoseDeadlineTest, TheInheritedOneThoughCoresTimerWasFirst) {
  // The reason is the same if the context ends meanwhile.
  const Cancellable made =
      WithTimeout(Background(), absl::Microseconds(1500), kInherited);
  const ClientOutcome outcome =
      OutcomeOfClientCall(made.ctx, kCoreDeadline, ReceivedEnd());
  EXPECT_EQ(outcome.reason, EndReason::kInheritedDeadline);
  EXPECT_EQ(outcome.cause, kInherited);
  EXPECT_EQ(outcome.status.error_message(),
            "context deadline exceeded: the caller's deadline");
  EXPECT_FALSE(outcome.answered);
}

// Only a DEADLINE_EXCEEDED is a deadline's.
TEST(WhoseDeadlineTest, AnotherStatusIsTheCalleesAnswer) {
  const Cancellable made = WithAnHour();
  const v1::BudgetReport report = ReportWith(v1::END_REASON_INHERITED_DEADLINE);
  for (const auto code :
       {grpc::StatusCode::NOT_FOUND, grpc::StatusCode::CANCELLED}) {
    const ClientOutcome outcome =
        OutcomeOfClientCall(made.ctx, grpc::Status(code, ""), Reported(report));
    EXPECT_EQ(outcome.reason, EndReason::kCompleted);
    EXPECT_TRUE(outcome.cause.ok());
  }
}

// -----------------------------------------------------------------------------

// Each round takes a moment closer to the context's end, or just after it.
TEST(ClientOutcomeTest, StatusCauseAndReasonAgreeIfTheContextEndsMeanwhile) {
  const absl::Status cause =
      WithEndReason(absl::DeadlineExceededError("the caller's time is up"),
                    EndReason::kInheritedDeadline);
  for (int i = 0; i < 20'000; ++i) {
    const Cancellable made =
        WithTimeout(Background(), absl::Nanoseconds(100) * (i % 100), cause);
    const ClientOutcome outcome =
        OutcomeOfClientCall(made.ctx, kCoreCancelled, ReceivedEnd());
    const bool by_context = outcome.reason == EndReason::kInheritedDeadline;
    ASSERT_EQ(
        outcome.status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED,
        by_context);
    ASSERT_EQ(outcome.cause == cause, by_context);
    ASSERT_EQ(outcome.answered, !by_context);
  }
}

TEST(ClientOutcomeTest, WhatThisSideEndedIsNoAnswer) {
  ReceivedEnd end;
  EXPECT_TRUE(OutcomeOfClientCall(Background(), kCoreCancelled, end).answered);
  end.tried_to_cancel = true;
  ClientOutcome outcome =
      OutcomeOfClientCall(Background(), kCoreCancelled, end);
  EXPECT_FALSE(outcome.answered);
  EXPECT_EQ(outcome.reason, EndReason::kCancelled);
  // The trailers of an answer may come with the status of the cancellation.
  end.has_report = end.has_trailers = true;
  outcome = OutcomeOfClientCall(Background(), kCoreCancelled, end);
  EXPECT_FALSE(outcome.answered);
  EXPECT_EQ(outcome.reason, EndReason::kCancelled);
  const grpc::Status not_found(grpc::StatusCode::NOT_FOUND, "none");
  EXPECT_TRUE(OutcomeOfClientCall(Background(), not_found, end).answered);

  end = ReceivedEnd();
  end.own_left = absl::Milliseconds(2);
  outcome = OutcomeOfClientCall(Background(), kCoreDeadline, end);
  EXPECT_FALSE(outcome.answered);
  EXPECT_EQ(outcome.reason, EndReason::kOwnTimeout);
  end.own_left = absl::Milliseconds(3);
  EXPECT_TRUE(OutcomeOfClientCall(Background(), kCoreDeadline, end).answered);

  end = ReceivedEnd();
  outcome = OutcomeOfClientCall(Background(), kUnavailable, end);
  EXPECT_FALSE(outcome.answered);
  EXPECT_EQ(outcome.reason, EndReason::kConnectionLost);
  end.has_trailers = true;
  EXPECT_TRUE(OutcomeOfClientCall(Background(), kUnavailable, end).answered);
}

TEST(ClientOutcomeTest, AnAbandonedCallWasCancelledUnlessItsContextEnded) {
  EXPECT_EQ(ReasonOfAbandonedCall(Background()), EndReason::kCancelled);
  EXPECT_EQ(ReasonOfAbandonedCall(OutOfTime()), EndReason::kOwnTimeout);
}

// ---- Blame ------------------------------------------------------------------

v1::CallReport SlowCall(v1::EndReason reason) {
  v1::CallReport call;
  call.set_service("shop.v1.Inventory");
  call.set_method("GetStock");
  call.set_duration_us(200'000);
  call.set_time_left_us(200'000);
  call.set_outcome(static_cast<int32_t>(grpc::StatusCode::DEADLINE_EXCEEDED));
  call.set_reason(reason);
  return call;
}

// The outcome of a call that got `status` before its deadline passed, which
// was for `cause`.
ClientOutcome Outcome(const grpc::Status& status,
                      const absl::Status& cause = absl::OkStatus(),
                      EndReason reason = EndReason::kOwnTimeout) {
  ClientOutcome outcome;
  outcome.status = status;
  outcome.cause = cause;
  outcome.reason = reason;
  return outcome;
}

TEST(BlameTest, ADeadlineThatEndedTheCallGetsTheNamesOfTheHops) {
  const grpc::Status status = WithBlame(
      Outcome(kCoreDeadline,
              absl::DeadlineExceededError("the page needs it by then")),
      SlowCall(v1::END_REASON_OWN_TIMEOUT));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  const std::string& message = status.error_message();
  EXPECT_EQ(message.find("context deadline exceeded: 200ms, of which "), 0u)
      << message;
  EXPECT_NE(message.find("GetStock"), std::string::npos) << message;
  EXPECT_NE(message.find(" (the page needs it by then)"), std::string::npos)
      << message;
  EXPECT_EQ(AuthorOfDeadlineMessage(status), MessageAuthor::kTether);
}

TEST(BlameTest, OnlyTheCauseOfATimeoutOfThisProcessIsQuoted) {
  for (const ClientOutcome& outcome :
       {Outcome(kCoreDeadline),
        Outcome(kCoreDeadline,
                absl::DeadlineExceededError("context deadline exceeded")),
        Outcome(kCoreDeadline, kInherited, EndReason::kInheritedDeadline)}) {
    const grpc::Status status =
        WithBlame(outcome, SlowCall(v1::END_REASON_OWN_TIMEOUT));
    EXPECT_EQ(status.error_message(),
              "context deadline exceeded: 200ms, of which inventory.GetStock "
              "200ms (did not answer)");
  }
}

TEST(BlameTest, OtherStatusesStay) {
  const v1::CallReport call = SlowCall(v1::END_REASON_OWN_TIMEOUT);
  const grpc::Status own_words(grpc::StatusCode::DEADLINE_EXCEEDED,
                               "the database is slow");
  EXPECT_EQ(WithBlame(Outcome(own_words), call).error_message(),
            own_words.error_message());
  EXPECT_EQ(WithBlame(Outcome(kCoreCancelled), call).error_message(),
            kCoreCancelled.error_message());
  // As far as the report shows, no deadline ended this call.
  EXPECT_EQ(
      WithBlame(Outcome(kCoreDeadline), SlowCall(v1::END_REASON_COMPLETED))
          .error_message(),
      kCoreDeadline.error_message());
}

// A hop passed the status on; its report shows no deadline of its own.
TEST(BlameTest, AStatusThatAHopPassedOnIsTethers) {
  v1::CallReport call = SlowCall(v1::END_REASON_COMPLETED);
  const grpc::Status passed_on(grpc::StatusCode::DEADLINE_EXCEEDED,
                               "context deadline exceeded");
  EXPECT_EQ(WithBlame(Outcome(passed_on), call).error_message(),
            passed_on.error_message());
  call.mutable_report()->set_method("GetStock");
  EXPECT_NE(WithBlame(Outcome(passed_on), call).error_message(),
            passed_on.error_message());
}

}  // namespace
}  // namespace tether::internal
