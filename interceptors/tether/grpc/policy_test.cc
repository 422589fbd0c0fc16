// SPDX-License-Identifier: Apache-2.0
//
// TimePolicy on a server: caps, defaults, and requests that are turned away.

#include "tether/grpc/policy.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

class PolicyTest : public testing::GrpcLeakCheckedTest {
 protected:
  // The observations of the handler.
  absl::Duration remaining_;
  bool done_ = false;
  EndReason reason_ = EndReason::kNone;
  std::atomic<int> handled_{0};

  grpc::Status Handle(const Context& ctx) {
    remaining_ = ctx.Remaining();
    done_ = ctx.Done();
    reason_ = EndReasonOf(ctx);
    ++handled_;
    return grpc::Status::OK;
  }

  // Makes one call to a sync server with these options.
  grpc::Status Call(const ServerOptions& options,
                    std::optional<absl::Duration> timeout) {
    ProbeServer server({/*callback_api=*/false, options});
    server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
      return Handle(ContextOf(sc));
    };
    return CallUnary(server, timeout);
  }

  static grpc::Status CallUnary(ProbeServer& server,
                                std::optional<absl::Duration> timeout) {
    auto stub = server.Stub();
    auto [ctx, cancel] =
        WithTimeout(Background(), timeout.value_or(absl::InfiniteDuration()));
    ClientCall call(ctx);
    Pong pong;
    return stub->Unary(&call, Ping(), &pong);
  }
};

TEST_F(PolicyTest, WithoutOptionsNoDeadlineStaysNone) {
  EXPECT_TRUE(Call(ServerOptions(), std::nullopt).ok());
  EXPECT_EQ(remaining_, absl::InfiniteDuration());
}

TEST_F(PolicyTest, DefaultTimeoutHoldsForRequestsWithoutADeadlineOnly) {
  ServerOptions options;
  options.time.default_timeout = absl::Seconds(10);
  EXPECT_TRUE(Call(options, std::nullopt).ok());
  EXPECT_LE(remaining_, absl::Seconds(10));
  EXPECT_GT(remaining_, absl::Seconds(5));
  EXPECT_TRUE(Call(options, absl::Seconds(20)).ok());
  EXPECT_GT(remaining_, absl::Seconds(15));
}

TEST_F(PolicyTest, MaxTimeoutCapsTheDefaultToo) {
  ServerOptions options;
  options.time.default_timeout = absl::Seconds(60);
  options.time.max_timeout = absl::Seconds(10);
  EXPECT_TRUE(Call(options, std::nullopt).ok());
  EXPECT_LE(remaining_, absl::Seconds(10));
  EXPECT_TRUE(Call(options, absl::Seconds(60)).ok());
  EXPECT_LE(remaining_, absl::Seconds(10));
  EXPECT_TRUE(Call(options, absl::Seconds(5)).ok());
  EXPECT_LE(remaining_, absl::Seconds(5));
}

TEST_F(PolicyTest, AMethodMayHaveAPolicyOfItsOwn) {
  ServerOptions options;
  options.time.max_timeout = absl::Seconds(10);
  MethodPolicy method;
  method.pattern = "/tether.testing.Probe/Unary";
  method.time.max_timeout = absl::Seconds(40);
  options.methods.push_back(method);
  EXPECT_TRUE(Call(options, absl::Seconds(60)).ok());
  EXPECT_GT(remaining_, absl::Seconds(30));
  EXPECT_LE(remaining_, absl::Seconds(40));
}

TEST_F(PolicyTest, AMethodMayBeUnlimited) {
  ServerOptions options;
  options.time.max_timeout = absl::Seconds(10);
  MethodPolicy method;
  method.pattern = "/tether.testing.Probe/Unary";
  method.time.max_timeout = absl::InfiniteDuration();
  options.methods.push_back(method);
  EXPECT_TRUE(Call(options, absl::Seconds(60)).ok());
  EXPECT_GT(remaining_, absl::Seconds(30));
  EXPECT_TRUE(Call(options, std::nullopt).ok());
  EXPECT_EQ(remaining_, absl::InfiniteDuration());
}

TEST_F(PolicyTest, AMethodTakesFromTheServerWhatItsPolicyLeavesUnset) {
  ServerOptions options;
  options.time.default_timeout = absl::Seconds(20);
  options.time.max_timeout = absl::Seconds(60);
  MethodPolicy method;
  method.pattern = "/tether.testing.Probe/Unary";
  method.time.max_timeout = absl::Seconds(10);
  options.methods.push_back(method);
  EXPECT_TRUE(Call(options, std::nullopt).ok());
  EXPECT_LE(remaining_, absl::Seconds(10));
  options.methods.front().time.max_timeout = absl::Seconds(50);
  EXPECT_TRUE(Call(options, std::nullopt).ok());
  EXPECT_LE(remaining_, absl::Seconds(20));
  EXPECT_GT(remaining_, absl::Seconds(10));
}

// A policy is a member of the options, not their base, so the rest of the
// options can't be cut off by accident.
template <typename Policy, typename = void>
constexpr bool kMakesMethodPolicy = false;
template <typename Policy>
constexpr bool
    kMakesMethodPolicy<Policy, std::void_t<decltype(MethodPolicy{
                                   std::string(), std::declval<Policy>()})>> =
        true;

TEST(MethodPolicyTest, IsNotMadeFromAllOfTheServersOptions) {
  EXPECT_TRUE(kMakesMethodPolicy<TimePolicy>);
  EXPECT_FALSE(kMakesMethodPolicy<ServerOptions>);
  EXPECT_FALSE((std::is_convertible_v<ServerOptions, TimePolicy>));
}

ServerOptions WithMinBudget(double shed_fraction) {
  ServerOptions options;
  options.time.min_budget = absl::Seconds(5);
  options.shed_fraction = shed_fraction;
  return options;
}

TEST_F(PolicyTest, TooLittleTimeIsAnsweredAtOnceAndFoundDone) {
  const int64_t shed = GetGrpcStats().shed;
  const absl::Time start = absl::Now();
  const grpc::Status status = Call(WithMinBudget(1), absl::Seconds(4));
  EXPECT_LT(absl::Now() - start, absl::Seconds(2));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("min_budget"));
  // Three significant digits.
  EXPECT_THAT(status.error_message(), ContainsRegex("with [0-9.]+m?s left"));
  EXPECT_THAT(status.error_message(),
              ContainsRegex("with [0-9.]{1,4}m?s left"));
  EXPECT_EQ(handled_, 1);
  EXPECT_TRUE(done_);
  EXPECT_EQ(reason_, EndReason::kTooLittleTime);
  EXPECT_EQ(GetGrpcStats().shed, shed + 1);
}

TEST_F(PolicyTest, TheAnswerDoesNotWaitForTheHandler) {
  ProbeServer server({/*callback_api=*/false, WithMinBudget(1)});
  std::atomic<bool> answered{false};
  server.unary = [&](grpc::ServerContext&, const Ping&, Pong*) {
    // This handler never observes its context.
    const absl::Time start = absl::Now();
    while (!answered && absl::Now() - start < kGiveUp) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    return grpc::Status::OK;
  };
  const grpc::Status status = CallUnary(server, absl::Seconds(4));
  answered = true;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("min_budget"));
}

TEST_F(PolicyTest, ACallbackServerTurnsAwayToo) {
  ProbeServer server({/*callback_api=*/true, WithMinBudget(1)});
  server.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                              Pong*) {
    grpc::ServerUnaryReactor* reactor = sc->DefaultReactor();
    reactor->Finish(Handle(ContextOf(*sc)));
    return reactor;
  };
  const grpc::Status status = CallUnary(server, absl::Seconds(4));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("min_budget"));
}

TEST_F(PolicyTest, EnoughTimeOrNoDeadlineIsServed) {
  EXPECT_TRUE(Call(WithMinBudget(1), absl::Seconds(20)).ok());
  EXPECT_FALSE(done_);
  EXPECT_TRUE(Call(WithMinBudget(1), std::nullopt).ok());
  EXPECT_FALSE(done_);
}

TEST_F(PolicyTest, NoMoreThanTheFractionIsTurnedAway) {
  int refused = 0;
  {
    ProbeServer server({/*callback_api=*/false, WithMinBudget(0.25)});
    server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
      return Handle(ContextOf(sc));
    };
    for (int i = 0; i < 40; ++i) {
      if (!CallUnary(server, absl::Seconds(4)).ok()) ++refused;
    }
  }  // waits for the handlers, which may run after their call's answer
  EXPECT_EQ(refused, 10);
  EXPECT_EQ(handled_, 40);
}

TEST_F(PolicyTest, HealthChecksAreServed) {
  grpc::EnableDefaultHealthCheckService(true);
  ServerOptions options = WithMinBudget(1);
  for (const bool named : {false, true}) {
    if (named) options.methods = {{"/grpc.health.v1.Health/*", options.time}};
    ProbeServer server({/*callback_api=*/false, options});
    grpc::GenericStub stub(grpc::CreateChannel(
        server.address(), grpc::InsecureChannelCredentials()));
    grpc::CompletionQueue cq;
    int refused = 0;
    for (int i = 0; i < 20; ++i) {
      grpc::ClientContext call;
      call.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(4)));
      const auto check =
          stub.PrepareUnaryCall(&call, "/grpc.health.v1.Health/Check",
                                grpc::ByteBuffer(nullptr, 0), &cq);
      check->StartCall();
      grpc::ByteBuffer reply;
      grpc::Status status;
      check->Finish(&reply, &status, nullptr);
      void* tag;
      bool ok;
      ASSERT_TRUE(cq.Next(&tag, &ok));
      if (!status.ok()) ++refused;
    }
    EXPECT_EQ(refused, named ? 20 : 0);
  }
  grpc::EnableDefaultHealthCheckService(false);
}

// The control: without the option, the same late request is served.
TEST_F(PolicyTest, WithoutMinBudgetALateRequestIsServed) {
  EXPECT_TRUE(Call(ServerOptions(), absl::Seconds(4)).ok());
  EXPECT_FALSE(done_);
}

}  // namespace
}  // namespace tether
