// SPDX-License-Identifier: Apache-2.0
//
// Simulated time in a program's own tests, also through real gRPC: timeouts of
// minutes and hours pass in an instant. The code in docs/testing.md is from
// this file.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace {

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

TEST(SimulatedClockTest, AnHourPassesWhenTheTestSaysSo) {
  tether::testing::SimulatedClock clock;
  auto [ctx, cancel] =
      tether::WithTimeout(tether::Background(clock), absl::Hours(1));
  clock.Advance(absl::Minutes(59));
  EXPECT_FALSE(ctx.Done());
  clock.Advance(absl::Minutes(1));
  EXPECT_EQ(ctx.Err().code(), absl::StatusCode::kDeadlineExceeded);
}

// The code under test. It asks the supplier every ten minutes, until the
// supplier knows the stock.
class InventoryService final : public Inventory::Service {
 public:
  std::atomic<int> known_when_asked{4};  // for the fourth time
  std::atomic<int> asked{0};
  std::atomic<tether::EndReason> reason{tether::EndReason::kNone};

 private:
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest*,
                        GetStockResponse* response) override {
    const tether::Context ctx = tether::ContextOf(*server_context);
    while (++asked < known_when_asked) {
      if (ctx.WaitFor(absl::Minutes(10))) {
        reason = tether::EndReasonOf(ctx);
        return tether::StatusOf(ctx);
      }
    }
    response->set_stock(42);
    return grpc::Status::OK;
  }
};

// Waits for other threads, in real time. 20 s are much more than they need.
void Eventually(const std::function<bool()>& condition) {
  const absl::Time limit = absl::Now() + absl::Seconds(20);
  while (!condition()) {
    ASSERT_LT(absl::Now(), limit);
    absl::SleepFor(absl::Milliseconds(1));
  }
}

class SimulatedTimeTest : public tether::testing::LeakCheckedTest {
 protected:
  SimulatedTimeTest() {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(&inventory_);
    tether::ServerOptions options;
    options.base_context = tether::Background(clock_);
    options.time.max_timeout = absl::Hours(1);
    tether::InstallServer(builder, options);
    server_ = builder.BuildAndStart();
    stub_ = Inventory::NewStub(
        tether::CreateChannel("127.0.0.1:" + std::to_string(port),
                              grpc::InsecureChannelCredentials()));
  }

  // gRPC drops the last contexts on threads of its own. LeakCheckedTest waits
  // for that, so the clock outlives them.
  void TearDown() override {
    server_->Shutdown();
    LeakCheckedTest::TearDown();
  }

  // Calls GetStock on another thread.
  std::future<grpc::Status> GetStock(const tether::Context& ctx) {
    return std::async(std::launch::async, [this, ctx] {
      tether::ClientCall call(ctx);
      return stub_->GetStock(&call, GetStockRequest(), &response_);
    });
  }

  tether::testing::SimulatedClock clock_;
  InventoryService inventory_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Inventory::Stub> stub_;
  GetStockResponse response_;
};

TEST_F(SimulatedTimeTest, ACallsTimeoutOfAMinutePassesAtOnce) {
  auto [ctx, cancel] =
      tether::WithTimeout(tether::Background(clock_), absl::Minutes(1));
  std::future<grpc::Status> status = GetStock(ctx);
  Eventually([&] { return inventory_.asked == 1; });
  clock_.Advance(absl::Seconds(59));
  EXPECT_FALSE(ctx.Done());
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(status.get().error_code(), grpc::DEADLINE_EXCEEDED);
}

TEST_F(SimulatedTimeTest, AHandlerThatWaitsForHalfAnHourAnswersAtOnce) {
  std::future<grpc::Status> status = GetStock(tether::Background());
  for (int i = 0; i < 3; ++i) {
    // The handler is in WaitFor, which has set a timer.
    Eventually([&] {
      return inventory_.asked == i + 1 && clock_.armed_timers() == 2;
    });
    clock_.Advance(absl::Minutes(10));
  }
  EXPECT_TRUE(status.get().ok());
  EXPECT_EQ(response_.stock(), 42);
}

// Both sides are on the same clock.
TEST_F(SimulatedTimeTest, AHandlerEndsBeforeItsCallersTimeIsUp) {
  auto [ctx, cancel] =
      tether::WithTimeout(tether::Background(clock_), absl::Minutes(1));
  std::future<grpc::Status> status = GetStock(ctx);
  Eventually([&] { return inventory_.asked == 1; });
  clock_.Advance(absl::Minutes(1) - absl::Milliseconds(50));  // the reserve
  EXPECT_EQ(status.get().error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(inventory_.reason, tether::EndReason::kInheritedDeadline);
  EXPECT_FALSE(ctx.Done());
}

TEST_F(SimulatedTimeTest, AServersMaximumOfAnHourPassesAtOnce) {
  inventory_.known_when_asked = 100;
  std::future<grpc::Status> status = GetStock(tether::Background());
  Eventually([&] { return inventory_.asked == 1; });
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(status.get().error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(inventory_.reason, tether::EndReason::kOwnTimeout);
}

}  // namespace
