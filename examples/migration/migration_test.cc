// SPDX-License-Identifier: Apache-2.0
//
// The states of the migration guide: each behaves like the first, each works
// with peers of the state before it, and each brings what the guide says.
//
// Each service is a process. Where a test compares times, a slow machine can
// only make them longer. So "at once" is the best of several attempts, and has
// half a second.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "shop/v1/orders.grpc.pb.h"
#include "testing/child_process.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using shop::v1::CourierPosition;
using shop::v1::GetOrderRequest;
using shop::v1::Order;
using shop::v1::Orders;
using shop::v1::TrackCourierRequest;
using testing::ChildProcess;
using testing::kGiveUp;

constexpr std::array<const char*, 6> kStates = {"before", "step1", "step2",
                                                "step3",  "step4", "step5"};
constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr char kTraceParent[] =
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr absl::Duration kAtOnce = absl::Milliseconds(500);
constexpr int kAttempts = 10;

// The states of the two services.
struct Fleet {
  size_t orders;
  size_t inventory;
};

class ShopTest : public testing::GrpcLeakCheckedTest {
 protected:
  explicit ShopTest(const Fleet& fleet) {
    const std::string to_inventory =
        Start(inventory_, kStates[fleet.inventory], {"inventory"});
    orders_address_ =
        Start(orders_, kStates[fleet.orders], {"orders", to_inventory});
    stub_ = Orders::NewStub(grpc::CreateChannel(
        orders_address_, grpc::InsecureChannelCredentials()));
  }

  void TearDown() override {
    stub_.reset();
    EXPECT_TRUE(orders_.Stop().ok());
    EXPECT_TRUE(inventory_.Stop().ok());
    GrpcLeakCheckedTest::TearDown();
  }

  static std::string NextLine(ChildProcess& process) {
    auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
    return process.ReadLine(ctx).value_or("(no line)");
  }

  // As a client without tether.
  grpc::Status GetOrder(const std::string& id, absl::Duration timeout,
                        Order* order) {
    grpc::ClientContext call;
    return GetOrder(call, id, timeout, order);
  }
  grpc::Status GetOrder(grpc::ClientContext& call, const std::string& id,
                        absl::Duration timeout, Order* order) {
    call.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    call.AddMetadata("traceparent", kTraceParent);
    call.AddMetadata("x-tenant", "acme");
    GetOrderRequest request;
    request.set_order_id(id);
    return stub_->GetOrder(&call, request, order);
  }

  // The time from the caller's cancellation to the end of inventory's work.
  absl::Duration TimeToStopCounting() {
    grpc::ClientContext call;
    std::thread caller([&] {
      Order order;
      GetOrder(call, "coffee", absl::Seconds(20), &order);
    });
    EXPECT_TRUE(absl::StartsWith(NextLine(inventory_), "inventory: coffee"));
    const absl::Time cancelled = absl::Now();
    call.TryCancel();
    caller.join();
    EXPECT_EQ(NextLine(inventory_), "inventory: stopped");
    return absl::Now() - cancelled;
  }

  // The same for a courier whom nobody follows any more.
  absl::Duration TimeToStopTracking() {
    grpc::ClientContext call;
    const auto reader = stub_->TrackCourier(&call, TrackCourierRequest());
    CourierPosition position;
    EXPECT_TRUE(reader->Read(&position));
    const absl::Time cancelled = absl::Now();
    call.TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_EQ(NextLine(orders_), "orders: stopped");
    return absl::Now() - cancelled;
  }

  ChildProcess inventory_{"inventory"};
  ChildProcess orders_{"orders"};
  std::string orders_address_;
  std::unique_ptr<Orders::Stub> stub_;

 private:
  static std::string Start(ChildProcess& process, const std::string& state,
                           const std::vector<std::string>& flags) {
    const absl::Status started = process.Start(
        absl::StrCat("examples/migration/", state, "/shop"), flags);
    EXPECT_TRUE(started.ok()) << started;
    return absl::StrCat("127.0.0.1:", NextLine(process));
  }
};

// ---- What stays as it is ----------------------------------------------------

class FleetTest : public ShopTest, public ::testing::WithParamInterface<Fleet> {
 protected:
  FleetTest() : ShopTest(GetParam()) {}
};

TEST_P(FleetTest, AnOrderIsAnsweredAndItsHeadersArrive) {
  Order order;
  ASSERT_TRUE(GetOrder("tea", absl::Seconds(20), &order).ok());
  EXPECT_EQ(order.stock(), 42);
  EXPECT_TRUE(absl::StartsWith(
      NextLine(inventory_),
      absl::StrCat("inventory: tea for acme, 00-", kTrace, "-")));
}

TEST_P(FleetTest, IfInventoryIsTooSlowTheOrderIsShownWithoutIt) {
  Order order;
  ASSERT_TRUE(GetOrder("coffee", absl::Seconds(20), &order).ok());
  EXPECT_TRUE(order.stock_is_default());
  NextLine(inventory_);
  EXPECT_EQ(NextLine(inventory_), "inventory: stopped");
}

TEST_P(FleetTest, ItIsShownBeforeItsCallersTimeIsUp) {
  grpc::Status status;
  Order order;
  for (int i = 0; i < kAttempts && !order.stock_is_default(); ++i) {
    status = GetOrder("coffee", absl::Milliseconds(500), &order);
    EXPECT_TRUE(status.ok() ||
                status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  EXPECT_TRUE(status.ok());
  EXPECT_TRUE(order.stock_is_default());
}

TEST_P(FleetTest, ACallerThatLeavesEndsItsStream) { TimeToStopTracking(); }

std::string NameOfFleet(const ::testing::TestParamInfo<Fleet>& info) {
  return absl::StrCat("orders_", kStates[info.param.orders], "_inventory_",
                      kStates[info.param.inventory]);
}

INSTANTIATE_TEST_SUITE_P(OneState, FleetTest,
                         ::testing::Values(Fleet{0, 0}, Fleet{1, 1},
                                           Fleet{2, 2}, Fleet{3, 3},
                                           Fleet{4, 4}, Fleet{5, 5}),
                         NameOfFleet);
INSTANTIATE_TEST_SUITE_P(NewOrders, FleetTest,
                         ::testing::Values(Fleet{1, 0}, Fleet{2, 1},
                                           Fleet{3, 2}, Fleet{4, 3},
                                           Fleet{5, 4}),
                         NameOfFleet);
INSTANTIATE_TEST_SUITE_P(NewInventory, FleetTest,
                         ::testing::Values(Fleet{0, 1}, Fleet{1, 2},
                                           Fleet{2, 3}, Fleet{3, 4},
                                           Fleet{4, 5}),
                         NameOfFleet);

// ---- What each step brings --------------------------------------------------
// The states before that step are the control.

class StepTest : public ShopTest, public ::testing::WithParamInterface<size_t> {
 protected:
  StepTest() : ShopTest({GetParam(), GetParam()}) {}

  static bool Since(size_t step) { return GetParam() >= step; }
};

TEST_P(StepTest, From1And2ACallerLearnsWhichHopUsedItsTime) {
  const auto with_tether = Orders::NewStub(tether::CreateChannel(
      orders_address_, grpc::InsecureChannelCredentials()));
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(5));
  ClientCall call(ctx);
  GetOrderRequest request;
  request.set_order_id("coffee");
  Order order;
  ASSERT_TRUE(with_tether->GetOrder(&call, request, &order).ok());
  EXPECT_EQ(call.report().has_report(), Since(1));
  EXPECT_EQ(call.report().report().calls_size(), Since(2) ? 1 : 0);
}

TEST_P(StepTest, From2ACallerThatLeavesEndsTheWorkOfInventory) {
  absl::Duration time = TimeToStopCounting();
  if (!Since(2)) {
    EXPECT_GT(time, kAtOnce);
    return;
  }
  for (int i = 1; i < kAttempts && time > kAtOnce; ++i) {
    time = TimeToStopCounting();
  }
  EXPECT_LT(time, kAtOnce);
}

TEST_P(StepTest, From3WorkEndsAtOnce) {
  absl::Duration time = TimeToStopTracking();
  if (!Since(3)) {
    EXPECT_GT(time, kAtOnce);
    return;
  }
  for (int i = 1; i < kAttempts && time > kAtOnce; ++i) {
    time = TimeToStopTracking();
  }
  EXPECT_LT(time, kAtOnce);
}

TEST_P(StepTest, From4AShortTimeIsEnough) {
  bool answered = false;
  for (int i = 0; i < 5 * kAttempts && !answered; ++i) {
    Order order;
    answered = GetOrder("tea", absl::Milliseconds(90), &order).ok() &&
               !order.stock_is_default();
  }
  EXPECT_EQ(answered, Since(4));
}

TEST_P(StepTest, From5EachCallHasASpanOfItsOwn) {
  Order order;
  ASSERT_TRUE(GetOrder("tea", absl::Seconds(20), &order).ok());
  EXPECT_EQ(absl::EndsWith(NextLine(inventory_), kTraceParent), !Since(5));
}

std::string NameOfState(const ::testing::TestParamInfo<size_t>& info) {
  return kStates[info.param];
}

INSTANTIATE_TEST_SUITE_P(All, StepTest,
                         ::testing::Range(size_t{0}, kStates.size()),
                         NameOfState);

}  // namespace
}  // namespace tether
