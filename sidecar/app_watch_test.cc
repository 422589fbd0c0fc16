// SPDX-License-Identifier: Apache-2.0
//
// Readiness follows the app's port: verdicts from the states of a channel, and
// a real port that goes up and down. The latter is on the real clock.

#include "sidecar/app_watch.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "sidecar/silent_app.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar {
namespace {

using std::chrono::milliseconds;
using testing::SilentApp;
using tether::testing::kGiveUp;

// ---- Verdicts --------------------------------------------------------------

constexpr AppVerdict::Time At(int ms) {
  return AppVerdict::Time(milliseconds(ms));
}

TEST(AppVerdictTest, AnAppIsUpOnceItIsConnected) {
  AppVerdict verdict;
  EXPECT_FALSE(verdict.IsUp(GRPC_CHANNEL_IDLE, At(0)));
  EXPECT_FALSE(verdict.IsUp(GRPC_CHANNEL_CONNECTING, At(1)));
  EXPECT_TRUE(verdict.IsUp(GRPC_CHANNEL_READY, At(2)));
}

TEST(AppVerdictTest, AConnectionThatIsRenewedIsNoOutage) {
  AppVerdict verdict;
  ASSERT_TRUE(verdict.IsUp(GRPC_CHANNEL_READY, At(10'000)));
  EXPECT_TRUE(verdict.IsUp(GRPC_CHANNEL_IDLE, At(10'100)));
  EXPECT_TRUE(verdict.IsUp(GRPC_CHANNEL_CONNECTING, At(10'200)));
  EXPECT_TRUE(verdict.IsUp(GRPC_CHANNEL_READY, At(10'300)));
}

TEST(AppVerdictTest, AFailureIsAnOutageAtOnceUntilTheNextConnection) {
  AppVerdict verdict;
  ASSERT_TRUE(verdict.IsUp(GRPC_CHANNEL_READY, At(10'000)));
  EXPECT_FALSE(verdict.IsUp(GRPC_CHANNEL_TRANSIENT_FAILURE, At(10'100)));
  EXPECT_FALSE(verdict.IsUp(GRPC_CHANNEL_CONNECTING, At(10'200)));
  EXPECT_TRUE(verdict.IsUp(GRPC_CHANNEL_READY, At(10'300)));
  EXPECT_FALSE(verdict.IsUp(GRPC_CHANNEL_SHUTDOWN, At(10'400)));
}

TEST(AppVerdictTest, ConnectingForTooLongIsAnOutage) {
  AppVerdict verdict;
  ASSERT_TRUE(verdict.IsUp(GRPC_CHANNEL_READY, At(10'000)));
  EXPECT_TRUE(verdict.IsUp(GRPC_CHANNEL_CONNECTING, At(11'000)));
  EXPECT_FALSE(verdict.IsUp(GRPC_CHANNEL_CONNECTING, At(11'001)));
  EXPECT_FALSE(verdict.IsUp(GRPC_CHANNEL_IDLE, At(11'002)));
}

// ---- A real port -----------------------------------------------------------

// Within about a second, and more than that on a loaded machine.
constexpr absl::Duration kSoon = absl::Seconds(5);

bool Becomes(const AppWatch& watch, bool is_ready) {
  const absl::Time begin = absl::Now();
  while (watch.is_ready() != is_ready) {
    if (absl::Now() - begin > kGiveUp) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_LT(absl::Now() - begin, kSoon);
  return true;
}

TEST(AppWatchTest, ReadinessFollowsThePort) {
  std::optional<SilentApp> app(std::in_place);
  const int port = app->port();
  const std::shared_ptr<grpc::Channel> channel = app->Connect();
  std::atomic<int> changes{0};
  AppWatch watch(
      [&] { return channel; },
      [&](bool is_ready) { EXPECT_EQ(is_ready, ++changes % 2 == 1); });
  EXPECT_TRUE(Becomes(watch, true));
  for (int i = 0; i < 2; ++i) {
    app.reset();
    EXPECT_TRUE(Becomes(watch, false));
    app.emplace(port);
    EXPECT_TRUE(Becomes(watch, true));
  }
  EXPECT_EQ(changes, 5);
}

TEST(AppWatchTest, AnAppThatIsFarBehindInItsBackoffIsFoundSoon) {
  std::optional<SilentApp> app(std::in_place);
  const int port = app->port();
  grpc::ChannelArguments arguments = tether::testing::OwnConnection();
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 60'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 60'000);
  const std::shared_ptr<grpc::Channel> channel = app->Connect(arguments);
  app.reset();
  const SilentApp other;  // its threads serve the channel's connections
  AppWatch watch([&] { return channel; }, [](bool) {});
  while (channel->GetState(false) != GRPC_CHANNEL_TRANSIENT_FAILURE) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_FALSE(watch.is_ready());
  app.emplace(port);
  EXPECT_TRUE(Becomes(watch, true));
}

TEST(AppWatchTest, ItFollowsTheCurrentChannel) {
  const SilentApp app;
  const std::shared_ptr<grpc::Channel> channels[] = {
      nullptr,
      grpc::CreateChannel("unix:/nowhere", grpc::InsecureChannelCredentials()),
      app.Connect()};
  std::atomic<int> current{0};
  AppWatch watch([&] { return channels[current]; }, [](bool) {});
  absl::SleepFor(absl::Milliseconds(250));
  EXPECT_FALSE(watch.is_ready());
  current = 2;
  EXPECT_TRUE(Becomes(watch, true));
  current = 1;
  EXPECT_TRUE(Becomes(watch, false));
}

TEST(AppWatchTest, ADrainIsAtOnceAndForEver) {
  const SilentApp app;
  const std::shared_ptr<grpc::Channel> channel = app.Connect();
  std::vector<bool> changes;
  {
    AppWatch watch([&] { return channel; },
                   [&](bool is_ready) { changes.push_back(is_ready); });
    ASSERT_TRUE(Becomes(watch, true));
    EXPECT_FALSE(watch.is_draining());
    watch.Drain();
    EXPECT_FALSE(watch.is_ready());
    EXPECT_TRUE(watch.is_draining());
    absl::SleepFor(absl::Milliseconds(250));
    EXPECT_FALSE(watch.is_ready());
    watch.Drain();
  }
  EXPECT_EQ(changes, (std::vector<bool>{true, false}));
}

}  // namespace
}  // namespace tether::sidecar
