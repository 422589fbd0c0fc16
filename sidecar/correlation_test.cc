// SPDX-License-Identifier: Apache-2.0
//
// Through two sidecars, the calls of applications of plain gRPC have the
// deadline and the cancellation of the requests that they are made for: of
// their own request only, and only as far as the mode says.
//
// kPrompt and kNever say how long "at once" and "never" are on a busy machine
// (sidecar/testing/chain.h).

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sidecar/correlator.h"
#include "sidecar/counters.h"
#include "sidecar/options.h"
#include "sidecar/testing/blocking_call.h"
#include "sidecar/testing/chain.h"
#include "sidecar/testing/channel.h"
#include "sidecar/testing/plain_client.h"
#include "sidecar/testing/start.h"
#include "sidecar/testing/unary_app.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/grpc/client.h"
#include "tether/grpc/reserve.h"
#include "tether/internal/mutex.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar {
namespace {

using ::testing::HasSubstr;
using testing::kFrontMethod;
using testing::kLeafMethod;
using testing::kNever;
using testing::kPrompt;
using ::testing::Not;
using testing::PlainCall;
using testing::PlainClient;
using testing::UnaryApp;
using tether::testing::kGiveUp;

constexpr char kTraceParent[] =
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

// gRPC rounds timeouts up to three digits, and repeats one that is up to 3 %
// longer if the connection has sent it before.
absl::Duration RoundedUp(absl::Duration timeout) {
  return timeout * 1.04 + absl::Milliseconds(1);
}

class CorrelationTest : public testing::Chain {
 protected:
  // The front answers when its test says so.
  void HoldAtFront() {
    at_front_ = [](const UnaryApp::Held&) {};
  }
  std::shared_ptr<PlainCall> Call(
      const std::string& message,
      absl::Duration timeout = absl::InfiniteDuration(),
      const testing::Headers& headers = {}) {
    return client().Call({kFrontMethod, headers, message, timeout});
  }
};

// ---- Deadline ----

// The client uses tether, so that it gets the message: plain gRPC has one of
// its own. It leaves a quarter of its time for the answer, so that a busy
// machine's answer arrives.
TEST_F(CorrelationTest, ADeadlineEndsEachHopAndTheMessageNamesTheLeaf) {
  Start(Mode::kFull);
  ClientOptions options;
  options.reserve = Reserve::Fixed(absl::Milliseconds(50));
  PlainClient client(CreateChannel(
      front_address(), grpc::InsecureChannelCredentials(), options));
  const auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(200));
  const absl::Time deadline = absl::Now() + absl::Milliseconds(200);
  std::shared_ptr<PlainCall> call;
  {
    const ScopedContext current(ctx);
    call = client.Call({kFrontMethod, {}, "1"});
  }
  EXPECT_EQ(call->Wait().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(call->status().error_message(), HasSubstr("leaf.Get"));
  EXPECT_LT(call->ended_at(), deadline + kPrompt);
  for (const auto& hop : {FrontRequest("1"), LeafRequest("1")}) {
    EXPECT_LE(hop->timeout(), RoundedUp(absl::Milliseconds(200)));
    // The front may be told by its own call, and answer.
    ASSERT_TRUE(hop->EndsWithin(kPrompt));
    EXPECT_LT(hop->ended_at(), deadline + kPrompt);
    // No hop's time is over long before.
    EXPECT_GT(hop->ended_at(), deadline - absl::Milliseconds(120));
  }
}

// The control: plain gRPC passes nothing on.
TEST_F(CorrelationTest, InObserveTheLeafWorksOn) {
  Start(Mode::kObserve);
  const auto call = Call("1", absl::Milliseconds(400));
  EXPECT_EQ(call->Wait().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  const auto at_leaf = LeafRequest("1");
  EXPECT_EQ(at_leaf->timeout(), absl::InfiniteDuration());
  EXPECT_FALSE(at_leaf->IsCancelledWithin(kNever));
  EXPECT_EQ(front_sidecar().would_cut(),
            (std::map<std::string, int64_t, std::less<>>{{kLeafMethod, 1}}));
  EXPECT_EQ(Found(&Correlator::Stats::by_id), 1);
  EXPECT_EQ(Counted(Count::kCut), 0);
}

TEST_F(CorrelationTest, TheAppsOwnTimeoutHoldsIfItIsShorter) {
  own_timeout_ = absl::Milliseconds(100);
  Start(Mode::kFull);
  const auto call = Call("1", kGiveUp);
  EXPECT_LE(LeafRequest("1")->timeout(), RoundedUp(absl::Milliseconds(100)));
  EXPECT_EQ(call->Wait().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(LeafRequest("1")->IsCancelledWithin(kPrompt));
}

TEST_F(CorrelationTest, TheRequestsDeadlineHoldsIfItIsShorter) {
  own_timeout_ = kGiveUp;
  Start(Mode::kDeadline);
  const auto call = Call("1", absl::Milliseconds(300));
  EXPECT_LE(LeafRequest("1")->timeout(), RoundedUp(absl::Milliseconds(300)));
  EXPECT_EQ(call->Wait().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(LeafRequest("1")->IsCancelledWithin(kPrompt));
}

TEST_F(CorrelationTest, ARequestWithoutDeadlineGivesNone) {
  Start(Mode::kFull);
  const auto call = Call("1");
  EXPECT_EQ(LeafRequest("1")->timeout(), absl::InfiniteDuration());
  LeafRequest("1")->Answer(grpc::Status::OK, "reply");
  EXPECT_TRUE(call->Wait().ok());
  EXPECT_EQ(call->reply(), "reply");
}

// A leaf without a sidecar isn't asked to answer earlier. Whether the caller
// gives up first or the sidecar sees the deadline first, the app is told the
// same.
TEST_F(CorrelationTest, ACallThatADeadlineEndsIsNeverCancelled) {
  internal::Mutex mutex;
  std::vector<grpc::Status> statuses;
  UnaryApp leaf([](const UnaryApp::Held&) {});
  std::unique_ptr<PlainClient> to_leaf;
  UnaryApp app([&](const UnaryApp::Held& request) {
    to_leaf->Call({kLeafMethod, {{"baggage", request->header("baggage")}}},
                  [&](PlainCall& call) {
                    internal::MutexLock lock(mutex);
                    statuses.push_back(call.status());
                  });
  });
  SidecarOptions options;
  options.mode = Mode::kFull;
  options.ingress.app = app.address();
  options.egress.resize(1);
  options.egress[0].target = leaf.address();
  const auto sidecar = testing::StartOnLoopback(options);
  to_leaf = std::make_unique<PlainClient>(
      testing::AddressOf(sidecar->egress_port(0)));
  PlainClient client(testing::AddressOf(sidecar->ingress_port()));
  // gRPC rounds these up to 1,010 ms on the wire, so most callers are first.
  std::vector<std::shared_ptr<PlainCall>> calls;
  for (int i = 0; i < 10; ++i) {
    calls.push_back(
        client.Call({kFrontMethod, {}, "", absl::Milliseconds(1001 + i)}));
  }
  for (const auto& call : calls) {
    EXPECT_EQ(call->Wait().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  const absl::Time limit = absl::Now() + kGiveUp;
  const auto have_all_ended = [&] {
    internal::MutexLock lock(mutex);
    return statuses.size() == calls.size();
  };
  while (!have_all_ended() && absl::Now() < limit) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  to_leaf.reset();  // otherwise it would cancel calls
  EXPECT_EQ(statuses.size(), calls.size());
  for (const grpc::Status& status : statuses) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED)
        << status.error_message();
  }
}

// ---- Cancellation ----

// 20 ms are enough for both sidecars and three connections. A busy machine may
// need longer at times, so the fastest of ten must keep to it.
TEST_F(CorrelationTest, TheLeafHearsWithin20MsThatTheClientLeft) {
  Start(Mode::kFull);
  absl::Duration fastest = absl::InfiniteDuration();
  for (int i = 0; i < 10; ++i) {
    const std::string message = absl::StrCat(i);
    const auto call = Call(message, kGiveUp);
    const auto at_leaf = LeafRequest(message);
    if (i == 0) absl::SleepFor(absl::Milliseconds(50));
    EXPECT_FALSE(at_leaf->cancelled());
    const absl::Time left = absl::Now();
    call->Cancel();
    ASSERT_TRUE(at_leaf->IsCancelledWithin(kPrompt));
    fastest = std::min(fastest, at_leaf->cancelled_at() - left);
    EXPECT_TRUE(FrontRequest(message)->EndsWithin(kPrompt));
  }
  EXPECT_LT(fastest, absl::Milliseconds(20));
  EXPECT_EQ(CountedOnce(Count::kCut, 10), 10);
}

// The sidecar is reading when the client leaves, and gRPC tells the read before
// it tells that the call was cancelled. The request must not count as answered
// in between, or its calls would run on.
TEST_F(CorrelationTest, TheLeafHearsThatAClientLeftWhichWasStillSending) {
  Start(Mode::kFull);
  const auto channel = testing::ConnectedChannel(front_address());
  for (int i = 0; i < 50; ++i) {
    const std::string message = absl::StrCat(i);
    testing::ClientSide call(channel, kFrontMethod);
    call.Start();
    ASSERT_TRUE(call.Write(message));
    const auto at_leaf = LeafRequest(message);
    call.context().TryCancel();
    ASSERT_TRUE(at_leaf->IsCancelledWithin(kPrompt)) << i;
  }
}

TEST_F(CorrelationTest, InDeadlineACancelledRequestCutsNothing) {
  Start(Mode::kDeadline);
  const auto call = Call("1", kGiveUp);
  const auto at_leaf = LeafRequest("1");
  EXPECT_LE(at_leaf->timeout(), RoundedUp(kGiveUp));
  call->Cancel();
  EXPECT_TRUE(FrontRequest("1")->EndsWithin(kPrompt));
  EXPECT_FALSE(at_leaf->IsCancelledWithin(kNever));
  EXPECT_EQ(front_sidecar().would_cut().count(kLeafMethod), 1u);
}

TEST_F(CorrelationTest, WithCorrelateOffNothingIsCut) {
  front_options_.egress.emplace_back();
  front_options_.egress[0].methods.push_back({kLeafMethod, Correlate::kOff});
  Start(Mode::kFull);
  const auto call = Call("1", kGiveUp);
  const auto at_leaf = LeafRequest("1");
  EXPECT_EQ(at_leaf->timeout(), absl::InfiniteDuration());
  call->Cancel();
  EXPECT_FALSE(at_leaf->IsCancelledWithin(kNever));
  EXPECT_EQ(Counted(Count::kNotCorrelated), 1);
  EXPECT_TRUE(front_sidecar().would_cut().empty());
}

TEST_F(CorrelationTest, WithCorrelateDeadlineOnlyTheDeadlineIsPassedOn) {
  front_options_.egress.emplace_back();
  front_options_.egress[0].correlate = Correlate::kDeadline;
  Start(Mode::kFull);
  const auto call = Call("1", kGiveUp);
  const auto at_leaf = LeafRequest("1");
  EXPECT_LE(at_leaf->timeout(), RoundedUp(kGiveUp));
  call->Cancel();
  EXPECT_FALSE(at_leaf->IsCancelledWithin(kNever));
}

// ---- Many requests ----

// A thousand requests at a time: a quarter are cancelled in groups, and a
// quarter have a deadline, each another; the rest get answers of their own.
TEST_F(CorrelationTest, AThousandRequestsAreNotMixedUp) {
  constexpr int kRequests = 1000;
  constexpr int kGroup = 50;
  Start(Mode::kFull);
  std::vector<std::shared_ptr<PlainCall>> calls;
  std::vector<absl::Time> deadlines(kRequests, absl::InfiniteFuture());
  for (int i = 0; i < kRequests; ++i) {
    absl::Duration timeout = absl::InfiniteDuration();
    // Far enough for all requests to arrive on a busy machine.
    if (i % 4 == 1) timeout = absl::Seconds(6) + absl::Milliseconds(2 * i);
    deadlines[i] = absl::Now() + timeout;
    calls.push_back(Call(absl::StrCat(i), timeout));
  }
  std::vector<UnaryApp::Held> at_leaf;
  for (int i = 0; i < kRequests; ++i) {
    at_leaf.push_back(LeafRequest(absl::StrCat(i)));
    ASSERT_FALSE(HasFailure()) << "at request " << i;
  }
  ASSERT_EQ(leaf_requests(), size_t{kRequests});

  std::vector<bool> cancelled(kRequests);
  for (int begin = 0; begin < kRequests; begin += 4 * kGroup) {
    for (int i = begin; i < begin + 4 * kGroup; i += 4) {
      calls[i]->Cancel();
      cancelled[i] = true;
    }
    for (int i = 0; i < kRequests; ++i) {
      if (cancelled[i]) {
        EXPECT_TRUE(at_leaf[i]->IsCancelledWithin(kPrompt)) << i;
      } else if (absl::Now() < deadlines[i] - absl::Milliseconds(100)) {
        EXPECT_FALSE(at_leaf[i]->cancelled()) << i;
      }
    }
  }
  for (int i = 0; i < kRequests; ++i) {
    if (i % 4 >= 2) at_leaf[i]->Answer(grpc::Status::OK, absl::StrCat("r", i));
  }
  for (int i = 0; i < kRequests; ++i) {
    const grpc::Status status = calls[i]->Wait();
    switch (i % 4) {
      case 0:
        EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED) << i;
        break;
      case 1:
        EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
        ASSERT_TRUE(at_leaf[i]->IsCancelledWithin(kPrompt)) << i;
        // Reserves are at most 50 ms, of each sidecar's.
        EXPECT_GT(at_leaf[i]->cancelled_at(),
                  deadlines[i] - absl::Milliseconds(150));
        EXPECT_LT(at_leaf[i]->cancelled_at(), deadlines[i] + kPrompt);
        break;
      default:
        EXPECT_TRUE(status.ok()) << i;
        EXPECT_EQ(calls[i]->reply(), absl::StrCat("r", i));
        EXPECT_FALSE(at_leaf[i]->cancelled());
    }
  }
  EXPECT_EQ(Found(&Correlator::Stats::by_id), kRequests);
  // If the leaf's sidecar was first to end a call at its deadline, the front's
  // hasn't cut it.
  EXPECT_GE(Counted(Count::kCut), kRequests / 4);
  EXPECT_LE(Counted(Count::kCut), kRequests / 2);
}

// ---- Batches ----

// The front waits for three requests, makes one call for all of them, with the
// headers of the first, and gives all of them the answer.
class BatchTest : public CorrelationTest {
 protected:
  // The first request has 400 ms and the others have more. The leaf, if its
  // context lets it, answers after that.
  void Run() {
    HoldAtFront();
    Start(mode_);
    calls_.push_back(Call("first", absl::Milliseconds(400)));
    const auto first = FrontRequest("first");
    calls_.push_back(Call("second", kGiveUp));
    calls_.push_back(Call("third", kGiveUp));
    const auto second = FrontRequest("second");
    const auto third = FrontRequest("third");
    CallLeaf(first, [first, second, third](PlainCall& call) {
      for (const auto& request : {first, second, third}) {
        request->Answer(call.status(), call.reply());
      }
    });
    EXPECT_EQ(calls_[0]->Wait().error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
    LeafRequest("first")->IsCancelledWithin(kNever);
    LeafRequest("first")->Answer(grpc::Status::OK, "for all");
  }

  Mode mode_ = Mode::kFull;
  std::vector<std::shared_ptr<PlainCall>> calls_;
};

TEST_F(BatchTest, ObserveHarmsNobody) {
  mode_ = Mode::kObserve;
  Run();
  EXPECT_TRUE(calls_[1]->Wait().ok());
  EXPECT_TRUE(calls_[2]->Wait().ok());
  EXPECT_EQ(calls_[2]->reply(), "for all");
  EXPECT_EQ(front_sidecar().would_cut().count(kLeafMethod), 1u);
}

TEST_F(BatchTest, CorrelateOffHarmsNobody) {
  front_options_.egress.emplace_back();
  front_options_.egress[0].methods.push_back({"/shop.Leaf/*", Correlate::kOff});
  Run();
  EXPECT_TRUE(calls_[1]->Wait().ok());
  EXPECT_TRUE(calls_[2]->Wait().ok());
}

// As docs/sidecar.md says: nothing tells such a call from one of the first
// request's own.
TEST_F(BatchTest, FullEndsItWithTheFirst) {
  Run();
  EXPECT_EQ(calls_[1]->Wait().error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(calls_[2]->Wait().error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
}

// ---- A trace of several requests ----

class TraceTest : public CorrelationTest {
 protected:
  TraceTest() { carried_ = {"traceparent"}; }

  std::shared_ptr<PlainCall> CallInTrace(const std::string& message) {
    return Call(message, kGiveUp, {{"traceparent", kTraceParent}});
  }
};

TEST_F(TraceTest, ACallIsCutWhenAllRequestsOfItsTraceHaveEnded) {
  HoldAtFront();
  Start(Mode::kFull);
  const auto first = CallInTrace("1");
  const auto second = CallInTrace("2");
  const auto at_front = FrontRequest("1");
  FrontRequest("2");
  CallLeaf(at_front);
  const auto at_leaf = LeafRequest("1");
  EXPECT_LE(at_leaf->timeout(), RoundedUp(kGiveUp));

  first->Cancel();
  EXPECT_TRUE(at_front->IsCancelledWithin(kPrompt));
  EXPECT_FALSE(at_leaf->IsCancelledWithin(kNever));
  second->Cancel();
  EXPECT_TRUE(at_leaf->IsCancelledWithin(kPrompt));
  EXPECT_EQ(Found(&Correlator::Stats::by_trace), 1);
  EXPECT_EQ(CountedOnce(Count::kCut, 1), 1);
}

TEST_F(TraceTest, ACallIsNotCutIfARequestOfItsTraceWasAnswered) {
  HoldAtFront();
  Start(Mode::kFull);
  const auto first = CallInTrace("1");
  const auto second = CallInTrace("2");
  const auto at_front = FrontRequest("1");
  const auto other_at_front = FrontRequest("2");
  const auto call = CallLeaf(at_front);
  const auto at_leaf = LeafRequest("1");

  other_at_front->Answer(grpc::Status::OK);
  EXPECT_TRUE(second->Wait().ok());
  first->Cancel();
  EXPECT_TRUE(at_front->IsCancelledWithin(kPrompt));
  EXPECT_FALSE(at_leaf->IsCancelledWithin(kNever));
  at_leaf->Answer(grpc::Status::OK);
  EXPECT_TRUE(call->Wait().ok());
}

// Requests that come later aren't candidates.
TEST_F(TraceTest, TheCandidatesAreThoseThatAreAliveWhenTheCallStarts) {
  HoldAtFront();
  Start(Mode::kFull);
  const auto first = CallInTrace("1");
  CallLeaf(FrontRequest("1"));
  const auto at_leaf = LeafRequest("1");
  const auto second = CallInTrace("2");
  FrontRequest("2");
  first->Cancel();
  EXPECT_TRUE(at_leaf->IsCancelledWithin(kPrompt));
  second->Cancel();
}

TEST_F(TraceTest, TheDeadlineIsTheLatest) {
  HoldAtFront();
  Start(Mode::kFull);
  const auto first =
      Call("1", absl::Milliseconds(150), {{"traceparent", kTraceParent}});
  const auto second =
      Call("2", absl::Seconds(10), {{"traceparent", kTraceParent}});
  FrontRequest("2");
  CallLeaf(FrontRequest("1"));
  const auto at_leaf = LeafRequest("1");
  EXPECT_GT(at_leaf->timeout(), absl::Seconds(5));
  EXPECT_LE(at_leaf->timeout(), RoundedUp(absl::Seconds(10)));
  EXPECT_FALSE(first->Wait().ok());
  EXPECT_FALSE(at_leaf->IsCancelledWithin(kNever));
  second->Cancel();
}

// With an id, each request has its own calls, whatever their trace.
TEST_F(TraceTest, AnIdIsStrongerThanATrace) {
  carried_ = {"traceparent", "tracestate"};
  HoldAtFront();
  Start(Mode::kFull);
  const auto first = CallInTrace("1");
  const auto second = CallInTrace("2");
  CallLeaf(FrontRequest("1"));
  CallLeaf(FrontRequest("2"));
  const auto at_leaf = LeafRequest("1");
  const auto other_at_leaf = LeafRequest("2");
  first->Cancel();
  EXPECT_TRUE(at_leaf->IsCancelledWithin(kPrompt));
  EXPECT_FALSE(other_at_leaf->IsCancelledWithin(kNever));
  EXPECT_EQ(Found(&Correlator::Stats::by_id), 2);
  second->Cancel();
}

TEST_F(TraceTest, AnXRequestIdIsTheLastResort) {
  carried_ = {"x-request-id"};
  HoldAtFront();
  Start(Mode::kFull);
  const auto first = Call("1", kGiveUp, {{"x-request-id", "abc"}});
  const auto other = Call("2", kGiveUp, {{"x-request-id", "def"}});
  CallLeaf(FrontRequest("1"));
  CallLeaf(FrontRequest("2"));
  const auto at_leaf = LeafRequest("1");
  const auto other_at_leaf = LeafRequest("2");
  first->Cancel();
  EXPECT_TRUE(at_leaf->IsCancelledWithin(kPrompt));
  EXPECT_FALSE(other_at_leaf->IsCancelledWithin(kNever));
  EXPECT_EQ(Found(&Correlator::Stats::by_request_id), 2);
  other->Cancel();
}

}  // namespace
}  // namespace tether::sidecar
