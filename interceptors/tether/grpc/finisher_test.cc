// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/finisher.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

class FinisherTest : public testing::GrpcLeakCheckedTest {
 protected:
  FinisherTest() : server_({/*callback_api=*/true, ServerOptions()}) {}

  ProbeServer server_;
};

TEST_F(FinisherTest, FinishesWhenTheCallerLeaves) {
  absl::Notification waiting;
  std::optional<Finisher> finisher;
  server_.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                               Pong*) {
    grpc::ServerUnaryReactor* reactor = sc->DefaultReactor();
    finisher.emplace(ContextOf(*sc), reactor);
    waiting.Notify();
    return reactor;
  };
  const auto stub = server_.Stub(std::nullopt);
  grpc::ClientContext call;
  std::thread leaves([&] {
    waiting.WaitForNotificationWithTimeout(kGiveUp);
    call.TryCancel();
  });
  Pong pong;
  EXPECT_FALSE(stub->Unary(&call, Ping(), &pong).ok());
  leaves.join();
  // Shutdown returns when all calls have been finished.
  server_.server().Shutdown(absl::ToChronoTime(absl::Now() + kGiveUp));
  EXPECT_FALSE(finisher->Claim());
  EXPECT_FALSE(finisher->Finish(grpc::Status::OK));
}

TEST_F(FinisherTest, FinishesWhenTheContextEndsThoughNoHandleIsLeft) {
  absl::Notification waiting;
  server_.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                               Pong*) {
    grpc::ServerUnaryReactor* reactor = sc->DefaultReactor();
    { const Finisher finisher(ContextOf(*sc), reactor); }
    waiting.Notify();
    return reactor;
  };
  const auto stub = server_.Stub(std::nullopt);
  grpc::ClientContext call;
  std::thread leaves([&] {
    waiting.WaitForNotificationWithTimeout(kGiveUp);
    call.TryCancel();
  });
  Pong pong;
  EXPECT_FALSE(stub->Unary(&call, Ping(), &pong).ok());
  leaves.join();
  // Shutdown returns when all calls have been finished.
  const absl::Time begin = absl::Now();
  server_.server().Shutdown(absl::ToChronoTime(begin + kGiveUp));
  EXPECT_LT(absl::Now() - begin, kGiveUp / 2);
}

TEST_F(FinisherTest, TheHandlersAnswerIsTheOnlyOne) {
  server_.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                               Pong* pong) {
    grpc::ServerUnaryReactor* reactor = sc->DefaultReactor();
    const Finisher finisher(ContextOf(*sc), reactor);
    EXPECT_TRUE(finisher.Claim());
    EXPECT_FALSE(finisher.Claim());
    pong->set_number(7);
    reactor->Finish(grpc::Status::OK);  // which ends the context, too
    EXPECT_FALSE(finisher.Finish(grpc::Status::OK));
    return reactor;
  };
  const auto stub = server_.Stub(std::nullopt);
  grpc::ClientContext call;
  Pong pong;
  EXPECT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
  EXPECT_EQ(pong.number(), 7);
}

TEST_F(FinisherTest, ACallerThatLeavesWhileTheHandlerAnswers) {
  std::atomic<int> answered{0};
  std::atomic<int> late{0};
  std::mutex mutex;
  std::vector<std::thread> workers;  // under mutex
  server_.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                               Pong* pong) {
    grpc::ServerUnaryReactor* reactor = sc->DefaultReactor();
    const Finisher finisher(ContextOf(*sc), reactor);
    const std::lock_guard<std::mutex> lock(mutex);  // handlers may overlap
    workers.emplace_back([=, &answered, &late] {
      absl::SleepFor(absl::Microseconds(300));
      if (!finisher.Claim()) {
        ++late;
        return;
      }
      pong->set_number(1);
      reactor->Finish(grpc::Status::OK);
      ++answered;
    });
    return reactor;
  };
  const auto stub = server_.Stub(std::nullopt);
  for (int i = 0; i < 300; ++i) {
    grpc::ClientContext call;
    std::thread leaves([&call, i] {
      absl::SleepFor(absl::Microseconds(i * 5));
      call.TryCancel();
    });
    Pong pong;
    stub->Unary(&call, Ping(), &pong);
    leaves.join();
  }
  server_.server().Shutdown(absl::ToChronoTime(absl::Now() + kGiveUp));
  for (std::thread& worker : workers) worker.join();
  EXPECT_GT(answered + late, 0);
}

TEST_F(FinisherTest, AStreamWhoseCallerLeavesDuringAWriteIsFinished) {
  class Reactor final : public grpc::ServerWriteReactor<Pong> {
   public:
    Reactor(const Context& ctx, std::atomic<int>& done)
        : done_(done), finisher_(ctx, this) {
      pong_.GetReflection()->MutableUnknownFields(&pong_)->AddLengthDelimited(
          99, std::string(16 << 10, '.'));
      StartWrite(&pong_);
    }
    void OnWriteDone(bool ok) override {
      if (ok) {
        StartWrite(&pong_);
      } else {
        finisher_.Finish(grpc::Status::CANCELLED);
      }
    }
    void OnDone() override {
      ++done_;
      delete this;
    }

   private:
    std::atomic<int>& done_;
    Pong pong_;
    const Finisher finisher_;
  };
  std::atomic<int> done{0};
  server_.callback_download = [&](grpc::CallbackServerContext* sc,
                                  const Ping*) {
    return new Reactor(ContextOf(*sc), done);
  };
  const auto stub = server_.Stub(std::nullopt);
  for (int i = 0; i < 50; ++i) {
    grpc::ClientContext call;
    const auto download = stub->Download(&call, Ping());
    Pong pong;
    EXPECT_TRUE(download->Read(&pong));
    call.TryCancel();
    EXPECT_FALSE(download->Finish().ok());
  }
  server_.server().Shutdown(absl::ToChronoTime(absl::Now() + kGiveUp));
  EXPECT_EQ(done, 50);
}

}  // namespace
}  // namespace tether
