// SPDX-License-Identifier: Apache-2.0
//
// Requests that a sidecar answers itself: dead on arrival, shed, too many at a
// time, or for an application that is down.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sidecar/counters.h"
#include "sidecar/options.h"
#include "sidecar/testing/chain.h"
#include "sidecar/testing/plain_client.h"
#include "sidecar/testing/start.h"
#include "sidecar/testing/unary_app.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar {
namespace {

using ::testing::HasSubstr;
using testing::kFrontMethod;
using testing::kPrompt;
using testing::PlainCall;
using testing::UnaryApp;
using tether::testing::kGiveUp;

// The front answers when the test says so.
class LimitsTest : public testing::Chain {
 protected:
  LimitsTest() {
    at_front_ = [](const UnaryApp::Held&) {};
  }

  std::shared_ptr<PlainCall> Call(const std::string& message,
                                  absl::Duration timeout = kGiveUp,
                                  const testing::Headers& headers = {}) {
    return client().Call({kFrontMethod, headers, message, timeout});
  }
  int64_t Counted(Count count) { return front_sidecar().counters()[count]; }
};

TEST_F(LimitsTest, ARequestThatIsDeadOnArrivalIsAnsweredAtOnce) {
  Start(Mode::kFull);
  const absl::Time start = absl::Now();
  for (int i = 0; i < 100; ++i) {
    const auto call = Call("dead", kGiveUp, {{"tether-timeout", "0"}});
    EXPECT_EQ(call->Wait().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  EXPECT_LT(absl::Now() - start, kGiveUp / 2);
  EXPECT_EQ(front_requests(), 0u);
  EXPECT_EQ(Counted(Count::kDeadOnArrival), 100);
}

TEST_F(LimitsTest, ObserveCallsTheAppAllTheSame) {
  Start(Mode::kObserve);
  const auto call = Call("dead", kGiveUp, {{"tether-timeout", "0"}});
  FrontRequest("dead")->Answer(grpc::Status::OK);
  EXPECT_TRUE(call->Wait().ok());
}

// Requests of 1 ms for a second, as fast as they go: none waits behind others,
// so one with time left is served at once.
TEST_F(LimitsTest, RequestsThatAreDeadOnArrivalDontQueueUp) {
  at_front_ = [](const UnaryApp::Held& request) {
    request->Answer(grpc::Status::OK);
  };
  Start(Mode::kFull);
  std::vector<std::shared_ptr<PlainCall>> calls;
  const absl::Time end = absl::Now() + absl::Milliseconds(500);
  while (absl::Now() < end) {
    for (int i = 0; i < 20; ++i) {
      calls.push_back(Call("short", absl::Milliseconds(1)));
    }
    for (int i = 0; i < 20; ++i) calls[calls.size() - 1 - i]->Wait();
  }
  const absl::Time start = absl::Now();
  EXPECT_TRUE(Call("long")->Wait().ok());
  EXPECT_LT(absl::Now() - start, kPrompt);
}

TEST_F(LimitsTest, ARequestWithTooLittleTimeIsShed) {
  front_options_.ingress.server.time.min_budget = absl::Seconds(5);
  front_options_.ingress.server.shed_fraction = 1;
  Start(Mode::kFull);
  const absl::Time start = absl::Now();
  EXPECT_EQ(Call("1", absl::Seconds(4))->Wait().error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_LT(absl::Now() - start, kPrompt);
  EXPECT_EQ(front_requests(), 0u);

  const auto enough = Call("2", kGiveUp);
  FrontRequest("2")->Answer(grpc::Status::OK);
  EXPECT_TRUE(enough->Wait().ok());
}

TEST_F(LimitsTest, APolicyGivesADeadlineToRequestsThatBringNone) {
  front_options_.ingress.server.time.default_timeout = absl::Milliseconds(200);
  at_front_ = [this](const UnaryApp::Held& request) { Forward(request); };
  Start(Mode::kFull);
  const auto call = Call("1", absl::InfiniteDuration());
  EXPECT_LE(LeafRequest("1")->timeout(), absl::Milliseconds(200));
  EXPECT_EQ(call->Wait().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(call->status().error_message(), HasSubstr("leaf.Get"));
}

TEST_F(LimitsTest, RequestsOverTheLimitAreRefusedAtOnce) {
  front_options_.max_in_flight = 2;
  front_options_.threads = 1;
  Start(Mode::kFull);
  const auto first = Call("1");
  const auto second = Call("2");
  const auto at_front = FrontRequest("1");
  FrontRequest("2");
  const absl::Time start = absl::Now();
  const auto third = Call("3");
  EXPECT_EQ(third->Wait().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_LT(absl::Now() - start, kPrompt);
  EXPECT_EQ(front_requests(), 2u);
  EXPECT_EQ(Counted(Count::kOverLimit), 1);

  at_front->Answer(grpc::Status::OK);
  EXPECT_TRUE(first->Wait().ok());
  const auto fourth = Call("4");
  FrontRequest("4")->Answer(grpc::Status::OK);
  EXPECT_TRUE(fourth->Wait().ok());
  second->Cancel();
}

// The table is full: calls pass uncorrelated.
TEST_F(LimitsTest, RequestsOverTheTablePassUncorrelated) {
  front_options_.max_requests = 1;
  Start(Mode::kFull);
  const auto first = Call("1");
  FrontRequest("1");
  const auto second = Call("2");
  const auto at_front = FrontRequest("2");
  EXPECT_EQ(at_front->headers().count("baggage"), 0u);
  const auto to_leaf = CallLeaf(at_front);
  const auto at_leaf = LeafRequest("2");
  EXPECT_FALSE(at_leaf->IsCancelledWithin(testing::kNever));
  at_leaf->Answer(grpc::Status::OK);
  EXPECT_TRUE(to_leaf->Wait().ok());
  at_front->Answer(grpc::Status::OK);
  EXPECT_TRUE(second->Wait().ok());
  EXPECT_EQ(front_sidecar().correlator_stats().overflowed, 1);
  first->Cancel();
}

TEST_F(LimitsTest, AnAppThatIsDownIsUnavailableInWords) {
  for (const Mode mode : {Mode::kObserve, Mode::kFull}) {
    std::string address;
    {
      UnaryApp gone([](const UnaryApp::Held&) {});
      address = gone.address();
    }
    SidecarOptions options;
    options.mode = mode;
    options.ingress.app = address;
    const auto sidecar = testing::StartOnLoopback(options);
    testing::PlainClient client(testing::AddressOf(sidecar->ingress_port()));
    const grpc::Status status =
        client.Call({kFrontMethod, {}, "", kGiveUp})->Wait();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_THAT(status.error_message(), HasSubstr("the app"));
    EXPECT_THAT(status.error_message(), HasSubstr(address));
    EXPECT_EQ(sidecar->counters()[Count::kAppUnreachable], 1);
  }
}

// ---- The end of a sidecar ----

TEST_F(LimitsTest, ADrainLetsRequestsEnd) {
  at_front_ = [this](const UnaryApp::Held& request) { Forward(request); };
  Start(Mode::kFull);
  const auto call = Call("1");
  const auto at_leaf = LeafRequest("1");
  std::thread drain([this] { front_sidecar().Drain(kGiveUp); });
  EXPECT_FALSE(call->EndsWithin(testing::kNever));
  at_leaf->Answer(grpc::Status::OK, "reply");
  EXPECT_TRUE(call->Wait().ok());
  EXPECT_EQ(call->reply(), "reply");
  drain.join();
  EXPECT_EQ(Call("2")->Wait().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(LimitsTest, AfterItsGraceADrainEndsRequests) {
  at_front_ = [this](const UnaryApp::Held& request) { Forward(request); };
  Start(Mode::kFull);
  const auto call = Call("1");
  const auto at_leaf = LeafRequest("1");
  front_sidecar().Drain(absl::Milliseconds(100));
  EXPECT_EQ(call->Wait().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(at_leaf->IsCancelledWithin(kPrompt));
  EXPECT_TRUE(FrontRequest("1")->EndsWithin(kPrompt));
}

// Calls that are under way end as they began.
TEST_F(LimitsTest, AReloadChangesTheModeOfNewRequests) {
  at_front_ = [this](const UnaryApp::Held& request) { Forward(request); };
  Start(Mode::kObserve);
  const auto before = Call("1");
  const auto at_leaf = LeafRequest("1");
  SidecarOptions options = front_options_;
  options.mode = Mode::kFull;
  options.ingress.listen = testing::AddressOf(0);
  options.egress[0].listen = testing::AddressOf(0);
  ASSERT_TRUE(front_sidecar().Reload(options).ok());
  const auto after = Call("2");
  const auto next_at_leaf = LeafRequest("2");
  before->Cancel();
  after->Cancel();
  EXPECT_TRUE(next_at_leaf->IsCancelledWithin(kPrompt));
  EXPECT_FALSE(at_leaf->IsCancelledWithin(testing::kNever));
}

}  // namespace
}  // namespace tether::sidecar
