// SPDX-License-Identifier: Apache-2.0
//
// EndReasonOf(call): whose deadline ended a call, whoever noticed first. The
// report and the message agree with it.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/front_and_leaf.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/testing/give_up.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {
namespace {

using ::testing::HasSubstr;
using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::Probe;

// A call of kTimeout whose callee gives up kReserve before it. The reserve is
// long, so that the caller's context is live when the answer arrives, even on a
// loaded machine. (A reserve is at most a quarter of the time.)
constexpr absl::Duration kTimeout = absl::Seconds(2);
constexpr absl::Duration kReserve = absl::Milliseconds(500);

CallOptions WithLongReserve() {
  CallOptions options;
  options.reserve = Reserve{kReserve, 0, kReserve};
  return options;
}

grpc::Status WaitForTheEnd(grpc::ServerContext& sc) {
  const Context ctx = ContextOf(sc);
  ctx.WaitFor(kGiveUp);
  return StatusOf(ctx);
}

class CallReasonTest : public testing::FrontAndLeaf {
 protected:
  CallReasonTest() { Start(Reporting(ReportOptions::When::kAlways)); }
  ~CallReasonTest() override { Stop(); }

  // Makes the call, and checks that the report has the same reason.
  static grpc::Status Make(Probe::Stub& stub, ClientCall& call) {
    Pong pong;
    const grpc::Status status = stub.Unary(&call, Ping(), &pong);
    EXPECT_EQ(static_cast<int>(call.report().reason()),
              static_cast<int>(EndReasonOf(call)));
    return status;
  }

  // What the front finds out about its call.
  EndReason at_front_reason_ = EndReason::kNone;
  bool at_front_was_live_ = false;

  // A handler of the front that calls the leaf, with `timeout` if it is set.
  Handler CallsLeaf(std::optional<absl::Duration> timeout = std::nullopt,
                    std::optional<absl::Duration> own = std::nullopt) {
    return [this, timeout, own](grpc::ServerContext& sc) {
      const Context ctx = ContextOf(sc);
      Cancellable limited{ctx, {}};
      if (timeout) limited = WithTimeout(ctx, *timeout);
      ClientCall call(limited.ctx, WithLongReserve());
      if (own) call.set_deadline(absl::ToChronoTime(absl::Now() + *own));
      grpc::Status status = Make(*to_leaf_, call);
      at_front_reason_ = EndReasonOf(call);
      at_front_was_live_ = !limited.ctx.Done();
      return status;
    };
  }
};

// ---- The call's own timeout ----

TEST_F(CallReasonTest, AnOwnTimeoutIsOneThoughTheCalleeNoticedFirst) {
  at_leaf_ = WaitForTheEnd;
  auto [ctx, cancel] = WithTimeout(
      Background(), kTimeout, absl::DeadlineExceededError("stock is optional"));
  ClientCall call(ctx, WithLongReserve());
  const grpc::Status status = Make(*to_leaf_, call);
  EXPECT_FALSE(ctx.Done());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(EndReasonOf(call), EndReason::kOwnTimeout);
  // The message is the one of a call whose timeout this side noticed.
  EXPECT_THAT(status.error_message(), HasSubstr(" (stock is optional)"));
}

TEST_F(CallReasonTest, AnOwnTimeoutIsOneIfTheCalleeAnswersTooLate) {
  at_leaf_ = [](grpc::ServerContext& sc) {
    while (!sc.IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
    return grpc::Status::OK;
  };
  auto [ctx, cancel] =
      WithTimeout(Background(), absl::Milliseconds(200),
                  absl::DeadlineExceededError("stock is optional"));
  ClientCall call(ctx);
  const grpc::Status status = Make(*to_leaf_, call);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(EndReasonOf(call), EndReason::kOwnTimeout);
  EXPECT_THAT(status.error_message(), HasSubstr(" (stock is optional)"));
}

TEST_F(CallReasonTest, AStreamHasTheReasonOfItsStatus) {
  stream_at_leaf_ = [](grpc::ServerContext& sc,
                       grpc::ServerWriter<Pong>* writer) {
    writer->Write(Pong());
    return WaitForTheEnd(sc);
  };
  auto [ctx, cancel] = WithTimeout(Background(), kTimeout);
  ClientCall call(ctx, WithLongReserve());
  const auto reader = to_leaf_->Download(&call, Ping());
  Pong pong;
  EXPECT_TRUE(reader->Read(&pong));
  EXPECT_EQ(EndReasonOf(call), EndReason::kNone);
  EXPECT_FALSE(reader->Read(&pong));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(EndReasonOf(call), EndReason::kOwnTimeout);
}

// ---- TryCancel ----

// Core replaces the status of an answer behind a message that nobody has read,
// but keeps the metadata, and so the report, that came with it.
TEST_F(CallReasonTest,
       ACallThatTryCancelEndedIsCancelledThoughAnAnswerHadCome) {
  stream_at_leaf_ = [](grpc::ServerContext& sc,
                       grpc::ServerWriter<Pong>* writer) {
    sc.AddTrailingMetadata("x-answer", "1");
    writer->Write(Pong());
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "none");
  };
  int replaced = 0;
  for (int attempt = 0; attempt < 100 && replaced == 0; ++attempt) {
    ClientCall call(Background());
    const auto reader = to_leaf_->Download(&call, Ping());
    // Finish waits, since there is a message. Nothing shows that the answer is
    // here, so there are several attempts.
    std::thread canceller([&] {
      absl::SleepFor(absl::Milliseconds(5 + attempt));
      call.TryCancel();
    });
    const grpc::Status status = reader->Finish();
    canceller.join();
    ASSERT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_EQ(EndReasonOf(call), EndReason::kCancelled);
    EXPECT_FALSE(call.report().answered());
    if (call.GetServerTrailingMetadata().count("x-answer") > 0) ++replaced;
  }
  EXPECT_GT(replaced, 0);
}

// Without a report, the time tells.
TEST_F(CallReasonTest, AnOwnTimeoutIsOneThoughNobodyReports) {
  Start(Reporting(ReportOptions::When::kNever));
  at_leaf_ = WaitForTheEnd;
  auto [ctx, cancel] = WithTimeout(Background(), kTimeout);
  ClientCall call(ctx, WithLongReserve());
  EXPECT_THAT(Make(*to_leaf_, call).error_message(),
              HasSubstr("of which probe.Unary "));
  EXPECT_FALSE(ctx.Done());
  EXPECT_EQ(EndReasonOf(call), EndReason::kOwnTimeout);
}

TEST_F(CallReasonTest, ControlAnAnswerWhileThereIsTimeIsTheCalleesOwn) {
  at_leaf_ = [](grpc::ServerContext&) {
    return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "row lock");
  };
  for (const auto when :
       {ReportOptions::When::kNever, ReportOptions::When::kAlways}) {
    Start(Reporting(when));
    auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
    ClientCall call(ctx);
    EXPECT_EQ(Make(*to_leaf_, call).error_message(), "row lock");
    EXPECT_EQ(EndReasonOf(call), EndReason::kCompleted);
  }
}

// ---- The deadline of the request ----

TEST_F(CallReasonTest, AnInheritedDeadlineIsTheFirstClientsTimeout) {
  at_leaf_ = WaitForTheEnd;
  at_front_ = CallsLeaf();
  auto [ctx, cancel] = WithTimeout(Background(), kTimeout);
  ClientCall call(ctx, WithLongReserve());
  EXPECT_EQ(Make(*to_front_, call).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(at_front_was_live_);
  EXPECT_EQ(at_front_reason_, EndReason::kInheritedDeadline);
  // The front's context was live when it answered. What it reports about its
  // call tells.
  EXPECT_EQ(call.report().report().reason(), v1::END_REASON_COMPLETED);
  EXPECT_FALSE(ctx.Done());
  EXPECT_EQ(EndReasonOf(call), EndReason::kOwnTimeout);
}

TEST_F(CallReasonTest, AHopsOwnTimeoutIsNotItsCallersDeadline) {
  at_leaf_ = WaitForTheEnd;
  at_front_ = CallsLeaf(kTimeout);
  auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  ClientCall call(ctx);
  EXPECT_EQ(Make(*to_front_, call).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(at_front_was_live_);
  EXPECT_EQ(at_front_reason_, EndReason::kOwnTimeout);
  EXPECT_EQ(EndReasonOf(call), EndReason::kCompleted);
}

TEST_F(CallReasonTest, AnEarlierDeadlineOfTheClientContextIsAnOwnTimeout) {
  at_leaf_ = WaitForTheEnd;
  at_front_ = CallsLeaf(std::nullopt, /*own=*/kTimeout);
  auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  ClientCall call(ctx);
  EXPECT_EQ(Make(*to_front_, call).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(at_front_reason_, EndReason::kOwnTimeout);
  EXPECT_EQ(EndReasonOf(call), EndReason::kCompleted);
}

// ---- What isn't the call's deadline ----

TEST_F(CallReasonTest, ALimitOfTheServerIsTheCalleesOwn) {
  Options options = Reporting(ReportOptions::When::kAlways);
  options.leaf->time.max_timeout = absl::Milliseconds(100);
  Start(options);
  at_leaf_ = WaitForTheEnd;
  auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  ClientCall call(ctx);
  EXPECT_EQ(Make(*to_leaf_, call).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(EndReasonOf(call), EndReason::kCompleted);
}

// A proxy has shortened grpc-timeout, or the callee's report is untrue.
TEST_F(CallReasonTest, ACalleeIsNotBelievedWhileMostOfTheTimeIsLeft) {
  testing::ProbeServer server(
      {/*callback_api=*/false, /*tether=*/std::nullopt, {}});
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    v1::BudgetReport report;
    report.set_outcome(grpc::StatusCode::DEADLINE_EXCEEDED);
    report.set_reason(v1::END_REASON_INHERITED_DEADLINE);
    sc.AddTrailingMetadata("tether-report-bin", EncodeReport(report));
    return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "too early");
  };
  const auto stub = server.Stub();
  const auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  ClientCall call(ctx);
  EXPECT_EQ(Make(*stub, call).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(EndReasonOf(call), EndReason::kCompleted);
  EXPECT_FALSE(ctx.Done());
  EXPECT_EQ(call.report().report().reason(), v1::END_REASON_INHERITED_DEADLINE);
}

TEST_F(CallReasonTest, ACancelledContextGivesItsOwnReason) {
  auto [ctx, cancel] = WithCancel(Background());
  at_leaf_ = [cancel = &cancel](grpc::ServerContext& sc) {
    (*cancel)(WithEndReason(absl::CancelledError("enough answers"),
                            EndReason::kSiblingFailed));
    return WaitForTheEnd(sc);
  };
  ClientCall call(ctx);
  EXPECT_EQ(Make(*to_leaf_, call).error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(EndReasonOf(call), EndReason::kSiblingFailed);
}

TEST_F(CallReasonTest, IsNoneBeforeTheCallAndWithoutTheInterceptor) {
  ClientCall call(Background());
  EXPECT_EQ(EndReasonOf(call), EndReason::kNone);
  const auto plain = leaf_->Stub(std::nullopt);
  Pong pong;
  EXPECT_TRUE(plain->Unary(&call, Ping(), &pong).ok());
  EXPECT_EQ(EndReasonOf(call), EndReason::kNone);
}

TEST_F(CallReasonTest, IsCompletedAfterAnAnswer) {
  ClientCall call(Background());
  EXPECT_TRUE(Make(*to_leaf_, call).ok());
  EXPECT_EQ(EndReasonOf(call), EndReason::kCompleted);
}

}  // namespace
}  // namespace tether
