// SPDX-License-Identifier: Apache-2.0
//
// A peer is killed (SIGKILL) in the middle of a request. The chain is client →
// hop → leaf, and the hop is a separate process. Its caller gets UNAVAILABLE at
// once, its callee's context ends at once, and nothing is left of the call.
//
// kPrompt allows for a busy machine. It takes some milliseconds on an idle one.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/clock_jump_hop.h"
#include "testing/child_process.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

constexpr absl::Duration kPrompt = absl::Seconds(5);

// The parameter chooses the leaf's API.
class PeerKilledTest : public testing::GrpcLeakCheckedTest,
                       public ::testing::WithParamInterface<bool> {
 protected:
  PeerKilledTest() : leaf_({/*callback_api=*/GetParam(), ServerOptions()}) {
    leaf_.unary = [this](grpc::ServerContext& sc, const Ping&, Pong*) {
      const Context ctx = ContextOf(sc);
      arrived_.Notify();
      ctx.WaitFor(kGiveUp);
      NoteEnd(ctx);
      return StatusOf(ctx);
    };
    leaf_.callback_unary = [this](grpc::CallbackServerContext* sc, const Ping*,
                                  Pong*) {
      grpc::ServerUnaryReactor* reactor = sc->DefaultReactor();
      const Context ctx = ContextOf(*sc);
      at_end_.emplace(ctx, [this, ctx, reactor] {
        NoteEnd(ctx);
        reactor->Finish(StatusOf(ctx));
      });
      arrived_.Notify();
      return reactor;
    };
  }

  void TearDown() override {
    hop_.Stop().IgnoreError();  // fails, because the process was killed
    stub_.reset();
    at_end_.reset();
    GrpcLeakCheckedTest::TearDown();
  }

  void StartHop() {
    const absl::Status started =
        hop_.Start("integration_tests/clock_jump_hop",
                   {absl::StrCat("--leaf=", leaf_.address()),
                    absl::StrCat("--silent=", leaf_.address())});
    ASSERT_TRUE(started.ok()) << started;
    const auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
    const auto line = hop_.ReadLine(ctx);
    ASSERT_TRUE(line && absl::StartsWith(*line, kListening));
    stub_ = testing::ProbeStub(absl::StrCat(
        "127.0.0.1:", line->substr(std::string(kListening).size())));
  }

  void NoteEnd(const Context& ctx) {
    reason_ = EndReasonOf(ctx);
    err_ = ctx.Err();
    ended_.Notify();
  }

  absl::Notification arrived_, ended_;
  EndReason reason_ = EndReason::kNone;  // before ended_
  absl::Status err_;                     // before ended_
  std::optional<Registration> at_end_;
  ProbeServer leaf_;
  testing::ChildProcess hop_{"hop"};
  std::unique_ptr<Probe::Stub> stub_;
};

INSTANTIATE_TEST_SUITE_P(Leaf, PeerKilledTest, ::testing::Bool(),
                         [](const auto& param_info) {
                           return param_info.param ? "Callback" : "Sync";
                         });

TEST_P(PeerKilledTest, BothNeighboursAreToldAtOnce) {
  ASSERT_NO_FATAL_FAILURE(StartHop());
  grpc::Status status;
  EndReason at_client = EndReason::kNone;
  v1::CallReport report;
  absl::Notification returned;
  std::thread client([&] {
    const auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
    ClientCall call(ctx);
    Ping ping;
    ping.set_number(kHang);
    Pong pong;
    status = stub_->Unary(&call, ping, &pong);
    at_client = EndReasonOf(ctx);
    report = call.report();
    returned.Notify();
  });
  EXPECT_TRUE(arrived_.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_FALSE(ended_.HasBeenNotified());
  EXPECT_FALSE(returned.HasBeenNotified());
  hop_.Kill();
  EXPECT_TRUE(returned.WaitForNotificationWithTimeout(kPrompt));
  EXPECT_TRUE(ended_.WaitForNotificationWithTimeout(kPrompt));
  client.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE)
      << status.error_message();
  EXPECT_EQ(at_client, EndReason::kNone) << "its context goes on";
  EXPECT_EQ(report.reason(), v1::END_REASON_CONNECTION_LOST);
  EXPECT_FALSE(report.answered());
  EXPECT_EQ(err_.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(reason_, EndReason::kCallerLeft);
}

}  // namespace
}  // namespace tether
