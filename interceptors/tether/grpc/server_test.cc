// SPDX-License-Identifier: Apache-2.0
//
// The contexts of sync handlers, over real connections on loopback: when they
// end, and what they cost.
//
// Time is real, because gRPC's is. kPrompt is the slack for "at once": half a
// second, a thousand times what it takes on an idle machine, so that a loaded
// machine passes. A test that misses its event waits for kGiveUp.

#include "tether/grpc/server.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/end_reason.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/live_counts.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

constexpr absl::Duration kPrompt = absl::Milliseconds(500);

inline constexpr Key<int> kNumber{"number"};

class ServerTest : public testing::GrpcLeakCheckedTest {};

std::chrono::system_clock::time_point In(absl::Duration d) {
  return absl::ToChronoTime(absl::Now() + d);
}

// The observations of a handler.
struct Seen {
  absl::Status err;
  absl::Status cause;
  absl::Duration waited = absl::ZeroDuration();
  absl::Duration remaining = absl::ZeroDuration();
  absl::Notification entered;
  absl::Notification left;

  grpc::Status WaitIn(const Context& ctx) {
    const absl::Time start = absl::Now();
    remaining = ctx.Remaining();
    entered.Notify();
    ctx.WaitFor(kGiveUp);
    waited = absl::Now() - start;
    err = ctx.Err();
    cause = ctx.Cause();
    left.Notify();
    return StatusOf(ctx);
  }
};

TEST_F(ServerTest, WithoutTetherContextOfIsBackground) {
  ProbeServer server({/*callback_api=*/false, /*tether=*/std::nullopt});
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_EQ(ContextOf(sc), Background());
    EXPECT_EQ(Current(), Background());
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  Pong pong;
  EXPECT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
}

TEST_F(ServerTest, ASyncHandlerHasItsContextAsCurrentToo) {
  ProbeServer server({});
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_NE(ContextOf(sc), Background());
    EXPECT_EQ(Current(), ContextOf(sc));
    EXPECT_EQ(ContextOf(sc).Deadline(), absl::InfiniteFuture());
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  Pong pong;
  EXPECT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
}

TEST_F(ServerTest, AWaitingSyncHandlerIsToldThatItsCallerLeft) {
  ProbeServer server({});
  Seen seen;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    return seen.WaitIn(ContextOf(sc));
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  std::thread leaver([&] {
    seen.entered.WaitForNotification();
    call.TryCancel();
  });
  Pong pong;
  EXPECT_EQ(stub->Unary(&call, Ping(), &pong).error_code(),
            grpc::StatusCode::CANCELLED);
  leaver.join();
  ASSERT_TRUE(seen.left.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_EQ(seen.err, absl::CancelledError("context canceled"));
  EXPECT_EQ(seen.cause.message(), "the caller cancelled the call or is gone");
  EXPECT_LT(seen.waited, kPrompt);
}

// The control: in plain gRPC a sync handler has nothing to wait on.
TEST_F(ServerTest, WithoutTetherASyncHandlerRunsOnAfterItsCallerLeft) {
  ProbeServer server({false, std::nullopt});
  Seen seen;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    seen.entered.Notify();
    EXPECT_FALSE(ContextOf(sc).WaitFor(kPrompt));
    seen.left.Notify();
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  std::thread leaver([&] {
    seen.entered.WaitForNotification();
    call.TryCancel();
  });
  Pong pong;
  const absl::Time start = absl::Now();
  EXPECT_EQ(stub->Unary(&call, Ping(), &pong).error_code(),
            grpc::StatusCode::CANCELLED);
  leaver.join();
  seen.left.WaitForNotification();
  EXPECT_GE(absl::Now() - start, kPrompt);
}

TEST_F(ServerTest, APollingSyncHandlerSeesThatItsCallerLeft) {
  ProbeServer server({});
  Seen seen;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    const Context ctx = ContextOf(sc);
    seen.entered.Notify();
    const absl::Time give_up = absl::Now() + kGiveUp;
    while (!ctx.Done() && absl::Now() < give_up) std::this_thread::yield();
    seen.err = ctx.Err();
    seen.left.Notify();
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  std::thread leaver([&] {
    seen.entered.WaitForNotification();
    call.TryCancel();
  });
  Pong pong;
  EXPECT_FALSE(stub->Unary(&call, Ping(), &pong).ok());
  leaver.join();
  seen.left.WaitForNotification();
  EXPECT_EQ(seen.err, absl::CancelledError("context canceled"));
}

// A watch that starts later is a callback until then.
int64_t WatchesAndThoseToCome() {
  return GetGrpcStats().watches +
         internal::LiveCount(internal::Live::kCallback);
}

// A handler that observes its context gets one watch, and gets it soon. A short
// request is done before.
TEST_F(ServerTest, AHandlerThatNeverLooksMakesNoWatch) {
  ProbeServer server({});
  server.unary = [&](grpc::ServerContext& sc, const Ping& ping, Pong*) {
    const Context ctx = ContextOf(sc);
    const Context with_value = WithValue(ctx, kNumber, 1);
    EXPECT_EQ(*with_value.Value(kNumber), 1);
    EXPECT_EQ(WatchesAndThoseToCome(), 0);
    if (ping.number() == 1) {
      // In the first 2 ms, a look is no observation.
      const absl::Time start = absl::Now();
      while (GetGrpcStats().watches == 0 && absl::Now() - start < kGiveUp) {
        EXPECT_FALSE(ctx.Done());
        std::this_thread::yield();
      }
      EXPECT_EQ(GetGrpcStats().watches, 1);
      EXPECT_FALSE(ctx.Done());
      EXPECT_EQ(GetGrpcStats().watches, 1);
    }
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  for (int number : {0, 1, 0}) {
    // The watch of the previous call may end a moment after that call.
    while (GetGrpcStats().watches != 0) std::this_thread::yield();
    grpc::ClientContext call;
    Ping ping;
    ping.set_number(number);
    Pong pong;
    EXPECT_TRUE(stub->Unary(&call, ping, &pong).ok());
  }
}

TEST_F(ServerTest, TheCallersDeadlineEndsTheContext) {
  ProbeServer server({});
  Seen seen;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    return seen.WaitIn(ContextOf(sc));
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  call.set_deadline(In(absl::Milliseconds(200)));
  Pong pong;
  EXPECT_EQ(stub->Unary(&call, Ping(), &pong).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  seen.left.WaitForNotification();
  EXPECT_LE(seen.remaining, absl::Milliseconds(210));  // gRPC rounds it up
  EXPECT_EQ(seen.err, absl::DeadlineExceededError("context deadline exceeded"));
  EXPECT_LT(seen.waited, kPrompt);
}

TEST_F(ServerTest, MaxTimeoutCapsWhatACallerMayAskFor) {
  ServerOptions options;
  options.time.max_timeout = absl::Milliseconds(50);
  ProbeServer server({false, options});
  Seen seen;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    return seen.WaitIn(ContextOf(sc));
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  call.set_deadline(In(kGiveUp));
  Pong pong;
  EXPECT_EQ(stub->Unary(&call, Ping(), &pong).error_message(),
            "context deadline exceeded: the server's max_timeout has passed");
  EXPECT_LE(seen.remaining, absl::Milliseconds(50));
  EXPECT_LT(seen.waited, kPrompt);
}

// The caller doesn't know the server's deadline. (For callers that leave near
// their own deadline, see DeadlineSlack.)
TEST_F(ServerTest, ACallerThatLeavesJustBeforeMaxTimeoutHasCancelled) {
  ServerOptions options;
  options.time.max_timeout = absl::Milliseconds(50);
  ProbeServer server({false, options});
  int cancelled = 0;
  // Repeated, because a loaded machine may need longer than those few
  // milliseconds.
  for (int i = 0; i < 40 && cancelled == 0; ++i) {
    Context ctx;
    absl::Notification entered;
    server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
      ctx = ContextOf(sc);
      entered.Notify();
      ctx.WaitFor(kGiveUp);
      if (ctx.Err().code() == absl::StatusCode::kCancelled) ++cancelled;
      return StatusOf(ctx);
    };
    auto stub = server.Stub(std::nullopt);
    grpc::ClientContext call;
    std::thread leaver([&] {
      entered.WaitForNotification();
      while (ctx.Remaining() > absl::Milliseconds(6)) std::this_thread::yield();
      call.TryCancel();
    });
    Pong pong;
    EXPECT_FALSE(stub->Unary(&call, Ping(), &pong).ok());
    leaver.join();
    while (GetGrpcStats().server_calls != 0) std::this_thread::yield();
  }
  EXPECT_EQ(cancelled, 1);
}

TEST_F(ServerTest, TheContextEndsWhenTheHandlerReturns) {
  ProbeServer server({});
  Context kept;
  Context detached;
  std::atomic<int> fired{0};
  std::optional<Registration> registration;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    kept = ContextOf(sc);
    detached = WithoutCancel(kept);
    registration.emplace(kept, [&] { ++fired; });
    return grpc::Status::OK;
  };
  {
    auto stub = server.Stub(std::nullopt);
    grpc::ClientContext call;
    Pong pong;
    EXPECT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
  }
  EXPECT_TRUE(kept.WaitFor(kGiveUp));
  EXPECT_EQ(kept.Cause().message(), "the handler has returned");
  EXPECT_EQ(EndReasonOf(kept), EndReason::kCompleted);
  EXPECT_FALSE(detached.Done());
  registration.reset();
  EXPECT_EQ(fired, 1);
}

TEST_F(ServerTest, AStreamingHandlerIsToldThatItsReaderLeft) {
  ProbeServer server({});
  Seen seen;
  server.download = [&](grpc::ServerContext& sc, const Ping&,
                        grpc::ServerWriter<Pong>* writer) {
    const Context ctx = ContextOf(sc);
    while (!ctx.WaitFor(absl::Milliseconds(1)) && writer->Write(Pong())) {
    }
    return seen.WaitIn(ctx);
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  auto reader = stub->Download(&call, Ping());
  Pong pong;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(reader->Read(&pong));
  call.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(seen.left.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_EQ(seen.err, absl::CancelledError("context canceled"));
  EXPECT_LT(seen.waited, kPrompt);
}

TEST_F(ServerTest, AStreamThatEndsWellEndsItsContext) {
  ProbeServer server({});
  Context kept;
  server.download = [&](grpc::ServerContext& sc, const Ping&,
                        grpc::ServerWriter<Pong>* writer) {
    kept = ContextOf(sc);
    EXPECT_FALSE(kept.Done());
    for (int i = 0; i < 3; ++i) writer->Write(Pong());
    return grpc::Status::OK;
  };
  {
    auto stub = server.Stub(std::nullopt);
    grpc::ClientContext call;
    auto reader = stub->Download(&call, Ping());
    Pong pong;
    int read = 0;
    while (reader->Read(&pong)) ++read;
    EXPECT_EQ(read, 3);
    EXPECT_TRUE(reader->Finish().ok());
  }
  EXPECT_TRUE(kept.WaitFor(kGiveUp));
  kept = Context();
}

TEST_F(ServerTest, ShutdownEndsTheContextsOfWhatStillRuns) {
  ProbeServer server({});
  Seen seen;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    return seen.WaitIn(ContextOf(sc));
  };
  auto stub = server.Stub(std::nullopt);
  std::thread caller([&] {
    grpc::ClientContext call;
    Pong pong;
    EXPECT_FALSE(stub->Unary(&call, Ping(), &pong).ok());
  });
  seen.entered.WaitForNotification();
  server.server().Shutdown(In(absl::Milliseconds(20)));
  caller.join();
  EXPECT_TRUE(seen.left.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_EQ(seen.err.code(), absl::StatusCode::kCancelled);
}

TEST_F(ServerTest, AnExceptionInAHandlerEndsItsContext) {
  ProbeServer server({});
  Context kept;
  server.unary = [&](grpc::ServerContext& sc, const Ping&,
                     Pong*) -> grpc::Status {
    kept = ContextOf(sc);
    throw std::runtime_error("handler");
  };
  {
    auto stub = server.Stub(std::nullopt);
    grpc::ClientContext call;
    Pong pong;
    EXPECT_EQ(stub->Unary(&call, Ping(), &pong).error_code(),
              grpc::StatusCode::UNKNOWN);
  }
  EXPECT_TRUE(kept.WaitFor(kGiveUp));
  kept = Context();
}

}  // namespace
}  // namespace tether
