// SPDX-License-Identifier: Apache-2.0
//
// How the report shows calls that a hop makes in a special way (with a reserve
// of its own, detached, in parallel), calls that fail, and retries.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "integration_tests/budget_chain.h"
#include "tether/budget/explain.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/task_group.h"
#include "tether/testing/give_up.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {
namespace {

using ::testing::HasSubstr;
using testing::kGiveUp;
using ::testing::Not;

constexpr int kStorefront = BudgetChain::kStorefront;
constexpr int kOrders = BudgetChain::kOrders;
constexpr int kInventory = BudgetChain::kInventory;

using Options = BudgetChain::Options;
using Result = BudgetChain::Result;
using CallNext = BudgetChain::CallNext;
using When = ReportOptions::When;

class ReportedCallsTest : public testing::GrpcLeakCheckedTest {};

// ---- Options of one call
// -----------------------------------------------------

TEST_F(ReportedCallsTest, ACallMayHaveAReserveOfItsOwn) {
  Options options;
  options.client.reserve = {absl::Seconds(2), 0, absl::Seconds(2)};
  options.server.report.when = When::kAlways;
  options.handlers[kStorefront] = [](const Context& ctx, const CallNext& next,
                                     grpc::ServerContextBase&) {
    CallOptions whole;
    whole.reserve = Reserve::None();
    next(ctx, whole);
    return next(ctx, {});
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  ASSERT_EQ(result.report.report().calls_size(), 2);
  const auto kept = [](const v1::CallReport& call) {
    return call.time_left_us() - call.report().time_left_us();
  };
  // Includes the time between the two readings.
  EXPECT_GE(kept(result.report.report().calls(0)), 0);
  EXPECT_LT(kept(result.report.report().calls(0)), 1'900'000);
  EXPECT_GE(kept(result.report.report().calls(1)), 2'000'000);
}

TEST_F(ReportedCallsTest, ADetachedCallHasNeitherDeadlineNorCancellation) {
  absl::Notification in_leaf, left, over;
  absl::Duration remaining;
  bool done = true;
  Options options;
  options.handlers[kOrders] = [&](const Context& ctx, const CallNext& next,
                                  grpc::ServerContextBase&) {
    const grpc::Status status = next(ctx, CallOptions::Detached());
    EXPECT_TRUE(status.ok()) << status.error_message();
    over.Notify();
    return status;
  };
  options.handlers[kInventory] = [&](const Context& ctx, const CallNext&,
                                     grpc::ServerContextBase&) {
    in_leaf.Notify();
    left.WaitForNotification();
    remaining = ctx.Remaining();
    done = ctx.WaitFor(absl::Milliseconds(50));
    return grpc::Status::OK;
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  std::thread leaver([&, &leave = cancel] {
    in_leaf.WaitForNotification();
    leave();
  });
  EXPECT_EQ(chain.Call(ctx).status.error_code(), grpc::StatusCode::CANCELLED);
  leaver.join();
  left.Notify();
  EXPECT_TRUE(over.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_EQ(remaining, absl::InfiniteDuration());
  EXPECT_FALSE(done);
}

// ---- Several calls ----------------------------------------------------------

constexpr char kThreeAttempts[] =
    R"({"methodConfig": [{"name": [{"service": "shop.v1.Inventory"}],
        "retryPolicy": {"maxAttempts": 3, "backoffMultiplier": 1,
        "initialBackoff": "0.02s", "maxBackoff": "0.02s",
        "retryableStatusCodes": ["UNAVAILABLE"]}}]})";

// Answers UNAVAILABLE to two of three requests.
BudgetChain::Handler TwoOfThreeFail(std::atomic<int>& requests) {
  return
      [&requests](const Context&, const CallNext&, grpc::ServerContextBase&) {
        return ++requests % 3 == 0
                   ? grpc::Status::OK
                   : grpc::Status(grpc::StatusCode::UNAVAILABLE, "not yet");
      };
}

TEST_F(ReportedCallsTest, RetriesOfGrpcAreOneCall) {
  std::atomic<int> requests{0};
  Options options;
  options.service_config = kThreeAttempts;
  options.server.report.when = When::kAlways;
  options.handlers[kInventory] = TwoOfThreeFail(requests);
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(requests, 3);
  const v1::BudgetReport& orders = CallTo(kOrders, result.report)->report();
  ASSERT_EQ(orders.calls_size(), 1);
  EXPECT_EQ(orders.calls(0).report().previous_attempts(), 2);
  EXPECT_THAT(Explain(result.report), HasSubstr("gRPC attempt 3"));
}

TEST_F(ReportedCallsTest, RetriesOfTheCodeAreCallsInARow) {
  std::atomic<int> requests{0};
  Options options;
  options.server.report.when = When::kAlways;
  options.handlers[kInventory] = TwoOfThreeFail(requests);
  options.handlers[kOrders] = [](const Context& ctx, const CallNext& next,
                                 grpc::ServerContextBase&) {
    grpc::Status status = next(ctx, {});
    while (!status.ok()) status = next(ctx, {});
    return status;
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(CallTo(kOrders, result.report)->report().calls_size(), 3);
  const std::string text = Explain(result.report);
  EXPECT_THAT(text, HasSubstr("attempt 1 of 3"));
  EXPECT_THAT(text, HasSubstr("attempt 3 of 3"));
  EXPECT_THAT(text, Not(HasSubstr("parallel")));
}

TEST_F(ReportedCallsTest, FanOutIsParallel) {
  absl::Mutex mutex;
  int in_leaf = 0;
  Options options;
  options.server.report.when = When::kAlways;
  options.handlers[kInventory] = [&](const Context&, const CallNext&,
                                     grpc::ServerContextBase&) {
    // Waits until the other calls have arrived, too.
    absl::MutexLock lock(&mutex);
    ++in_leaf;
    const auto all = [&in_leaf] { return in_leaf == 3; };
    mutex.AwaitWithTimeout(absl::Condition(&all), kGiveUp);
    return grpc::Status::OK;
  };
  options.handlers[kOrders] = [](const Context& ctx, const CallNext& next,
                                 grpc::ServerContextBase&) {
    TaskGroup group(ctx);
    for (int i = 0; i < 3; ++i) {
      group.Go([&](const Context& task_ctx) {
        return FromGrpcStatus(next(task_ctx, {}));
      });
    }
    return ToGrpcStatus(group.Wait());
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(CallTo(kOrders, result.report)->report().calls_size(), 3);
  const std::string text = Explain(result.report);
  EXPECT_THAT(text, HasSubstr("parallel"));
  EXPECT_THAT(text, Not(HasSubstr("attempt")));
}

TEST_F(ReportedCallsTest, ErrorsAreTold) {
  Options options;
  options.handlers[kInventory] = [](const Context&, const CallNext&,
                                    grpc::ServerContextBase&) -> grpc::Status {
    throw std::runtime_error("a bug");
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNKNOWN);
  const v1::CallReport* call = CallTo(kInventory, result.report);
  ASSERT_NE(call, nullptr);
  ASSERT_TRUE(call->has_report());
  EXPECT_EQ(call->report().outcome(), 2);
  EXPECT_EQ(call->report().reason(), v1::END_REASON_COMPLETED);
}

}  // namespace
}  // namespace tether
