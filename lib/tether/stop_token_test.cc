// SPDX-License-Identifier: Apache-2.0

#include "tether/stop_token.h"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

using testing::SimulatedClock;

constexpr int kRounds = 200;

const absl::Status kFailed = absl::AbortedError("failed");
const absl::Status kCancelled = absl::CancelledError("context canceled");
const absl::Status kStopped = absl::CancelledError("stop requested");

inline constexpr Key<int> kNumber{"number"};

// Runs the functions at the same time, each on its own thread.
void Together(const std::vector<std::function<void()>>& functions) {
  std::atomic<size_t> ready{0};
  std::vector<std::thread> threads;
  for (const auto& f : functions) {
    threads.emplace_back([&] {
      ++ready;
      while (ready.load() < functions.size()) std::this_thread::yield();
      f();
    });
  }
  for (std::thread& t : threads) t.join();
}

// ---- From a context to a token ---------------------------------------------

class StopTokenTest : public testing::LeakCheckedTest {};

TEST_F(StopTokenTest, StopIsRequestedWhenTheContextEnds) {
  auto [ctx, cancel] = WithCancel(Background());
  StopToken stop(ctx);
  EXPECT_TRUE(stop.get().stop_possible());
  EXPECT_FALSE(stop.get().stop_requested());
  cancel();
  EXPECT_TRUE(stop.get().stop_requested());
}

TEST_F(StopTokenTest, StopIsRequestedWhenTheDeadlinePasses) {
  SimulatedClock clock;
  auto [ctx, cancel] = WithTimeout(Background(clock), absl::Seconds(1));
  StopToken stop(ctx);
  clock.Advance(absl::Milliseconds(999));
  EXPECT_FALSE(stop.get().stop_requested());
  clock.Advance(absl::Milliseconds(1));
  EXPECT_TRUE(stop.get().stop_requested());
}

TEST_F(StopTokenTest, OfADoneContextStopIsRequestedFromTheStart) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel();
  StopToken stop(ctx);
  EXPECT_TRUE(stop.get().stop_requested());
}

TEST_F(StopTokenTest, OfAContextThatNeverEndsStopIsNotRequested) {
  StopToken stop(Background());
  EXPECT_FALSE(stop.get().stop_requested());
}

TEST_F(StopTokenTest, ConvertsToTheStandardType) {
  auto [ctx, cancel] = WithCancel(Background());
  StopToken stop(ctx);
  const std::stop_token token = stop;
  EXPECT_EQ(token, stop.get());
}

TEST_F(StopTokenTest,
       StopCallbacksRunOnTheThreadThatCancelsBeforeCancelReturns) {
  auto [ctx, cancel] = WithCancel(Background());
  StopToken stop(ctx);
  std::thread::id ran_on;
  const std::stop_callback callback(
      stop.get(), [&ran_on] { ran_on = std::this_thread::get_id(); });
  cancel();
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST_F(StopTokenTest, TokensOutliveItButAreNoLongerStopped) {
  auto [ctx, cancel] = WithCancel(Background());
  std::stop_token token;
  {
    StopToken stop(ctx);
    token = stop;
    EXPECT_EQ(LiveCallbacks(), 1);
  }
  EXPECT_EQ(LiveCallbacks(), 0);
  cancel();
  EXPECT_FALSE(token.stop_requested());
  EXPECT_FALSE(token.stop_possible());
}

TEST_F(StopTokenTest, StopThatWasRequestedStaysSo) {
  auto [ctx, cancel] = WithCancel(Background());
  auto stop = std::make_unique<StopToken>(ctx);
  const std::stop_token token = *stop;
  cancel();
  stop.reset();
  EXPECT_TRUE(token.stop_requested());
}

TEST_F(StopTokenTest, MayBeDestroyedInACallbackOfItsToken) {
  auto [ctx, cancel] = WithCancel(Background());
  auto stop = std::make_unique<StopToken>(ctx);
  const std::stop_callback callback(stop->get(), [&stop] { stop.reset(); });
  cancel();
  EXPECT_EQ(stop, nullptr);
}

TEST_F(StopTokenTest, MayBeDestroyedInACallbackOfItsTokenWithAllElse) {
  auto [ctx, cancel] = WithCancel(Background());
  auto stop = std::make_unique<StopToken>(ctx);
  std::unique_ptr<std::stop_callback<std::function<void()>>> callback;
  const std::function<void()> drop_both = [&] {
    stop.reset();
    callback.reset();  // the last reference to the tokens' state
  };
  callback = std::make_unique<std::stop_callback<std::function<void()>>>(
      stop->get(), drop_both);
  cancel();
  EXPECT_EQ(callback, nullptr);
}

TEST_F(StopTokenTest, EndsAThreadThatWaitsOnAConditionVariable) {
  for (int round = 0; round < kRounds; ++round) {
    auto [ctx, cancel] = WithCancel(Background());
    StopToken stop(ctx);
    std::jthread worker([token = stop.get()] {
      std::mutex mutex;
      std::condition_variable_any never;
      std::unique_lock<std::mutex> lock(mutex);
      EXPECT_FALSE(never.wait(lock, token, [] { return false; }));
    });
    cancel();
  }
}

TEST_F(StopTokenTest, AfterItsDestructorNoCallbackOfItsTokensIsRunning) {
  for (int round = 0; round < kRounds; ++round) {
    auto [ctx, cancel] = WithCancel(Background());
    std::optional<StopToken> stop(std::in_place, ctx);
    std::atomic<bool> running{false};
    const std::stop_callback callback(stop->get(), [&running] {
      running = true;
      std::this_thread::yield();
      running = false;
    });
    Together({[&, &end = cancel] { end(); },
              [&] {
                stop.reset();
                EXPECT_FALSE(running);
              }});
  }
}

TEST_F(StopTokenTest, IsMadeUsedAndDestroyedWhileTheContextEnds) {
  for (int round = 0; round < kRounds; ++round) {
    auto [ctx, cancel] = WithCancel(Background());
    const auto use = [&, &context = ctx] {
      for (int i = 0; i < 20; ++i) {
        std::stop_token token;
        std::atomic<int> calls{0};
        {
          StopToken stop(context);
          token = stop;
          std::stop_callback callback(token, [&calls] { ++calls; });
          if (context.Done()) {
            // The thread that ends the context may not have requested stop yet.
            while (!token.stop_requested()) std::this_thread::yield();
          }
        }
        EXPECT_LE(calls, token.stop_requested() ? 1 : 0);
      }
    };
    Together({[&end = cancel] { end(); }, use, use});
  }
}

// ---- From a token to a context ---------------------------------------------

class WithStopTokenTest : public testing::LeakCheckedTest {};

TEST_F(WithStopTokenTest, EndsWhenStopIsRequested) {
  std::stop_source source;
  auto [ctx, cancel] = WithStopToken(Background(), source.get_token());
  EXPECT_FALSE(ctx.Done());
  source.request_stop();
  EXPECT_EQ(ctx.Err(), kCancelled);
  EXPECT_EQ(ctx.Cause(), kStopped);
}

TEST_F(WithStopTokenTest, StopThatWasRequestedBeforeGivesADoneContext) {
  std::stop_source source;
  source.request_stop();
  auto [ctx, cancel] = WithStopToken(Background(), source.get_token());
  EXPECT_EQ(ctx.Cause(), kStopped);
  EXPECT_EQ(LiveCallbacks(), 0);
}

TEST_F(WithStopTokenTest, OfADoneParentHasTheParentsReason) {
  std::stop_source source;
  source.request_stop();
  auto [parent, cancel_parent] = WithCancel(Background());
  cancel_parent(kFailed);
  auto [ctx, cancel] = WithStopToken(parent, source.get_token());
  EXPECT_EQ(ctx.Cause(), kFailed);
}

TEST_F(WithStopTokenTest, IsAChildOfItsParent) {
  SimulatedClock clock;
  std::stop_source source;
  {
    auto [parent, cancel_parent] = WithTimeout(
        WithValue(Background(clock), kNumber, 7), absl::Seconds(1), kFailed);
    auto [ctx, cancel] = WithStopToken(parent, source.get_token());
    EXPECT_EQ(*ctx.Value(kNumber), 7);
    EXPECT_EQ(ctx.Remaining(), absl::Seconds(1));
    clock.Advance(absl::Seconds(1));
    EXPECT_EQ(ctx.Cause(), kFailed);
    source.request_stop();
    EXPECT_EQ(ctx.Cause(), kFailed);
  }
}

TEST_F(WithStopTokenTest, DoesNotEndItsParent) {
  std::stop_source source;
  auto [parent, cancel_parent] = WithCancel(Background());
  auto [ctx, cancel] = WithStopToken(parent, source.get_token());
  source.request_stop();
  EXPECT_FALSE(parent.Done());
}

TEST_F(WithStopTokenTest, EndsWhenCancelledAndStopThenChangesNothing) {
  std::stop_source source;
  auto [ctx, cancel] = WithStopToken(Background(), source.get_token());
  cancel(kFailed);
  EXPECT_FALSE(source.stop_requested());
  source.request_stop();
  EXPECT_EQ(ctx.Cause(), kFailed);
}

TEST_F(WithStopTokenTest, ATokenWithoutAStopStateAddsNothing) {
  auto [ctx, cancel] = WithStopToken(Background(), std::stop_token());
  EXPECT_EQ(LiveCallbacks(), 0);
  EXPECT_FALSE(ctx.Done());
  cancel();
  EXPECT_EQ(ctx.Cause(), kCancelled);
}

TEST_F(WithStopTokenTest, WorksAfterItsSourceIsGone) {
  auto source = std::make_optional<std::stop_source>();
  auto [ctx, cancel] = WithStopToken(Background(), source->get_token());
  source.reset();
  EXPECT_FALSE(ctx.Done());
}

TEST_F(WithStopTokenTest, AnEndedContextLeavesNothingInTheTokensState) {
  std::stop_source source;
  auto [ctx, cancel] = WithStopToken(Background(), source.get_token());
  const int64_t linked = LiveNodes();
  cancel();
  EXPECT_EQ(LiveCallbacks(), 0);
  EXPECT_EQ(LiveNodes(), linked);
  cancel = CancelFunc();
  ctx = Background();
  EXPECT_EQ(LiveNodes(), 0) << "the token's state keeps the context alive";
  source.request_stop();
}

TEST_F(WithStopTokenTest, CallbacksOfTheContextHaveRunWhenRequestStopReturns) {
  std::stop_source source;
  auto [ctx, cancel] = WithStopToken(Background(), source.get_token());
  auto [child, cancel_child] = WithCancel(ctx);
  absl::Status seen;
  const Registration registration =
      AfterFunc(child, [&seen, ctx = child] { seen = ctx.Cause(); });
  source.request_stop();
  EXPECT_EQ(seen, kStopped);
}

TEST_F(WithStopTokenTest, MayBeDroppedInACallbackThatStopStarts) {
  std::stop_source source;
  auto held = std::make_unique<Cancellable>(
      WithStopToken(Background(), source.get_token()));
  bool ran = false;
  auto registration = std::make_unique<Registration>(held->ctx, [&] {
    ran = true;
    held.reset();
  });
  source.request_stop();
  EXPECT_TRUE(ran);
  registration.reset();
}

TEST_F(WithStopTokenTest, StopMayBeRequestedInACallbackOfTheContext) {
  std::stop_source source;
  auto [ctx, cancel] = WithStopToken(Background(), source.get_token());
  const Registration registration =
      AfterFunc(ctx, [&source] { source.request_stop(); });
  cancel(kFailed);
  EXPECT_TRUE(source.stop_requested());
  EXPECT_EQ(ctx.Cause(), kFailed);
}

TEST_F(WithStopTokenTest, ThereAndBackAgain) {
  auto [ctx, cancel] = WithCancel(Background());
  StopToken stop(ctx);
  auto [back, cancel_back] = WithStopToken(Background(), stop);
  cancel();
  EXPECT_EQ(back.Cause(), kStopped);
}

TEST_F(WithStopTokenTest, EndsTheLoopOfAJthread) {
  std::jthread server([](std::stop_token stop) {
    auto [ctx, cancel] = WithStopToken(Background(), stop);
    ctx.Wait();
    EXPECT_EQ(ctx.Cause(), kStopped);
  });
  server.request_stop();
}

// ---- Races -----------------------------------------------------------------

TEST_F(WithStopTokenTest, StopAndCancelMayRace) {
  for (int round = 0; round < kRounds; ++round) {
    std::stop_source source;
    auto [ctx, cancel] = WithStopToken(Background(), source.get_token());
    std::atomic<int> calls{0};
    const Registration registration = AfterFunc(ctx, [&calls] { ++calls; });
    Together({[&source] { source.request_stop(); },
              [&end = cancel] { end(kFailed); }});
    EXPECT_TRUE(ctx.Cause() == kFailed || ctx.Cause() == kStopped);
    EXPECT_EQ(calls, 1);
  }
}

TEST_F(WithStopTokenTest, StopAndTheEndOfTheParentAndOfTheContextMayRace) {
  for (int round = 0; round < kRounds; ++round) {
    std::stop_source source;
    auto [parent, cancel_parent] = WithCancel(Background());
    auto held = std::make_unique<Cancellable>(
        WithStopToken(parent, source.get_token()));
    Together({[&source] { source.request_stop(); },
              [&end = cancel_parent] { end(kFailed); },
              [&held] { held.reset(); }});
  }
}

TEST_F(WithStopTokenTest, StopMayRaceWithManyBeingMadeAndDropped) {
  for (int round = 0; round < kRounds; ++round) {
    std::stop_source source;
    auto [parent, cancel_parent] = WithCancel(Background());
    const auto make = [&, &above = parent] {
      for (int i = 0; i < 20; ++i) {
        auto [ctx, cancel] = WithStopToken(above, source.get_token());
        if (source.stop_requested()) {
          // Stop callbacks run one after another.
          ctx.Wait();
        }
        if (i % 2 == 0) cancel();
      }
    };
    Together({[&source] { source.request_stop(); }, make, make,
              [&end = cancel_parent] { end(kFailed); }});
  }
}

}  // namespace
}  // namespace tether
