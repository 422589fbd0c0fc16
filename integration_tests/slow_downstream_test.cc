// SPDX-License-Identifier: Apache-2.0
//
// A slow downstream is cut off. The tests use the real three-hop chain on
// loopback. Each claim has a control, the same chain without tether, which
// shows that the test can fail.
//
// Times are real, because gRPC's are. Inventory stalls for kStall, and work
// that is cut off must be over within kSlack. kSlack is a thousand times the
// usual time of an idle machine, so that a loaded machine passes. It is a
// quarter of kStall, so that work that continues is distinguished from work
// that was cut off.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/chain.h"
#include "tether/grpc/client.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

constexpr absl::Duration kStall = absl::Seconds(2);
constexpr absl::Duration kSlack = absl::Milliseconds(500);

constexpr char kTraceId[] = "0af7651916cd43dd8448eb211c80319c";

class SlowDownstreamTest : public testing::GrpcLeakCheckedTest {
 protected:
  struct Result {
    grpc::Status status;
    shop::v1::GetOrderPageResponse page;
    absl::Duration elapsed;
  };

  static Chain::Options Stalled(bool with_tether, bool fallback,
                                absl::Duration inventory_timeout) {
    Chain::Options options;
    options.with_tether = with_tether;
    options.inventory.delay = kStall;
    options.orders.fallback = fallback;
    options.orders.inventory_timeout = inventory_timeout;
    return options;
  }

  static Result Call(Chain& chain, const Context& ctx) {
    auto stub = chain.Stub();
    Result result;
    shop::v1::GetOrderPageRequest request;
    request.set_order_id("42");
    ClientCall call(ctx);
    const absl::Time start = absl::Now();
    result.status = stub->GetOrderPage(&call, request, &result.page);
    result.elapsed = absl::Now() - start;
    return result;
  }

  static std::map<std::string, std::string> Outcomes(const Chain& chain) {
    std::map<std::string, std::string> outcomes;
    for (const auto& event : chain.Events()) {
      outcomes[event.service()] = event.outcome();
    }
    return outcomes;
  }

  static std::map<std::string, std::string> AllHops(const char* outcome) {
    return {
        {"storefront", outcome}, {"orders", outcome}, {"inventory", outcome}};
  }
};

// ---- (a) The fallback answers in time ----

// Of orders for its call to inventory: enough to connect on a busy machine.
constexpr absl::Duration kOrdersTimeout = absl::Milliseconds(300);

TEST_F(SlowDownstreamTest, TheReplyComesWithDefaultStockAndInventoryStops) {
  Chain chain(Stalled(true, /*fallback=*/true, kOrdersTimeout));
  const Result result = Call(chain, Background());
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_TRUE(result.page.order().stock_is_default());
  // Inventory stops when its time is up: that of orders less a reserve, and
  // less what a new connection keeps.
  EXPECT_GE(result.elapsed, kOrdersTimeout - Reserve().Of(kOrdersTimeout) -
                                absl::Milliseconds(5));
  EXPECT_LT(result.elapsed, kOrdersTimeout + kSlack);
  EXPECT_TRUE(chain.WaitUntilIdle(kSlack));
  EXPECT_EQ(Outcomes(chain), (std::map<std::string, std::string>{
                                 {"storefront", "ok"},
                                 {"orders", "ok"},
                                 {"inventory", "deadline_exceeded"}}));
}

TEST_F(SlowDownstreamTest, ControlInventoryWorksOnForAReplyThatNobodyAwaits) {
  Chain chain(Stalled(false, /*fallback=*/true, kOrdersTimeout));
  const Result result = Call(chain, Background());
  EXPECT_TRUE(result.page.order().stock_is_default());
  EXPECT_FALSE(chain.WaitUntilIdle(kSlack));
  EXPECT_EQ(chain.Running()[2], 1);
}

// ---- (b) Without the fallback, the deadline ends every hop ----

TEST_F(SlowDownstreamTest, ADeadlineStopsEveryHop) {
  Chain chain(Stalled(true, /*fallback=*/false, absl::Seconds(10)));
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(200));
  const Result result = Call(chain, ctx);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  // The leaf's time is up first. Each hop before it has kept its reserve, and
  // some time for its new connection.
  const absl::Duration reserve = Reserve().Of(absl::Milliseconds(200));
  EXPECT_GE(result.elapsed, absl::Milliseconds(190) - 3 * reserve);
  EXPECT_LT(result.elapsed, absl::Milliseconds(200) + kSlack);
  EXPECT_TRUE(chain.WaitUntilIdle(kSlack));
  EXPECT_EQ(Outcomes(chain), AllHops("deadline_exceeded"));

  std::map<std::string, double> left;
  for (const auto& event : chain.Events()) {
    left[event.service()] = event.remaining_ms_on_arrival();
  }
  EXPECT_LE(left["storefront"], 200);
  EXPECT_LE(left["orders"], left["storefront"]);
  EXPECT_LE(left["inventory"], left["orders"]);
  EXPECT_GT(left["inventory"], 0);
}

TEST_F(SlowDownstreamTest, ControlHandlersRunOnAfterTheDeadline) {
  Chain chain(Stalled(false, /*fallback=*/false, absl::Seconds(10)));
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(200));
  const Result result = Call(chain, ctx);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_FALSE(chain.WaitUntilIdle(kSlack));
  EXPECT_EQ(chain.Running(), (std::array<int, 3>{1, 1, 1}));
}

// ---- (c) The client leaves ----

TEST_F(SlowDownstreamTest, ACancellationStopsEveryHop) {
  Chain chain(Stalled(true, /*fallback=*/false, absl::Seconds(10)));
  auto [ctx, cancel] = WithCancel(Background());
  std::thread leaver([&chain, &leave = cancel] {
    while (chain.Running()[2] == 0) absl::SleepFor(absl::Milliseconds(1));
    leave();
  });
  const Result result = Call(chain, ctx);
  leaver.join();
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_LT(result.elapsed, kSlack);
  EXPECT_TRUE(chain.WaitUntilIdle(kSlack));
  EXPECT_EQ(Outcomes(chain), AllHops("cancelled"));
}

TEST_F(SlowDownstreamTest, ControlHandlersRunOnAfterTheClientLeft) {
  Chain chain(Stalled(false, /*fallback=*/false, absl::Seconds(10)));
  auto [ctx, cancel] = WithCancel(Background());
  std::thread leaver([&chain, &leave = cancel] {
    while (chain.Running()[2] == 0) absl::SleepFor(absl::Milliseconds(1));
    leave();
  });
  EXPECT_EQ(Call(chain, ctx).status.error_code(), grpc::StatusCode::CANCELLED);
  leaver.join();
  EXPECT_FALSE(chain.WaitUntilIdle(kSlack));
  EXPECT_EQ(chain.Running(), (std::array<int, 3>{1, 1, 1}));
}

// ---- (d) Trace and request id ----

class IdsTest : public SlowDownstreamTest {
 protected:
  static std::vector<shop::v1::HopEvent> CallWithIds(bool with_tether) {
    Chain::Options options;
    options.with_tether = with_tether;
    options.inventory.delay = absl::ZeroDuration();
    Chain chain(options);
    const auto trace = ParseTraceParent(std::string("00-") + kTraceId +
                                        "-b7ad6b7169203331-01");
    EXPECT_TRUE(
        Call(chain, WithRequestId(WithTrace(Background(), *trace), "req-7"))
            .status.ok());
    EXPECT_TRUE(chain.WaitUntilIdle(kSlack));
    EXPECT_EQ(chain.Events().size(), 3u);
    return chain.Events();
  }
};

TEST_F(IdsTest, EveryHopSeesTheIdsThatTheClientSent) {
  for (const auto& event : CallWithIds(/*with_tether=*/true)) {
    EXPECT_EQ(event.trace_id(), kTraceId) << event.service();
    EXPECT_EQ(event.request_id(), "req-7") << event.service();
  }
}

TEST_F(IdsTest, ControlNoHopSeesThem) {
  for (const auto& event : CallWithIds(/*with_tether=*/false)) {
    EXPECT_EQ(event.trace_id(), "") << event.service();
    EXPECT_EQ(event.request_id(), "") << event.service();
  }
}

// ---- (e) Many at once ----

// Five waves of 40 requests, 200 ms apart, each with a deadline of 200 ms. If
// the downstream doesn't stall or is cut off, a wave is over when the wave
// after the next one begins.
class LoadTest : public SlowDownstreamTest {
 protected:
  static constexpr int kWaves = 5;
  static constexpr int kWave = 40;
  static constexpr absl::Duration kPeriod = absl::Milliseconds(200);
  static constexpr absl::Duration kDeadline = absl::Milliseconds(200);

  // Returns how many requests did not end with DEADLINE_EXCEEDED.
  static int Run(Chain& chain) {
    auto stub = chain.Stub();
    std::atomic<int> others{0};
    std::vector<std::thread> callers;
    const absl::Time start = absl::Now();
    for (int wave = 0; wave < kWaves; ++wave) {
      absl::SleepFor(start + wave * kPeriod - absl::Now());
      for (int i = 0; i < kWave; ++i) {
        callers.emplace_back([&] {
          auto [ctx, cancel] = WithTimeout(Background(), kDeadline);
          ClientCall call(ctx);
          shop::v1::GetOrderPageRequest request;
          request.set_order_id("42");
          shop::v1::GetOrderPageResponse page;
          if (stub->GetOrderPage(&call, request, &page).error_code() !=
              grpc::StatusCode::DEADLINE_EXCEEDED) {
            ++others;
          }
        });
      }
    }
    for (std::thread& caller : callers) caller.join();
    return others;
  }

  static int Threads() {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return static_cast<int>(std::distance(begin(tasks), end(tasks)));
  }
};

TEST_F(LoadTest, AStalledDownstreamHoldsNoMoreHandlersThanTheDeadlineAllows) {
  int threads_after_warm_up = 0;
  for (int round = 0; round < 2; ++round) {
    {
      Chain chain(Stalled(true, /*fallback=*/false, absl::Seconds(10)));
      EXPECT_EQ(Run(chain), 0);
      EXPECT_TRUE(chain.WaitUntilIdle(kSlack));
      // Two waves may overlap, or three on a slow machine. In the control, all
      // five do.
      EXPECT_LE(chain.MostRunning(), 3 * kWave);
      EXPECT_GT(chain.MostRunning(), kWave / 2);
    }
    // After the first round, gRPC's own thread pools exist. After the second
    // round there must be no more threads. The pools shrink within seconds.
    if (round == 0) {
      threads_after_warm_up = Threads();
    } else {
      const absl::Time give_up = absl::Now() + absl::Seconds(10);
      while (Threads() > threads_after_warm_up && absl::Now() < give_up) {
        absl::SleepFor(absl::Milliseconds(10));
      }
      EXPECT_LE(Threads(), threads_after_warm_up);
    }
  }
}

TEST_F(LoadTest, ControlAStalledDownstreamHoldsThemAll) {
  Chain chain(Stalled(false, /*fallback=*/false, absl::Seconds(10)));
  EXPECT_EQ(Run(chain), 0);
  // More than the test above allows. On a fast machine it is all of them; on a
  // slow one, some don't reach their handler within the deadline.
  EXPECT_GT(chain.MostRunning(), 3 * kWave);
}

}  // namespace
}  // namespace tether
