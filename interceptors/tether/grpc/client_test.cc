// SPDX-License-Identifier: Apache-2.0
//
// A client's calls, over real connections on loopback: what a call takes from
// its context, and how the context ends it.
//
// Time is real, because gRPC's is; see server_test.cc for the slack.

#include "tether/grpc/client.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/current.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;
using ::testing::StartsWith;

constexpr absl::Duration kPrompt = absl::Milliseconds(500);

constexpr char kTraceParent[] =
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

std::chrono::system_clock::time_point In(absl::Duration d) {
  return absl::ToChronoTime(absl::Now() + d);
}

// A server that records how it was called. It answers at once, or waits for the
// end of its context.
class ClientTest : public testing::GrpcLeakCheckedTest {
 protected:
  ClientTest() {
    server_.unary = [this](grpc::ServerContext& sc, const Ping& ping, Pong*) {
      const Context ctx = ContextOf(sc);
      ++entered_;
      remaining_ = ctx.Remaining();
      sent_timeouts_ =
          static_cast<int>(sc.client_metadata().count("tether-timeout"));
      if (const TraceContext* trace = TraceOf(ctx)) {
        trace_ = FormatTraceParent(*trace);
      }
      if (const std::string* id = RequestIdOf(ctx)) request_id_ = *id;
      if (ping.number() == 0) return grpc::Status::OK;
      if (ping.number() == kNotFound) {
        return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such thing");
      }
      waiting_.Notify();
      ctx.WaitFor(kGiveUp);
      err_ = ctx.Err();
      return StatusOf(ctx);
    };
  }

  static constexpr int kAnswer = 0;
  static constexpr int kWait = 1;
  static constexpr int kNotFound = 2;

  grpc::Status Call(grpc::ClientContext& call, int number) {
    Ping ping;
    ping.set_number(number);
    Pong pong;
    return stub_->Unary(&call, ping, &pong);
  }

  std::atomic<int> entered_{0};
  absl::Duration remaining_;
  int sent_timeouts_ = 0;
  std::string trace_;
  std::string request_id_;
  absl::Status err_;
  absl::Notification waiting_;
  ProbeServer server_{{}};
  std::unique_ptr<testing::Probe::Stub> stub_ = server_.Stub();
};

TEST_F(ClientTest, DeadlineAndValuesCrossWithAClientCall) {
  auto [timed, cancel] = WithTimeout(Background(), absl::Seconds(60));
  const Context ctx =
      WithRequestId(WithTrace(timed, *ParseTraceParent(kTraceParent)), "req-1");
  ClientCall call(ctx);
  EXPECT_EQ(call.context(), ctx);
  EXPECT_TRUE(Call(call, kAnswer).ok());
  // gRPC's own header would be rounded up to 60 s or more.
  EXPECT_LT(remaining_, absl::Seconds(60));
  EXPECT_GT(remaining_, absl::Seconds(60) - kPrompt);
  EXPECT_EQ(sent_timeouts_, 1);
  EXPECT_EQ(request_id_, "req-1");
  // The call continues the trace with a span of its own.
  EXPECT_EQ(trace_.substr(0, 36), std::string(kTraceParent).substr(0, 36));
  EXPECT_NE(trace_, kTraceParent);
}

TEST_F(ClientTest, APlainClientContextWorksForTheCurrentContext) {
  auto [timed, cancel] = WithTimeout(Background(), absl::Seconds(60));
  const Context ctx = WithRequestId(timed, "req-2");
  ScopedContext scope(ctx);
  grpc::ClientContext call;
  EXPECT_TRUE(Call(call, kAnswer).ok());
  EXPECT_LT(remaining_, absl::Seconds(60));
  EXPECT_GT(remaining_, absl::Seconds(60) - kPrompt);
  EXPECT_EQ(request_id_, "req-2");
}

TEST_F(ClientTest, WithoutAnyContextACallHasNoDeadline) {
  grpc::ClientContext call;
  EXPECT_TRUE(Call(call, kAnswer).ok());
  EXPECT_EQ(remaining_, absl::InfiniteDuration());
  EXPECT_EQ(sent_timeouts_, 0);
}

TEST_F(ClientTest, TheCallersOwnEarlierDeadlineStays) {
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(60));
  ClientCall call(ctx);
  call.set_deadline(In(absl::Seconds(10)));
  EXPECT_TRUE(Call(call, kAnswer).ok());
  EXPECT_LT(remaining_, absl::Seconds(10));
}

TEST_F(ClientTest, ALaterDeadlineOfTheCallerHasNoEffect) {
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(100));
  ScopedContext scope(ctx);
  grpc::ClientContext call;
  call.set_deadline(In(kGiveUp));
  const absl::Time start = absl::Now();
  const grpc::Status status = Call(call, kWait);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(),
              StartsWith("context deadline exceeded: "));
  EXPECT_LE(remaining_, absl::Milliseconds(100));
  EXPECT_LT(absl::Now() - start, kPrompt);
}

TEST_F(ClientTest, AnAmbientDeadlineEndsACallThatHasNone) {
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(100));
  ScopedContext scope(ctx);
  grpc::ClientContext call;
  const absl::Time start = absl::Now();
  EXPECT_EQ(Call(call, kWait).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_LT(absl::Now() - start, kPrompt);
}

TEST_F(ClientTest, ACancelledContextEndsItsCallWithItsReason) {
  auto [ctx, cancel] = WithCancel(Background());
  std::thread canceler([&, &cancel_ctx = cancel] {
    waiting_.WaitForNotification();
    cancel_ctx(absl::InternalError("a sibling failed"));
  });
  const absl::Time start = absl::Now();
  {
    ClientCall call(ctx);
    const grpc::Status status = Call(call, kWait);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_EQ(status.error_message(), "context canceled: a sibling failed");
  }
  canceler.join();
  EXPECT_LT(absl::Now() - start, kPrompt);
}

TEST_F(ClientTest, ACancelledContextEndsThePlainCallOfItsThread) {
  auto [ctx, cancel] = WithCancel(Background());
  std::thread canceler([&, &cancel_ctx = cancel] {
    waiting_.WaitForNotification();
    cancel_ctx();
  });
  {
    ScopedContext scope(ctx);
    grpc::ClientContext call;
    const grpc::Status status = Call(call, kWait);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_EQ(status.error_message(), "context canceled");
  }
  canceler.join();
}

TEST_F(ClientTest, AnEndedContextSendsNothing) {
  auto [cancelled, cancel] = WithCancel(Background());
  cancel();
  auto [expired, cancel_expired] = WithTimeout(Background(), absl::Seconds(-1));
  for (const Context& ctx : {cancelled, expired}) {
    {
      ClientCall call(ctx);
      const grpc::Status status = Call(call, kAnswer);
      EXPECT_EQ(status.error_code(), StatusOf(ctx).error_code());
      EXPECT_EQ(status.error_message(), StatusOf(ctx).error_message());
    }
    ScopedContext scope(ctx);
    grpc::ClientContext plain;
    const grpc::Status status = Call(plain, kAnswer);
    EXPECT_EQ(status.error_code(), StatusOf(ctx).error_code());
    EXPECT_EQ(status.error_message(), StatusOf(ctx).error_message());
  }
  EXPECT_EQ(entered_, 0);
}

TEST_F(ClientTest, AContextThatEndsBetweenClientCallAndStubSendsNothing) {
  auto [ctx, cancel] = WithCancel(Background());
  ClientCall call(ctx);
  cancel();
  EXPECT_EQ(Call(call, kAnswer).error_message(), "context canceled");
  EXPECT_EQ(entered_, 0);
}

TEST_F(ClientTest, AServersErrorIsItsOwnEvenWhenTheContextEndsAfterwards) {
  auto [ctx, cancel] = WithCancel(Background());
  ClientCall call(ctx);
  const grpc::Status status = Call(call, kNotFound);
  cancel();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no such thing");
}

TEST_F(ClientTest, WaitForReadyEndsWithTheContext) {
  // Nothing listens on this port.
  auto channel = tether::CreateChannel("ipv4:127.0.0.1:1",
                                       grpc::InsecureChannelCredentials());
  auto stub = testing::Probe::NewStub(channel);
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(100));
  ClientCall call(ctx);
  call.set_wait_for_ready(true);
  Pong pong;
  const absl::Time start = absl::Now();
  const grpc::Status status = stub->Unary(&call, Ping(), &pong);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_LT(absl::Now() - start, kPrompt);
}

TEST_F(ClientTest, ADetachedCallKeepsTheValuesOnly) {
  auto [timed, cancel] = WithTimeout(Background(), absl::Seconds(60));
  const Context ctx = WithRequestId(timed, "req-3");
  cancel();
  ClientCall call(ctx, CallOptions::Detached());
  EXPECT_TRUE(Call(call, kAnswer).ok());
  EXPECT_EQ(remaining_, absl::InfiniteDuration());
  EXPECT_EQ(request_id_, "req-3");
}

TEST_F(ClientTest, AnExplicitContextPrevailsOverTheCurrentOne) {
  const Context mine = WithRequestId(Background(), "mine");
  auto [other, cancel] = WithCancel(WithRequestId(Background(), "other"));
  cancel();
  ScopedContext scope(other);
  ClientCall call(mine);
  EXPECT_TRUE(Call(call, kAnswer).ok());
  EXPECT_EQ(request_id_, "mine");
}

TEST_F(ClientTest, AHeaderOfTheApplicationStays) {
  ClientCall call(WithRequestId(Background(), "from the context"));
  call.AddMetadata("x-request-id", "own");
  EXPECT_TRUE(Call(call, kAnswer).ok());
  EXPECT_EQ(request_id_, "own");
}

TEST_F(ClientTest, OnAChannelWithoutTetherDeadlineAndCancellationHold) {
  auto stub = server_.Stub(std::nullopt);
  Ping ping;
  ping.set_number(kWait);
  Pong pong;
  {
    auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(300));
    ClientCall call(ctx);
    EXPECT_EQ(stub->Unary(&call, ping, &pong).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  while (entered_ != 1) std::this_thread::yield();
}

TEST_F(ClientTest, OnAChannelWithoutTetherCancellationHolds) {
  auto stub = server_.Stub(std::nullopt);
  auto [ctx, cancel] = WithCancel(Background());
  std::thread canceler([&, &cancel_ctx = cancel] {
    waiting_.WaitForNotification();
    cancel_ctx();
  });
  {
    ClientCall call(ctx);
    Ping ping;
    ping.set_number(kWait);
    Pong pong;
    EXPECT_EQ(stub->Unary(&call, ping, &pong).error_code(),
              grpc::StatusCode::CANCELLED);
  }
  canceler.join();
}

TEST_F(ClientTest, ACancelledContextEndsAStream) {
  server_.download = [](grpc::ServerContext& sc, const Ping&,
                        grpc::ServerWriter<Pong>* writer) {
    const Context ctx = ContextOf(sc);
    while (!ctx.WaitFor(absl::Milliseconds(1)) && writer->Write(Pong())) {
    }
    EXPECT_TRUE(ctx.WaitFor(kPrompt));
    EXPECT_EQ(ctx.Err().code(), absl::StatusCode::kCancelled);
    return StatusOf(ctx);
  };
  auto [ctx, cancel] = WithCancel(Background());
  ClientCall call(ctx);
  auto reader = stub_->Download(&call, Ping());
  Pong pong;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(reader->Read(&pong));
  cancel();
  while (reader->Read(&pong)) {
  }
  EXPECT_EQ(reader->Finish().error_message(), "context canceled");
}

TEST_F(ClientTest, AStreamThatIsAbandonedLeavesNothing) {
  absl::Notification left;
  server_.download = [&](grpc::ServerContext& sc, const Ping&,
                         grpc::ServerWriter<Pong>* writer) {
    writer->Write(Pong());
    ContextOf(sc).WaitFor(kGiveUp);
    left.Notify();
    return grpc::Status::OK;
  };
  auto [ctx, cancel] = WithCancel(Background());
  {
    ClientCall call(ctx);
    auto reader = stub_->Download(&call, Ping());
    Pong pong;
    const bool read = reader->Read(&pong);
    EXPECT_TRUE(read) << reader->Finish().error_message();
  }  // not read to its end, and not finished
  EXPECT_TRUE(left.WaitForNotificationWithTimeout(kPrompt));
}

TEST_F(ClientTest, ACallbackCallEndsWithItsContext) {
  auto [ctx, cancel] = WithCancel(Background());
  absl::Notification done;
  grpc::Status result;
  ClientCall call(ctx);
  Ping ping;
  ping.set_number(kWait);
  Pong pong;
  stub_->async()->Unary(&call, &ping, &pong, [&](grpc::Status status) {
    result = std::move(status);
    done.Notify();
  });
  waiting_.WaitForNotification();
  cancel();
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(kPrompt));
  EXPECT_EQ(result.error_message(), "context canceled");
}

// A middle hop that only forwards calls.
class RelayTest : public ClientTest {
 protected:
  RelayTest() {
    middle_.unary = [this](grpc::ServerContext& sc, const Ping& ping,
                           Pong* pong) {
      ClientCall call(ContextOf(sc));
      return stub_->Unary(&call, ping, pong);
    };
  }
  ProbeServer middle_{{}};
  std::unique_ptr<testing::Probe::Stub> middle_stub_ = middle_.Stub();
};

TEST_F(RelayTest, ACancellationReachesTheLeafOfAChain) {
  auto [ctx, cancel] = WithCancel(WithRequestId(Background(), "chain"));
  std::thread canceler([&, &cancel_ctx = cancel] {
    waiting_.WaitForNotification();
    cancel_ctx();
  });
  const absl::Time start = absl::Now();
  {
    ClientCall call(ctx);
    Ping ping;
    ping.set_number(kWait);
    Pong pong;
    EXPECT_EQ(middle_stub_->Unary(&call, ping, &pong).error_message(),
              "context canceled");
  }
  canceler.join();
  while (GetGrpcStats().server_calls != 0 && absl::Now() - start < kGiveUp) {
    std::this_thread::yield();
  }
  EXPECT_LT(absl::Now() - start, kPrompt);
  EXPECT_EQ(err_, absl::CancelledError("context canceled"));
  EXPECT_EQ(request_id_, "chain");
}

TEST_F(RelayTest, ADeadlineEndsEveryHopAsADeadline) {
  for (int i = 0; i < 10; ++i) {
    auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
    {
      ClientCall call(ctx);
      Pong pong;
      EXPECT_EQ(middle_stub_->Unary(&call, Ping(), &pong).error_code(),
                grpc::StatusCode::OK);
    }
    EXPECT_LE(remaining_, kGiveUp);
  }
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(200));
  {
    ClientCall call(ctx);
    Ping ping;
    ping.set_number(kWait);
    Pong pong;
    EXPECT_THAT(middle_stub_->Unary(&call, ping, &pong).error_message(),
                StartsWith("context deadline exceeded: "));
  }
  const absl::Time start = absl::Now();
  while (GetGrpcStats().server_calls != 0 && absl::Now() - start < kGiveUp) {
    std::this_thread::yield();
  }
  EXPECT_EQ(err_.code(), absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace tether
