// SPDX-License-Identifier: Apache-2.0
//
// How a call ended, according to its status, its report and its message: which
// statuses are answers, and when the call was over.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/front_and_leaf.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::kGiveUp;
using ::testing::Not;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;
using ::testing::StartsWith;

// The time after the end. A call must be over that much earlier.
constexpr absl::Duration kWhile = absl::Seconds(1);

// Matches the time of a call whose context had 200 ms. The call's time begins
// when the call is made: on a loaded machine up to 50 ms after its context.
const char* const kUpTo200ms = "(1[5-9][0-9]|200)ms";

std::chrono::system_clock::time_point In(absl::Duration d) {
  return absl::ToChronoTime(absl::Now() + d);
}

// Adds a second leaf, without tether.
class CallEndTest : public testing::FrontAndLeaf {
 protected:
  CallEndTest() : plain_leaf_({/*callback_api=*/false, std::nullopt}) {
    plain_leaf_.unary = [this](grpc::ServerContext& sc, const Ping&, Pong*) {
      return at_leaf_(sc);
    };
    to_plain_leaf_ = plain_leaf_.Stub();
    Start(Reporting(ReportOptions::When::kAlways));
  }
  ~CallEndTest() override { Stop(); }

  // Waits for the end of the call without using tether.
  static grpc::Status WaitAtPlainLeaf(grpc::ServerContext& sc) {
    while (!sc.IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
    return grpc::Status::OK;
  }

  // Makes the call, and reads from its queue only some time after its end.
  static grpc::Status CallAndReadLate(Probe::Stub& stub, ClientCall& call,
                                      absl::Duration late) {
    grpc::CompletionQueue cq;
    Pong pong;
    grpc::Status status;
    const auto rpc = stub.AsyncUnary(&call, Ping(), &cq);
    rpc->Finish(&pong, &status, &cq);
    call.context().Wait();
    absl::SleepFor(late);
    void* tag;
    bool ok;
    EXPECT_TRUE(cq.Next(&tag, &ok));
    cq.Shutdown();
    EXPECT_FALSE(cq.Next(&tag, &ok));
    return status;
  }

  // at_leaf_ is its handler, too.
  ProbeServer plain_leaf_;
  std::unique_ptr<Probe::Stub> to_plain_leaf_;
};

// ---- What counts as an answer ----

// The last two are tether's messages, as from a hop that sends no report.
const std::vector<grpc::Status>& WordsOfCore() {
  static const auto& words = *new std::vector<grpc::Status>{
      {grpc::StatusCode::DEADLINE_EXCEEDED, "Deadline Exceeded"},
      {grpc::StatusCode::CANCELLED, "CANCELLED"},
      {grpc::StatusCode::DEADLINE_EXCEEDED, ""},
      {grpc::StatusCode::DEADLINE_EXCEEDED, "context deadline exceeded"},
      {grpc::StatusCode::CANCELLED, "context canceled"}};
  return words;
}

TEST_F(CallEndTest, AStatusThatComesWhileThereIsTimeIsAnAnswer) {
  for (const grpc::Status& said : WordsOfCore()) {
    SCOPED_TRACE(said.error_message());
    at_leaf_ = [&](grpc::ServerContext&) { return said; };
    auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
    ClientCall call(ctx);
    const auto [status, report] = Call(*to_plain_leaf_, call);
    EXPECT_EQ(status.error_code(), said.error_code());
    EXPECT_EQ(status.error_message(), said.error_message());
    EXPECT_TRUE(report.answered());
    EXPECT_EQ(report.reason(), v1::END_REASON_COMPLETED);
  }
}

TEST_F(CallEndTest, NobodyIsToldToHaveBeenSilentWhoAnswered) {
  for (const grpc::Status& said : WordsOfCore()) {
    SCOPED_TRACE(said.error_message());
    at_leaf_ = [&](grpc::ServerContext&) { return said; };
    at_front_ = [&](grpc::ServerContext& sc) {
      ClientCall call(ContextOf(sc));
      EXPECT_FALSE(Call(*to_plain_leaf_, call).first.ok());
      ContextOf(sc).Wait();
      return StatusOf(ContextOf(sc));
    };
    auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(1));
    CallOptions options;  // for a loaded machine
    options.reserve = Reserve{kWhile, 0, kWhile};
    ClientCall call(ctx, options);
    const auto [status, report] = Call(*to_front_, call);
    EXPECT_THAT(status.error_message(),
                StartsWith("context deadline exceeded"));
    EXPECT_THAT(status.error_message(), Not(HasSubstr("did not answer")));
  }
}

TEST_F(CallEndTest, ControlWhoDidNotAnswerIsTold) {
  at_leaf_ = WaitAtPlainLeaf;
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(200));
  ClientCall call(ctx);
  const auto [status, report] = Call(*to_plain_leaf_, call);
  EXPECT_THAT(status.error_message(),
              ContainsRegex(std::string("^context deadline exceeded: ") +
                            kUpTo200ms + ", of which probe.Unary " +
                            kUpTo200ms + " \\(did not answer\\)$"));
  EXPECT_FALSE(report.answered());
}

TEST_F(CallEndTest, ControlNorDidOneThatTheCallsOwnDeadlineEnded) {
  at_leaf_ = WaitAtPlainLeaf;
  auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  ClientCall call(ctx);
  call.set_deadline(In(absl::Milliseconds(200)));
  const auto [status, report] = Call(*to_plain_leaf_, call);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("(did not answer)"));
  EXPECT_FALSE(report.answered());
  EXPECT_EQ(report.reason(), v1::END_REASON_OWN_TIMEOUT);
  EXPECT_LE(report.time_left_us(), 200'000);
}

// gRPC keeps that timeout itself and doesn't report it. (It counts the
// processor's cycles, so on a virtual machine it may end the call at once.)
TEST_F(CallEndTest, TheWordsOfAServiceConfigsTimeoutStay) {
  at_leaf_ = WaitAtPlainLeaf;
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(
      R"({"methodConfig": [{"name": [{}], "timeout": "0.200s"}]})");
  const auto stub = Probe::NewStub(
      CreateChannel(plain_leaf_.address(), grpc::InsecureChannelCredentials(),
                    ClientOptions(), arguments));
  auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  ClientCall call(ctx);
  const auto [status, report] = Call(*stub, call);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), StartsWith("Deadline Exceeded"));
  EXPECT_LT(report.duration_us(), absl::ToInt64Microseconds(kGiveUp / 2));
}

TEST_F(CallEndTest, AServersUnavailableIsAnAnswerWhereItBringsMetadata) {
  for (const bool metadata : {false, true}) {
    at_leaf_ = [&](grpc::ServerContext& sc) {
      if (metadata) sc.AddTrailingMetadata("shard", "7");
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "rebuilding");
    };
    ClientCall call(Background());
    const auto [status, report] = Call(*to_plain_leaf_, call);
    EXPECT_EQ(status.error_message(), "rebuilding");
    EXPECT_EQ(report.answered(), metadata);
  }
}

// ---- Whose report it is ----

TEST_F(CallEndTest, AReportThatAHopHandsBackIsThatOfTheHopBehindIt) {
  stream_at_leaf_ = [](grpc::ServerContext& sc, grpc::ServerWriter<Pong>*) {
    ContextOf(sc).Wait();
    return StatusOf(ContextOf(sc));
  };
  at_front_ = [this](grpc::ServerContext& sc) {
    ClientCall call(ContextOf(sc));
    const auto reader = to_leaf_->Download(&call, Ping());
    Pong pong;
    while (reader->Read(&pong)) {
    }
    grpc::Status status = reader->Finish();
    for (const auto& [key, value] : call.GetServerTrailingMetadata()) {
      sc.AddTrailingMetadata(std::string(key.data(), key.size()),
                             std::string(value.data(), value.size()));
    }
    return status;
  };
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(2));
  CallOptions options;  // for a loaded machine
  options.reserve = Reserve{kWhile, 0, kWhile};
  ClientCall call(ctx, options);
  const auto [status, report] = Call(*to_front_, call);
  ASSERT_TRUE(report.has_report()) << status.error_message();
  EXPECT_EQ(report.method(), "Unary");
  EXPECT_EQ(report.report().method(), "Download");
  EXPECT_THAT(status.error_message(), HasSubstr("of which probe.Download 1"));
}

// ---- When it was over ----

TEST_F(CallEndTest, WhatComesAfterTheDeadlineIsNobodysFault) {
  at_leaf_ = [](grpc::ServerContext& sc) {
    ContextOf(sc).Wait();
    return StatusOf(ContextOf(sc));
  };
  // Long, so that a loaded machine's network doesn't use a tenth of it.
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(2));
  ClientCall call(ctx);
  const grpc::Status status = CallAndReadLate(*to_leaf_, call, kWhile);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(),
              ContainsRegex("^context deadline exceeded: (1\\.[0-9]+|2)s, "));
  EXPECT_THAT(status.error_message(), Not(HasSubstr("network")));
  EXPECT_LE(call.report().duration_us(), 2'000'000);
}

// The same for a hop: the time that it uses after the call's end is its own.
TEST_F(CallEndTest, WhatComesAfterTheEndOfACallIsItsCallersOwn) {
  at_leaf_ = [](grpc::ServerContext& sc) {
    ContextOf(sc).Wait();
    return StatusOf(ContextOf(sc));
  };
  for (const bool by_deadline : {true, false}) {
    at_front_ = [&](grpc::ServerContext& sc) {
      auto [ctx, cancel] =
          by_deadline ? WithTimeout(ContextOf(sc), absl::Milliseconds(100))
                      : WithCancel(ContextOf(sc));
      ClientCall call(ctx);
      std::thread leaver;
      if (!by_deadline) {
        leaver = std::thread([&cancel = cancel] {
          absl::SleepFor(absl::Milliseconds(100));
          cancel();
        });
      }
      EXPECT_FALSE(CallAndReadLate(*to_leaf_, call, kWhile).ok());
      if (leaver.joinable()) leaver.join();
      return grpc::Status::OK;
    };
    ClientCall call(Background());
    const auto [status, report] = Call(*to_front_, call);
    ASSERT_TRUE(status.ok());
    ASSERT_EQ(report.report().calls_size(), 1);
    // Half of kWhile is slack for a loaded machine.
    EXPECT_LT(report.report().calls(0).duration_us(),
              absl::ToInt64Microseconds(kWhile / 2));
    EXPECT_GT(SelfTimeUs(report.report()),
              absl::ToInt64Microseconds(kWhile / 2));
  }
}

}  // namespace
}  // namespace tether
