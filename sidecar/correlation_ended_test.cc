// SPDX-License-Identifier: Apache-2.0
//
// Calls that an application makes for a request that has ended, or when nothing
// tells for which; and what the headers of callers and applications may
// contain.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sidecar/correlator.h"
#include "sidecar/counters.h"
#include "sidecar/options.h"
#include "sidecar/testing/chain.h"
#include "sidecar/testing/plain_client.h"
#include "sidecar/testing/unary_app.h"
#include "tether/grpc/report_options.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar {
namespace {

using ::testing::HasSubstr;
using testing::kFrontMethod;
using testing::kLeafMethod;
using testing::kNever;
using testing::kPrompt;
using ::testing::MatchesRegex;
using testing::PlainCall;
using testing::UnaryApp;
using tether::testing::kGiveUp;

constexpr char kTraceParent[] =
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr char kId[] = "tether-hop=[0-9a-f]{32}";

// The front answers, and makes calls, when the test says so.
class EndedRequestTest : public testing::Chain {
 protected:
  EndedRequestTest() {
    at_front_ = [](const UnaryApp::Held&) {};
  }

  std::shared_ptr<PlainCall> Call(const std::string& message,
                                  absl::Duration timeout = kGiveUp,
                                  const testing::Headers& headers = {}) {
    return client().Call({kFrontMethod, headers, message, timeout});
  }
};

// ---- Requests that were answered ----

TEST_F(EndedRequestTest, ACallInFlightRunsOnAfterTheReply) {
  Start(Mode::kFull);
  const auto call = Call("1");
  const auto at_front = FrontRequest("1");
  const auto background = CallLeaf(at_front);
  const auto at_leaf = LeafRequest("1");
  at_front->Answer(grpc::Status::OK, "reply");
  EXPECT_TRUE(call->Wait().ok());
  EXPECT_FALSE(at_leaf->IsCancelledWithin(kNever));
  at_leaf->Answer(grpc::Status::OK, "done");
  EXPECT_TRUE(background->Wait().ok());
  EXPECT_EQ(background->reply(), "done");
  EXPECT_EQ(Counted(Count::kCut), 0);
}

// It still has the deadline that it was told.
TEST_F(EndedRequestTest, ACallInFlightKeepsItsDeadlineAfterTheReply) {
  Start(Mode::kFull);
  const auto call = Call("1", absl::Milliseconds(500));
  const auto at_front = FrontRequest("1");
  const auto background = CallLeaf(at_front);
  const auto at_leaf = LeafRequest("1");
  at_front->Answer(grpc::Status::OK, "reply");
  EXPECT_TRUE(call->Wait().ok());
  EXPECT_EQ(background->Wait().error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(at_leaf->IsCancelledWithin(kPrompt));
}

TEST_F(EndedRequestTest, ACallAfterTheReplyRunsOnItsOwnDeadline) {
  Start(Mode::kFull);
  const auto call = Call("1", absl::Milliseconds(300));
  const auto at_front = FrontRequest("1");
  at_front->Answer(grpc::Status::OK, "reply");
  EXPECT_TRUE(call->Wait().ok());
  const auto background = CallLeaf(at_front);
  const auto at_leaf = LeafRequest("1");
  EXPECT_EQ(at_leaf->timeout(), absl::InfiniteDuration());
  EXPECT_FALSE(at_leaf->IsCancelledWithin(absl::Milliseconds(400)));
  at_leaf->Answer(grpc::Status::OK);
  EXPECT_TRUE(background->Wait().ok());
  EXPECT_EQ(Found(&Correlator::Stats::late), 1);
}

// An error is a reply, too.
TEST_F(EndedRequestTest, ACallAfterAnErrorRuns) {
  Start(Mode::kFull);
  const auto call = Call("1");
  const auto at_front = FrontRequest("1");
  at_front->Answer(grpc::Status(grpc::StatusCode::NOT_FOUND, "none"));
  EXPECT_EQ(call->Wait().error_code(), grpc::StatusCode::NOT_FOUND);
  const auto background = CallLeaf(at_front);
  LeafRequest("1")->Answer(grpc::Status::OK);
  EXPECT_TRUE(background->Wait().ok());
}

// ---- Requests that were cut ----

TEST_F(EndedRequestTest, ACallForACancelledRequestIsRefused) {
  Start(Mode::kFull);
  const auto call = Call("1");
  const auto at_front = FrontRequest("1");
  call->Cancel();
  ASSERT_TRUE(at_front->IsCancelledWithin(kPrompt));
  const auto start = absl::Now();
  EXPECT_EQ(CallLeaf(at_front)->Wait().error_code(),
            grpc::StatusCode::CANCELLED);
  EXPECT_LT(absl::Now() - start, kPrompt);
  EXPECT_EQ(leaf_requests(), 0u);
  EXPECT_EQ(Found(&Correlator::Stats::refused), 1);
}

TEST_F(EndedRequestTest, ACallForARequestPastItsDeadlineIsRefused) {
  Start(Mode::kFull);
  const auto call = Call("1", absl::Milliseconds(100));
  const auto at_front = FrontRequest("1");
  EXPECT_FALSE(call->Wait().ok());
  ASSERT_TRUE(at_front->IsCancelledWithin(kPrompt));
  EXPECT_EQ(CallLeaf(at_front)->Wait().error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(leaf_requests(), 0u);
  EXPECT_EQ(Found(&Correlator::Stats::refused), 1);
}

TEST_F(EndedRequestTest, ObserveRefusesNothingAndCountsIt) {
  Start(Mode::kObserve);
  const auto call = Call("1");
  const auto at_front = FrontRequest("1");
  call->Cancel();
  ASSERT_TRUE(at_front->IsCancelledWithin(kPrompt));
  const auto late = CallLeaf(at_front);
  LeafRequest("1")->Answer(grpc::Status::OK);
  EXPECT_TRUE(late->Wait().ok());
  EXPECT_EQ(front_sidecar().would_cut().count(kLeafMethod), 1u);
}

// By the trace: one of its requests was answered, so the call may be of that.
TEST_F(EndedRequestTest, ATraceWithARequestThatWasAnsweredRefusesNothing) {
  carried_ = {"traceparent"};
  Start(Mode::kFull);
  const testing::Headers headers = {{"traceparent", kTraceParent}};
  const auto answered = Call("1", kGiveUp, headers);
  FrontRequest("1")->Answer(grpc::Status::OK);
  EXPECT_TRUE(answered->Wait().ok());
  const auto cancelled = Call("2", kGiveUp, headers);
  const auto at_front = FrontRequest("2");
  cancelled->Cancel();
  ASSERT_TRUE(at_front->IsCancelledWithin(kPrompt));
  const auto late = CallLeaf(at_front);
  LeafRequest("2")->Answer(grpc::Status::OK);
  EXPECT_TRUE(late->Wait().ok());
  EXPECT_EQ(Found(&Correlator::Stats::late), 1);
}

TEST_F(EndedRequestTest, ATraceWhoseRequestsWereCancelledRefuses) {
  carried_ = {"traceparent"};
  Start(Mode::kFull);
  const auto call = Call("1", kGiveUp, {{"traceparent", kTraceParent}});
  const auto at_front = FrontRequest("1");
  call->Cancel();
  ASSERT_TRUE(at_front->IsCancelledWithin(kPrompt));
  EXPECT_EQ(CallLeaf(at_front)->Wait().error_code(),
            grpc::StatusCode::CANCELLED);
  EXPECT_EQ(leaf_requests(), 0u);
}

// The request is forgotten then.
TEST_F(EndedRequestTest, AfterTheLifeOfATombstoneACallPasses) {
  front_options_.tombstone_life = absl::Milliseconds(50);
  Start(Mode::kFull);
  const auto call = Call("1");
  const auto at_front = FrontRequest("1");
  call->Cancel();
  ASSERT_TRUE(at_front->IsCancelledWithin(kPrompt));
  absl::SleepFor(absl::Milliseconds(100));
  const auto late = CallLeaf(at_front);
  LeafRequest("1")->Answer(grpc::Status::OK);
  EXPECT_TRUE(late->Wait().ok());
  EXPECT_EQ(Found(&Correlator::Stats::none), 1);
}

// ---- No request ----

TEST_F(EndedRequestTest, ACallWithoutAnyNamePassesAndIsCounted) {
  Start(Mode::kFull);
  const auto call = CallLeaf({kLeafMethod, {}, "1"});
  LeafRequest("1")->Answer(grpc::Status::OK, "reply");
  EXPECT_TRUE(call->Wait().ok());
  EXPECT_EQ(call->reply(), "reply");
  EXPECT_EQ(Found(&Correlator::Stats::none), 1);
}

// Also while requests are alive that have other names.
TEST_F(EndedRequestTest, UnknownAndForeignNamesPass) {
  Start(Mode::kFull);
  const auto alive = Call("alive", kGiveUp, {{"traceparent", kTraceParent}});
  const std::string baggage = FrontRequest("alive")->header("baggage");
  ASSERT_THAT(baggage, MatchesRegex(kId));
  std::string unknown = baggage;
  unknown.back() = unknown.back() == '0' ? '1' : '0';
  const std::string foreign = absl::StrCat("tether-hop=", std::string(32, '7'));
  int number = 0;
  for (const std::string& name :
       {unknown, foreign, std::string("tether-hop="),
        std::string("tether-hop=xyz"), std::string("tether-hop=;p=1"),
        absl::StrCat("tether-hop=", std::string(5000, 'f'))}) {
    const std::string message = absl::StrCat(++number);
    const auto call = CallLeaf(
        {kLeafMethod, {{"baggage", absl::StrCat(name, ",a=b")}}, message});
    const auto at_leaf = LeafRequest(message);
    EXPECT_THAT(at_leaf->header("baggage"),
                MatchesRegex(absl::StrCat(kId, ",a=b")))
        << name;
    EXPECT_NE(at_leaf->header("baggage"), absl::StrCat(name, ",a=b"));
    alive->Cancel();
    EXPECT_FALSE(at_leaf->IsCancelledWithin(absl::Milliseconds(20)));
    at_leaf->Answer(grpc::Status::OK);
    EXPECT_TRUE(call->Wait().ok()) << name;
  }
  EXPECT_EQ(Found(&Correlator::Stats::none), number);
  EXPECT_EQ(Found(&Correlator::Stats::by_id), 0);
}

// ---- Headers ----

// The app gets what its caller sends, apart from tether's own, and the id.
TEST_F(EndedRequestTest, TheAppGetsTheIdFirstAndNothingOfTethers) {
  Start(Mode::kFull);
  const auto call = Call("1", kGiveUp,
                         {{"baggage", "a=b,c=d"},
                          {"traceparent", kTraceParent},
                          {"tracestate", "rojo=00f067aa0ba902b7"},
                          {"tether-timeout", "10000000"},
                          {"tether-reserve", "1000"},
                          {"x-own", "kept"}});
  const auto at_front = FrontRequest("1");
  EXPECT_THAT(at_front->header("baggage"),
              MatchesRegex(absl::StrCat(kId, ",a=b,c=d")));
  EXPECT_THAT(at_front->header("tracestate"),
              MatchesRegex(absl::StrCat(kId, ",rojo=00f067aa0ba902b7")));
  EXPECT_EQ(at_front->header("traceparent"), kTraceParent);
  EXPECT_EQ(at_front->header("x-own"), "kept");
  EXPECT_EQ(at_front->headers().count("tether-timeout"), 0u);
  EXPECT_EQ(at_front->headers().count("tether-reserve"), 0u);
  EXPECT_EQ(at_front->headers().count("tether"), 0u);
  // gRPC rounds timeouts up by at most 1 %.
  EXPECT_LE(at_front->timeout(), absl::Milliseconds(10200));
  EXPECT_GT(at_front->timeout(), absl::Seconds(8));
  call->Cancel();
}

// Samplers follow a traceparent's flag, so none is invented.
TEST_F(EndedRequestTest, WithoutTraceParentThereIsNoTraceState) {
  Start(Mode::kFull);
  const auto call = Call("1");
  const auto at_front = FrontRequest("1");
  EXPECT_THAT(at_front->header("baggage"), MatchesRegex(kId));
  EXPECT_EQ(at_front->headers().count("traceparent"), 0u);
  EXPECT_EQ(at_front->headers().count("tracestate"), 0u);
  call->Cancel();
}

// A caller can't name another request.
TEST_F(EndedRequestTest, AnIdThatTheCallerSendsIsDropped) {
  Start(Mode::kFull);
  const auto victim = Call("1", kGiveUp, {{"traceparent", kTraceParent}});
  const std::string stolen = FrontRequest("1")->header("baggage");
  const auto thief =
      Call("2", kGiveUp,
           {{"baggage", absl::StrCat("x=y, ", stolen, " ,", stolen, ";p=q")},
            {"baggage", stolen},
            {"traceparent", kTraceParent},
            {"tracestate", absl::StrCat("k=v,", stolen)}});
  const auto at_front = FrontRequest("2");
  EXPECT_FALSE(absl::StrContains(at_front->header("baggage"), stolen));
  EXPECT_FALSE(absl::StrContains(at_front->header("tracestate"), stolen));
  EXPECT_THAT(at_front->header("baggage"), HasSubstr("x=y"));
  const auto call = CallLeaf(at_front);
  const auto at_leaf = LeafRequest("2");
  victim->Cancel();
  EXPECT_FALSE(at_leaf->IsCancelledWithin(kNever));
  thief->Cancel();
  EXPECT_TRUE(at_leaf->IsCancelledWithin(kPrompt));
}

TEST_F(EndedRequestTest, HugeBaggageIsKeptAndItsIdIsFound) {
  Start(Mode::kFull);
  std::string baggage;
  for (int i = 0; i < 2000; ++i) absl::StrAppend(&baggage, "key", i, "=value,");
  baggage.pop_back();
  const auto call = Call("1", kGiveUp, {{"baggage", baggage}});
  const auto at_front = FrontRequest("1");
  EXPECT_EQ(at_front->header("baggage").substr(44), baggage);
  CallLeaf(at_front);
  const auto at_leaf = LeafRequest("1");
  EXPECT_EQ(at_leaf->header("baggage").substr(44), baggage);
  call->Cancel();
  EXPECT_TRUE(at_leaf->IsCancelledWithin(kPrompt));
  EXPECT_EQ(Found(&Correlator::Stats::by_id), 1);
}

TEST_F(EndedRequestTest, MalformedBaggageIsKept) {
  Start(Mode::kFull);
  int number = 0;
  for (const std::string baggage :
       {",,,", "=", "a", ";;=,", "a=b,,c=d", "\"q\"=\\", "tether-hopx=1",
        " , a = b ; c , "}) {
    const std::string message = absl::StrCat(++number);
    const auto call = Call(message, kGiveUp, {{"baggage", baggage}});
    EXPECT_THAT(FrontRequest(message)->header("baggage"),
                MatchesRegex(absl::StrCat(kId, "(,.*)?")));
    FrontRequest(message)->Answer(grpc::Status::OK);
    EXPECT_TRUE(call->Wait().ok()) << baggage;
  }
}

// The leaf's sidecar reports to the front's, not to the app.
TEST_F(EndedRequestTest, NoReportReachesTheApp) {
  leaf_options_.ingress.server.report.when = ReportOptions::When::kAlways;
  front_options_.ingress.server.report.when = ReportOptions::When::kAlways;
  Start(Mode::kFull);
  const auto call = Call("1");
  const auto at_front = FrontRequest("1");
  const auto to_leaf = CallLeaf(at_front);
  LeafRequest("1")->Answer(grpc::Status::OK);
  EXPECT_TRUE(to_leaf->Wait().ok());
  EXPECT_EQ(to_leaf->received().count("tether-report-bin"), 0u);
  at_front->Answer(grpc::Status::OK);
  EXPECT_TRUE(call->Wait().ok());
  // Its caller may be one of tether's.
  EXPECT_EQ(call->received().count("tether-report-bin"), 1u);
}

}  // namespace
}  // namespace tether::sidecar
