// SPDX-License-Identifier: Apache-2.0
//
// Every hop knows why its work ended, and the report contains the reason: a
// deadline, a timeout of the hop's own, a caller that left, a broken
// connection, a shutdown, a failed sibling, too little time.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/budget_chain.h"
#include "tether/budget/explain.h"
#include "tether/context.h"
#include "tether/end_reason.h"
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

constexpr int kStorefront = BudgetChain::kStorefront;
constexpr int kOrders = BudgetChain::kOrders;
constexpr int kInventory = BudgetChain::kInventory;
constexpr int kHops = BudgetChain::kHops;
constexpr char kInventoryName[] = "inventory.GetStock";

using Options = BudgetChain::Options;
using Result = BudgetChain::Result;
using CallNext = BudgetChain::CallNext;
using When = ReportOptions::When;

class WhoEndedItTest : public testing::GrpcLeakCheckedTest {
 protected:
  // The reason that `hop` found at its end; kNone if none came within kGiveUp.
  EndReason ReasonAt(int hop) {
    absl::MutexLock lock(&mutex_);
    const auto known = [this, hop] {
      mutex_.AssertHeld();
      return noted_[hop];
    };
    mutex_.AwaitWithTimeout(absl::Condition(&known), kGiveUp);
    return reasons_[hop];
  }

  void Note(int hop, const Context& ctx) {
    const EndReason reason = EndReasonOf(ctx);
    absl::MutexLock lock(&mutex_);
    reasons_[hop] = reason;
    noted_[hop] = true;
  }

  // Each hop calls the next one, and the leaf waits for the end of its context.
  // Then each hop waits up to `patience` for its own end, and records the
  // reason.
  Options Noting(absl::Duration patience) {
    Options options;
    for (int hop = 0; hop < kHops; ++hop) {
      options.handlers[hop] = [this, hop, patience](const Context& ctx,
                                                    const CallNext& next,
                                                    grpc::ServerContextBase&) {
        if (hop == kInventory) {
          in_leaf_.Notify();
          ctx.WaitFor(kGiveUp);
        }
        const grpc::Status status =
            hop == kInventory ? StatusOf(ctx) : next(ctx, {});
        ctx.WaitFor(patience);
        Note(hop, ctx);
        return status;
      };
    }
    options.server.report.when = When::kAlways;
    return options;
  }

  absl::Notification in_leaf_;

 private:
  absl::Mutex mutex_;
  std::array<EndReason, kHops> reasons_ ABSL_GUARDED_BY(mutex_) = {};
  std::array<bool, kHops> noted_ ABSL_GUARDED_BY(mutex_) = {};
};

TEST_F(WhoEndedItTest, TheDeadlineThatCameWithTheRequest) {
  BudgetChain chain(Noting(kGiveUp));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(absl::Milliseconds(500));
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  for (int hop = 0; hop < kHops; ++hop) {
    EXPECT_EQ(ReasonAt(hop), EndReason::kInheritedDeadline) << hop;
  }
}

TEST_F(WhoEndedItTest, ATimeoutOfTheHopsOwn) {
  Options options = Noting(absl::ZeroDuration());
  options.handlers[kOrders] = [this](const Context& ctx, const CallNext& next,
                                     grpc::ServerContextBase&) {
    const auto [stock_ctx, cancel] = WithTimeout(ctx, absl::Milliseconds(200));
    const grpc::Status status = next(stock_ctx, {});
    stock_ctx.Wait();
    Note(kOrders, stock_ctx);
    return status;
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(ReasonAt(kInventory), EndReason::kInheritedDeadline);
  EXPECT_EQ(ReasonAt(kOrders), EndReason::kOwnTimeout);
  // Its context had time left.
  EXPECT_EQ(ReasonAt(kStorefront), EndReason::kNone);
  EXPECT_THAT(result.status.error_message(), HasSubstr(kInventoryName));
}

TEST_F(WhoEndedItTest, TheCallerLeft) {
  BudgetChain chain(Noting(kGiveUp));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  auto [ctx, cancel] = WithCancel(Background());
  std::thread leaver([this, &leave = cancel] {
    EXPECT_TRUE(in_leaf_.WaitForNotificationWithTimeout(kGiveUp));
    leave();
  });
  const Result result = chain.Call(ctx);
  leaver.join();
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(result.report.reason(), v1::END_REASON_CANCELLED);
  EXPECT_FALSE(result.report.answered());
  for (int hop = 0; hop < kHops; ++hop) {
    EXPECT_EQ(ReasonAt(hop), EndReason::kCallerLeft) << hop;
  }
}

// The client knows that the connection failed. The server can't know it: gRPC
// reports a caller that left.
TEST_F(WhoEndedItTest, TheConnectionBroke) {
  BudgetChain chain(Noting(absl::ZeroDuration()));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  std::thread cutter([&] {
    EXPECT_TRUE(in_leaf_.WaitForNotificationWithTimeout(kGiveUp));
    chain.CutLink(kInventory);
  });
  const Result result = chain.Call(kGiveUp);
  cutter.join();
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonAt(kInventory), EndReason::kCallerLeft);
  const v1::CallReport* call = CallTo(kInventory, result.report);
  ASSERT_NE(call, nullptr);
  EXPECT_EQ(call->reason(), v1::END_REASON_CONNECTION_LOST);
  EXPECT_FALSE(call->answered());
  EXPECT_THAT(Explain(result.report), HasSubstr("connection lost"));
}

TEST_F(WhoEndedItTest, TheServerShutsDown) {
  Options options = Noting(absl::ZeroDuration());
  auto [base_context, cancel_base_context] = WithCancel(Background());
  options.base_contexts[kOrders] = base_context;
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  std::thread shutdown([&, &end = cancel_base_context] {
    EXPECT_TRUE(in_leaf_.WaitForNotificationWithTimeout(kGiveUp));
    ShutdownServer(chain.server(kOrders), end, absl::Milliseconds(20), kGiveUp);
  });
  const Result result = chain.Call(kGiveUp);
  shutdown.join();
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonAt(kStorefront), EndReason::kNone);
  EXPECT_EQ(ReasonAt(kOrders), EndReason::kServerShutdown);
  EXPECT_EQ(ReasonAt(kInventory), EndReason::kCallerLeft);
  const v1::CallReport* orders = CallTo(kOrders, result.report);
  ASSERT_NE(orders, nullptr);
  EXPECT_TRUE(orders->answered());
  EXPECT_EQ(orders->report().reason(), v1::END_REASON_SERVER_SHUTDOWN);
  const v1::CallReport* inventory = CallTo(kInventory, result.report);
  ASSERT_NE(inventory, nullptr);
  EXPECT_EQ(inventory->reason(), v1::END_REASON_SERVER_SHUTDOWN);
}

TEST_F(WhoEndedItTest, ASiblingFailed) {
  Options options = Noting(kGiveUp);
  options.handlers[kStorefront] = [this](const Context& ctx,
                                         const CallNext& next,
                                         grpc::ServerContextBase&) {
    TaskGroup group(ctx);
    group.Go([&](const Context& task_ctx) {
      next(task_ctx, {});
      Note(kStorefront, task_ctx);
    });
    group.Go([&]() -> absl::Status {
      EXPECT_TRUE(in_leaf_.WaitForNotificationWithTimeout(kGiveUp));
      return absl::NotFoundError("no such customer");
    });
    return ToGrpcStatus(group.Wait());
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ReasonAt(kStorefront), EndReason::kSiblingFailed);
  EXPECT_EQ(ReasonAt(kOrders), EndReason::kCallerLeft);
  EXPECT_EQ(ReasonAt(kInventory), EndReason::kCallerLeft);
  const v1::CallReport* orders = CallTo(kOrders, result.report);
  ASSERT_NE(orders, nullptr);
  EXPECT_EQ(orders->reason(), v1::END_REASON_SIBLING_FAILED);
  EXPECT_EQ(result.report.report().reason(), v1::END_REASON_COMPLETED);
}

TEST_F(WhoEndedItTest, TooLittleTimeWasLeft) {
  Options options = Noting(absl::ZeroDuration());
  MethodPolicy policy;
  policy.pattern = "/shop.v1.Inventory/*";
  policy.time.min_budget = 2 * kGiveUp;
  options.server.methods.push_back(policy);
  options.server.shed_fraction = 1;
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const absl::Time start = absl::Now();
  const Result result = chain.Call(kGiveUp);
  EXPECT_LT(absl::Now() - start, kGiveUp / 2);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(result.status.error_message(), HasSubstr("min_budget"));
  EXPECT_EQ(ReasonAt(kInventory), EndReason::kTooLittleTime);
  const v1::CallReport* inventory = CallTo(kInventory, result.report);
  ASSERT_NE(inventory, nullptr);
  EXPECT_TRUE(inventory->answered());
  EXPECT_EQ(inventory->outcome(), 4);
}

}  // namespace
}  // namespace tether
