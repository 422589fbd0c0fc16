// SPDX-License-Identifier: Apache-2.0
//
// The contexts of the callback API's handlers, over real connections on
// loopback.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

// The slack for "at once" on a loaded machine.
constexpr absl::Duration kPrompt = absl::Milliseconds(500);

class CallbackServerTest : public testing::GrpcLeakCheckedTest {};

TEST_F(CallbackServerTest, ACallbackHandlerIsToldThatItsCallerLeft) {
  ProbeServer server({/*callback_api=*/true, ServerOptions()});
  struct {
    absl::Status err;
    absl::Notification entered;
    absl::Notification left;
  } seen;
  std::optional<Registration> registration;
  server.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                              Pong*) {
    const Context ctx = ContextOf(*sc);
    EXPECT_EQ(Current(), ctx);
    auto* reactor = sc->DefaultReactor();
    registration.emplace(ctx, [&seen, ctx, reactor] {
      seen.err = ctx.Err();
      reactor->Finish(StatusOf(ctx));
      seen.left.Notify();
    });
    seen.entered.Notify();
    return reactor;
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
  ASSERT_TRUE(seen.left.WaitForNotificationWithTimeout(kPrompt));
  EXPECT_EQ(seen.err, absl::CancelledError("context canceled"));
  EXPECT_EQ(GetGrpcStats().watches, 0);  // gRPC pushes the end
  registration.reset();
}

TEST_F(CallbackServerTest, ACallbackHandlersContextEndsAtItsDeadline) {
  ProbeServer server({true, ServerOptions()});
  absl::Notification fired;
  std::optional<Registration> registration;
  server.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                              Pong*) {
    const Context ctx = ContextOf(*sc);
    auto* reactor = sc->DefaultReactor();
    registration.emplace(ctx, [&fired, ctx, reactor] {
      EXPECT_EQ(ctx.Err().code(), absl::StatusCode::kDeadlineExceeded);
      reactor->Finish(StatusOf(ctx));
      fired.Notify();
    });
    return reactor;
  };
  auto stub = server.Stub();
  // Long enough for a loaded machine to deliver the headers within a twentieth
  // of it: see DeadlineSlack.
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(1));
  {
    ClientCall call(ctx);
    Pong pong;
    EXPECT_EQ(stub->Unary(&call, Ping(), &pong).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  ASSERT_TRUE(fired.WaitForNotificationWithTimeout(kGiveUp));
  registration.reset();
}

TEST_F(CallbackServerTest, ACallbackHandlersContextEndsWhenItFinishes) {
  ProbeServer server({true, ServerOptions()});
  Context kept;
  server.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                              Pong*) {
    kept = ContextOf(*sc);
    EXPECT_FALSE(kept.Done());
    auto* reactor = sc->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  };
  auto stub = server.Stub(std::nullopt);
  {
    grpc::ClientContext call;
    Pong pong;
    EXPECT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
  }
  EXPECT_TRUE(kept.WaitFor(kGiveUp));
  EXPECT_EQ(kept.Cause().message(), "the handler has returned");
  EXPECT_EQ(EndReasonOf(kept), EndReason::kCompleted);
  kept = Context();
}

// Writes until it can't, and counts the reactions that run with an ambient
// context.
class EndlessWriter final : public grpc::ServerWriteReactor<Pong> {
 public:
  EndlessWriter(Context ctx, std::atomic<int>& strays, absl::Notification& done)
      : ctx_(std::move(ctx)), strays_(strays), done_(done) {
    StartWrite(&pong_);
  }
  void OnWriteDone(bool ok) override {
    if (Current() != Background()) ++strays_;
    if (ok && !ctx_.Done()) {
      StartWrite(&pong_);
    } else {
      Finish(StatusOf(ctx_));
    }
  }
  void OnDone() override {
    EXPECT_TRUE(ctx_.Done());
    absl::Notification& done = done_;
    delete this;
    done.Notify();
  }

 private:
  const Context ctx_;
  std::atomic<int>& strays_;
  absl::Notification& done_;
  Pong pong_;
};

TEST_F(CallbackServerTest,
       ACallbackStreamEndsWhenItsReaderLeavesAndLeavesNoAmbientContext) {
  ProbeServer server({true, ServerOptions()});
  std::atomic<int> strays{0};
  absl::Notification done;
  server.callback_download = [&](grpc::CallbackServerContext* sc, const Ping*) {
    return new EndlessWriter(ContextOf(*sc), strays, done);
  };
  auto stub = server.Stub(std::nullopt);
  {
    grpc::ClientContext call;
    auto reader = stub->Download(&call, Ping());
    Pong pong;
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(reader->Read(&pong));
    call.TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_EQ(strays, 0);
}

}  // namespace
}  // namespace tether
