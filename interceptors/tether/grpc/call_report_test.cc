// SPDX-License-Identifier: Apache-2.0
//
// What a call records, and what its message says, in cases that are less simple
// than a call that is made at once and answered.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/front_and_leaf.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/propagator.h"
#include "tether/propagation/testing/fake_propagators.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

// The time that a test sleeps so that it shows in the report.
constexpr absl::Duration kWhile = absl::Milliseconds(300);

class CallReportTest : public testing::FrontAndLeaf {
 protected:
  CallReportTest() { Start(Reporting(ReportOptions::When::kAlways)); }
};

// ---- Times ----

TEST_F(CallReportTest, BeginsWhenItIsMadeNotWhenItIsPrepared) {
  at_front_ = [this](grpc::ServerContext& sc) {
    ClientCall call(ContextOf(sc));
    absl::SleepFor(kWhile);  // the hop's own work
    Pong pong;
    return to_leaf_->Unary(&call, Ping(), &pong);
  };
  const auto [status, report] = Call(kGiveUp);
  ASSERT_TRUE(status.ok());
  ASSERT_EQ(report.report().calls_size(), 1);
  const v1::CallReport& call = report.report().calls(0);
  EXPECT_GE(call.start_us(), absl::ToInt64Microseconds(kWhile));
  EXPECT_GE(SelfTimeUs(report.report()), absl::ToInt64Microseconds(kWhile));
  EXPECT_LE(call.time_left_us(), absl::ToInt64Microseconds(kGiveUp - kWhile));
}

// A stream that is never finished ends when it is destroyed.
TEST_F(CallReportTest, AnAbandonedStreamIsNotUnderWayForEver) {
  stream_at_leaf_ = [](grpc::ServerContext& sc,
                       grpc::ServerWriter<Pong>* writer) {
    writer->Write(Pong());
    const Context ctx = ContextOf(sc);
    ctx.WaitFor(kGiveUp);
    return StatusOf(ctx);
  };
  at_front_ = [this](grpc::ServerContext& sc) {
    {
      auto [ctx, cancel] = WithCancel(ContextOf(sc));
      ClientCall call(ctx);
      const auto reader = to_leaf_->Download(&call, Ping());
      Pong pong;
      EXPECT_TRUE(reader->Read(&pong));
      cancel();
    }
    absl::SleepFor(kWhile);
    return grpc::Status::OK;
  };
  const auto [status, report] = Call(kGiveUp);
  ASSERT_TRUE(status.ok());
  ASSERT_EQ(report.report().calls_size(), 1);
  const v1::CallReport& call = report.report().calls(0);
  EXPECT_FALSE(call.answered());
  EXPECT_EQ(call.outcome(), 1);
  EXPECT_EQ(call.reason(), v1::END_REASON_CANCELLED);
  EXPECT_GE(SelfTimeUs(report.report()), absl::ToInt64Microseconds(kWhile));
}

TEST_F(CallReportTest, AStreamIsOneCallFromItsStartToItsStatus) {
  stream_at_leaf_ = [](grpc::ServerContext&, grpc::ServerWriter<Pong>* writer) {
    for (int i = 0; i < 3; ++i) {
      writer->Write(Pong());
      absl::SleepFor(kWhile / 3);
    }
    return grpc::Status(grpc::StatusCode::DATA_LOSS, "torn");
  };
  at_front_ = [this](grpc::ServerContext& sc) {
    ClientCall call(ContextOf(sc));
    const auto reader = to_leaf_->Download(&call, Ping());
    Pong pong;
    while (reader->Read(&pong)) {
    }
    return reader->Finish();
  };
  const auto [status, report] = Call(kGiveUp);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  ASSERT_EQ(report.report().calls_size(), 1);
  const v1::CallReport& call = report.report().calls(0);
  EXPECT_EQ(call.method(), "Download");
  EXPECT_EQ(call.outcome(), 15);
  EXPECT_GE(call.duration_us(), absl::ToInt64Microseconds(kWhile));
  EXPECT_GE(call.report().total_us(), absl::ToInt64Microseconds(kWhile));
}

// ---- What ended it ----

TEST_F(CallReportTest, TryCancelIsNoAnswer) {
  absl::Notification in_leaf;
  at_leaf_ = [&](grpc::ServerContext& sc) {
    in_leaf.Notify();
    const Context ctx = ContextOf(sc);
    ctx.WaitFor(kGiveUp);
    return StatusOf(ctx);
  };
  ClientCall call(Background());
  std::thread leaver([&] {
    in_leaf.WaitForNotification();
    call.TryCancel();
  });
  Pong pong;
  const grpc::Status status = to_leaf_->Unary(&call, Ping(), &pong);
  leaver.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_FALSE(call.report().answered());
  EXPECT_EQ(call.report().reason(), v1::END_REASON_CANCELLED);
}

TEST_F(CallReportTest, AServersOwnCancelledIsAnAnswer) {
  at_leaf_ = [](grpc::ServerContext&) {
    return grpc::Status(grpc::StatusCode::CANCELLED, "");
  };
  ClientCall call(Background());
  Pong pong;
  EXPECT_EQ(to_leaf_->Unary(&call, Ping(), &pong).error_code(),
            grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(call.report().answered());
  EXPECT_EQ(call.report().reason(), v1::END_REASON_COMPLETED);
}

// ---- The message ----

// Each hop between the slow one and the client returns the slow one's status.
// Even so, the client's message describes the whole call.
TEST_F(CallReportTest, TheMessageIsOfTheClientsCallNotOfTheLastHops) {
  Start(Reporting(ReportOptions::When::kAlways, LongReserve()));
  at_leaf_ = [](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    ctx.Wait();
    return StatusOf(ctx);
  };
  at_front_ = [this](grpc::ServerContext& sc) {
    absl::SleepFor(kWhile);
    return CallLeaf(ContextOf(sc));
  };
  const auto [status, report] = Call(absl::Seconds(2));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  // Both calls are to probe.Unary.
  EXPECT_THAT(
      status.error_message(),
      ContainsRegex("^context deadline exceeded: [0-9.]+s .deadline 2s., "
                    "of which probe.Unary "))
      << report.ShortDebugString();
  EXPECT_THAT(status.error_message(), HasSubstr("(2 calls)"));
}

// A hop gave the next one less time than it had, and reported that.
TEST_F(CallReportTest, TheMessageTellsOfATimeoutOfAHopsOwn) {
  at_leaf_ = [](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    ctx.Wait();
    return StatusOf(ctx);
  };
  at_front_ = [this](grpc::ServerContext& sc) {
    const auto [ctx, cancel] = WithTimeout(ContextOf(sc), kWhile);
    return CallLeaf(ctx);
  };
  const auto [status, report] = Call(kGiveUp);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  // Between the timeout and the call, a loaded machine may take some time.
  EXPECT_THAT(status.error_message(),
              ContainsRegex(" .deadline 20s, probe.Unary allowed "
                            "[23][0-9][0-9]ms., of which "));
}

TEST_F(CallReportTest, AnApplicationsOwnDeadlineExceededStaysAsItIs) {
  at_front_ = [](grpc::ServerContext&) {
    return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "row lock",
                        "id 7");
  };
  const auto [status, report] = Call(kGiveUp);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message(), "row lock");
  EXPECT_EQ(status.error_details(), "id 7");
}

TEST_F(CallReportTest, TheServersOwnWordsAndDetailsStay) {
  Start(Reporting(ReportOptions::When::kAlways, LongReserve()));
  at_front_ = [](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    ctx.Wait();
    return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "row lock",
                        "id 7");
  };
  const auto [status, report] = Call(absl::Seconds(2));
  EXPECT_EQ(status.error_message(), "row lock");
  ASSERT_TRUE(report.has_report()) << status.error_message();
  EXPECT_EQ(status.error_details(), "id 7");
}

// ---- Large statuses ----

// gRPC takes 8 KiB of trailing metadata, the status's message included.
TEST_F(CallReportTest, ALargeStatusIsNotLostToAReport) {
  at_front_ = [this](grpc::ServerContext& sc) {
    for (int i = 0; i < 16; ++i) CallLeaf(ContextOf(sc));
    return grpc::Status(grpc::StatusCode::NOT_FOUND, std::string(5700, 'm'),
                        std::string(1600, 'd'));
  };
  const auto [status, report] = Call(kGiveUp);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND)
      << status.error_message().substr(0, 200);
  EXPECT_EQ(status.error_message().size(), 5700u);
  EXPECT_EQ(status.error_details().size(), 1600u);
}

// ---- Unusual contexts and channels ----

// A propagator should return the given context with values added. If it
// doesn't, the report is lost, and nothing else.
TEST_F(CallReportTest, APropagatorThatForgetsTheContextBreaksNothing) {
  ServerOptions options;
  options.report.when = ReportOptions::When::kAlways;
  options.propagator = std::make_shared<testing::FakePropagator>(
      [](const Carrier&, const Context&) { return Background(); });
  ProbeServer server({/*callback_api=*/false, options});
  server.unary = [this](grpc::ServerContext& sc, const Ping&, Pong*) {
    return CallLeaf(ContextOf(sc));
  };
  const auto stub = server.Stub();
  ClientCall call(Background());
  Pong pong;
  EXPECT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
  EXPECT_FALSE(call.report().has_report());
}

TEST_F(CallReportTest, WithoutTheInterceptorThereIsNone) {
  const auto plain = front_->Stub(std::nullopt);
  ClientCall call(Background());
  Pong pong;
  EXPECT_TRUE(plain->Unary(&call, Ping(), &pong).ok());
  EXPECT_EQ(call.report().SerializeAsString(), "");
}

// Work that continues after the reply makes calls for a request that is over.
TEST_F(CallReportTest, CallsAfterTheHandlerReturnedAreNotInItsReport) {
  Context kept;
  at_front_ = [&](grpc::ServerContext& sc) {
    kept = WithoutCancel(ContextOf(sc));
    return grpc::Status::OK;
  };
  const auto [status, report] = Call(kGiveUp);
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(report.report().calls_size(), 0);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(CallLeaf(kept).ok());
  kept = Context();
}

}  // namespace
}  // namespace tether
