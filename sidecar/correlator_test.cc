// SPDX-License-Identifier: Apache-2.0
//
// The rules by which the Correlator finds the request of a call: by id, by
// trace, by request id; alive, late, refused.

#include "sidecar/correlator.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "sidecar/hop_id.h"
#include "sidecar/request.h"
#include "sidecar/testing/served_request.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether::sidecar {
namespace {

using Kind = Correlator::Match::Kind;
using By = Correlator::By;
using testing::ServedRequest;

constexpr std::string_view kTrace = "0af7651916cd43dd8448eb211c80319c";
constexpr std::string_view kOtherTrace = "0af7651916cd43dd8448eb211c80319d";

class CorrelatorTest : public tether::testing::LeakCheckedTest {
 protected:
  Correlator::Options Options(size_t max_entries = 65536) {
    Correlator::Options options;
    options.max_entries = max_entries;
    options.clock = &clock_;
    return options;
  }

  Context Root() { return Background(clock_); }

  static Correlator::Match Find(Correlator& correlator, std::vector<HopId> ids,
                                std::string_view trace_id = "",
                                std::string_view request_id = "") {
    RequestNames names;
    names.ids = ids;
    names.trace_id = trace_id;
    names.request_id = request_id;
    return correlator.Find(names);
  }

  tether::testing::SimulatedClock clock_;
  const HopIds ids_;
};

// ---- (a) and (b): by id -----------------------------------------------------

TEST_F(CorrelatorTest, AnIdFindsItsRequestWhileThatIsAlive) {
  Correlator correlator(ids_, Options());
  ServedRequest one(correlator, ids_, Root());
  ServedRequest other(correlator, ids_, Root());
  for (const ServedRequest* served : {&one, &other}) {
    const Correlator::Match match = served->FindById();
    EXPECT_EQ(match.kind, Kind::kAlive);
    EXPECT_EQ(match.by, By::kId);
    ASSERT_EQ(match.requests.size(), 1u);
    EXPECT_EQ(match.requests[0], served->request());
    EXPECT_EQ(match.requests[0]->id(), served->id());
    EXPECT_EQ(match.requests[0]->context(), served->context());
    EXPECT_EQ(match.requests[0]->ended(), std::nullopt);
    EXPECT_TRUE(match.requests[0]->status().ok());
  }
}

TEST_F(CorrelatorTest, AnIdGoesBeforeTheOtherNames) {
  Correlator correlator(ids_, Options());
  ServedRequest one(correlator, ids_, Root());
  ServedRequest traced(correlator, ids_, Root(), {kTrace, "r"});
  const Correlator::Match match = Find(correlator, {one.id()}, kTrace, "r");
  ASSERT_EQ(match.requests.size(), 1u);
  EXPECT_EQ(match.requests[0], one.request());
}

TEST_F(CorrelatorTest, ACallForACompletedRequestIsLate) {
  Correlator correlator(ids_, Options());
  ServedRequest one(correlator, ids_, Root());
  one.Complete();
  EXPECT_EQ(one.FindById().kind, Kind::kLate) << "before End";
  one.End();
  const Correlator::Match match = one.FindById();
  EXPECT_EQ(match.kind, Kind::kLate);
  EXPECT_EQ(match.by, By::kId);
  EXPECT_TRUE(match.requests.empty());
  EXPECT_TRUE(match.status.ok());
}

TEST_F(CorrelatorTest, ACallForACancelledRequestIsRefused) {
  Correlator correlator(ids_, Options());
  ServedRequest one(correlator, ids_, Root());
  const absl::Status expected =
      absl::CancelledError("context canceled: the caller left");
  one.Cancel();
  EXPECT_EQ(one.FindById().kind, Kind::kRefused) << "before End";
  EXPECT_EQ(one.FindById().status, expected);
  one.End();
  EXPECT_EQ(one.FindById().kind, Kind::kRefused);
  EXPECT_EQ(one.FindById().status, expected);
  EXPECT_TRUE(one.FindById().requests.empty());
}

TEST_F(CorrelatorTest, ACallForARequestWhoseDeadlineHasPassedIsRefused) {
  Correlator correlator(ids_, Options());
  ServedRequest one(correlator, ids_, Root(), {}, absl::Seconds(1));
  clock_.Advance(absl::Seconds(1) - absl::Nanoseconds(1));
  EXPECT_EQ(one.FindById().kind, Kind::kAlive);
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(one.FindById().kind, Kind::kRefused) << "before End";
  one.Answer();  // too late to complete it
  EXPECT_EQ(one.FindById().kind, Kind::kRefused);
  EXPECT_EQ(one.FindById().status,
            absl::DeadlineExceededError("context deadline exceeded"));
}

TEST_F(CorrelatorTest, RefusedCallsGetTheStatusOfEnd) {
  Correlator correlator(ids_, Options());
  const absl::Status status = absl::DeadlineExceededError("leaf took 2 s");
  ServedRequest one(correlator, ids_, Root());
  one.Cancel();
  one.End(RequestEnd::kCompleted, status);
  EXPECT_EQ(one.FindById().kind, Kind::kRefused);
  EXPECT_EQ(one.FindById().status, status);
  // A control: a completed request has none.
  ServedRequest other(correlator, ids_, Root());
  other.Complete();
  other.End(RequestEnd::kCancelled, status);
  EXPECT_EQ(other.FindById().kind, Kind::kLate);
}

TEST_F(CorrelatorTest, EndSaysHowIfTheContextHasNotEnded) {
  Correlator correlator(ids_, Options());
  ServedRequest one(correlator, ids_, Root());
  ServedRequest other(correlator, ids_, Root());
  ServedRequest third(correlator, ids_, Root());
  const std::shared_ptr<Request> request = other.request();
  one.End(RequestEnd::kCompleted);
  other.End(RequestEnd::kCancelled);
  third.End(RequestEnd::kDeadline);
  EXPECT_EQ(one.FindById().kind, Kind::kLate);
  EXPECT_EQ(other.FindById().kind, Kind::kRefused);
  EXPECT_TRUE(absl::IsCancelled(other.FindById().status));
  EXPECT_TRUE(absl::IsDeadlineExceeded(third.FindById().status));
  // The first end counts, also for who holds the request.
  EXPECT_EQ(request->ended(), RequestEnd::kCancelled);
  other.Complete();
  EXPECT_EQ(request->ended(), RequestEnd::kCancelled);
  EXPECT_TRUE(absl::IsCancelled(request->status()));
}

TEST_F(CorrelatorTest, ASecondEndHasNoEffect) {
  Correlator correlator(ids_, Options());
  ServedRequest one(correlator, ids_, Root());
  ServedRequest other(correlator, ids_, Root());
  const std::shared_ptr<Request> request = one.request();
  one.Leave();
  correlator.End(request, RequestEnd::kCompleted);
  EXPECT_EQ(one.FindById().kind, Kind::kRefused);
  EXPECT_EQ(correlator.stats().alive, 1);
  EXPECT_EQ(correlator.stats().tombstones, 1);
  correlator.End(nullptr);
  EXPECT_EQ(correlator.stats().alive, 1);
}

TEST_F(CorrelatorTest, AnUnknownIdFindsNothingWhateverElseTheCallCarries) {
  Correlator correlator(ids_, Options());
  ServedRequest traced(correlator, ids_, Root(), {kTrace, "r"});
  Correlator::Match match = Find(correlator, {ids_.Next()}, kTrace, "r");
  EXPECT_EQ(match.kind, Kind::kNone);
  EXPECT_TRUE(match.expired);
  EXPECT_FALSE(match.foreign);

  const HopIds other_process;
  match = Find(correlator, {other_process.Next()}, kTrace, "r");
  EXPECT_EQ(match.kind, Kind::kNone);
  EXPECT_TRUE(match.foreign);
  EXPECT_FALSE(match.expired);
  // The control: without an id, these names find it.
  EXPECT_EQ(Find(correlator, {}, kTrace).kind, Kind::kAlive);
}

TEST_F(CorrelatorTest, SeveralIdsAreCandidates) {
  Correlator correlator(ids_, Options());
  ServedRequest one(correlator, ids_, Root());
  ServedRequest other(correlator, ids_, Root());
  const HopId foreign = HopIds().Next();
  const std::vector<HopId> all = {foreign,     one.id(), other.id(),
                                  ids_.Next(), one.id(), other.id()};
  Correlator::Match match = Find(correlator, all);
  EXPECT_EQ(match.kind, Kind::kAlive);
  ASSERT_EQ(match.requests.size(), 2u) << "each once";
  EXPECT_EQ(match.requests[0], one.request());
  EXPECT_EQ(match.requests[1], other.request());
  EXPECT_FALSE(match.foreign || match.expired);
  match = {};

  one.Leave();
  match = Find(correlator, all);
  ASSERT_EQ(match.requests.size(), 1u);
  EXPECT_EQ(match.requests[0], other.request());
  match = {};
  other.Answer();
  EXPECT_EQ(Find(correlator, all).kind, Kind::kLate) << "one was completed";
  EXPECT_EQ(Find(correlator, {foreign, one.id()}).kind, Kind::kRefused);
}

TEST_F(CorrelatorTest, TooManyIdsAreNotCorrelated) {
  Correlator correlator(ids_, Options());
  ServedRequest one(correlator, ids_, Root());
  std::vector<HopId> ids(1000, one.id());
  EXPECT_EQ(Find(correlator, ids).kind, Kind::kAlive) << "they are one";
  for (size_t i = 1; i < Correlator::kMaxCandidates; ++i) {
    ids.push_back(ids_.Next());
  }
  EXPECT_EQ(Find(correlator, ids).kind, Kind::kAlive);
  ids.push_back(ids_.Next());
  const Correlator::Match match = Find(correlator, ids);
  EXPECT_EQ(match.kind, Kind::kNone);
  EXPECT_TRUE(match.too_many);
  EXPECT_FALSE(match.expired || match.foreign);
}

// ---- (c) and (d): by trace, by request id -----------------------------------

struct OtherName {
  const char* name;
  By by;
  testing::Names names;
  std::string_view trace_id;
  std::string_view request_id;
};

class CorrelatorNameTest : public CorrelatorTest,
                           public ::testing::WithParamInterface<OtherName> {
 protected:
  Correlator::Match FindByName() {
    return Find(correlator_, {}, GetParam().trace_id, GetParam().request_id);
  }

  Correlator correlator_{ids_, Options()};
};

TEST_P(CorrelatorNameTest, FindsAllThatAreAlive) {
  ServedRequest unnamed(correlator_, ids_, Root());
  EXPECT_EQ(FindByName().kind, Kind::kNone);
  ServedRequest one(correlator_, ids_, Root(), GetParam().names);
  ServedRequest ended(correlator_, ids_, Root(), GetParam().names);
  ServedRequest cancelled(correlator_, ids_, Root(), GetParam().names);
  ServedRequest other(correlator_, ids_, Root(), GetParam().names);
  EXPECT_EQ(FindByName().requests.size(), 4u);
  ended.Answer();
  cancelled.Cancel();  // not ended by End
  const Correlator::Match match = FindByName();
  EXPECT_EQ(match.kind, Kind::kAlive);
  EXPECT_EQ(match.by, GetParam().by);
  ASSERT_EQ(match.requests.size(), 2u);
  for (const ServedRequest* served : {&one, &other}) {
    EXPECT_TRUE(match.requests[0] == served->request() ||
                match.requests[1] == served->request());
  }
}

TEST_P(CorrelatorNameTest, IfNoneIsAliveAndOneWasCompletedTheCallIsLate) {
  ServedRequest one(correlator_, ids_, Root(), GetParam().names);
  ServedRequest other(correlator_, ids_, Root(), GetParam().names);
  ServedRequest third(correlator_, ids_, Root(), GetParam().names);
  one.Leave();
  other.Answer();
  third.Leave();
  EXPECT_EQ(FindByName().kind, Kind::kLate);
  EXPECT_EQ(FindByName().by, GetParam().by);
}

TEST_P(CorrelatorNameTest, ACompletionCountsBeforeEndToo) {
  ServedRequest one(correlator_, ids_, Root(), GetParam().names);
  ServedRequest other(correlator_, ids_, Root(), GetParam().names);
  one.Leave();
  other.Complete();
  EXPECT_EQ(FindByName().kind, Kind::kLate);
}

TEST_P(CorrelatorNameTest, IfNoneIsAliveAndNoneWasCompletedItIsRefused) {
  ServedRequest one(correlator_, ids_, Root(), GetParam().names);
  ServedRequest other(correlator_, ids_, Root(), GetParam().names,
                      absl::Seconds(1));
  one.Leave();
  clock_.Advance(absl::Seconds(2));
  EXPECT_TRUE(absl::IsDeadlineExceeded(FindByName().status)) << "before End";
  other.End();
  EXPECT_EQ(FindByName().kind, Kind::kRefused);
  EXPECT_TRUE(absl::IsDeadlineExceeded(FindByName().status)) << "the last";
}

TEST_P(CorrelatorNameTest, TooManyAreNotCorrelated) {
  std::vector<std::unique_ptr<ServedRequest>> served;
  for (size_t i = 0; i < Correlator::kMaxCandidates; ++i) {
    served.push_back(std::make_unique<ServedRequest>(correlator_, ids_, Root(),
                                                     GetParam().names));
  }
  EXPECT_EQ(FindByName().kind, Kind::kAlive);
  EXPECT_EQ(FindByName().requests.size(), Correlator::kMaxCandidates);
  served.push_back(std::make_unique<ServedRequest>(correlator_, ids_, Root(),
                                                   GetParam().names));
  EXPECT_EQ(FindByName().kind, Kind::kNone);
  EXPECT_TRUE(FindByName().too_many);
  EXPECT_EQ(served.back()->FindById().kind, Kind::kAlive) << "ids still work";
  served[7]->Leave();
  EXPECT_EQ(FindByName().kind, Kind::kAlive);
  EXPECT_EQ(correlator_.stats().too_many_candidates, 2);
}

INSTANTIATE_TEST_SUITE_P(
    , CorrelatorNameTest,
    ::testing::Values(
        OtherName{"Trace", By::kTrace, {kTrace, ""}, kTrace, ""},
        OtherName{"RequestId", By::kRequestId, {"", "r-1"}, "", "r-1"},
        OtherName{"TraceFirst", By::kTrace, {kTrace, "x"}, kTrace, "r-1"},
        OtherName{"RequestIdIfTheTraceIsUnknown",
                  By::kRequestId,
                  {kTrace, "r-1"},
                  kOtherTrace,
                  "r-1"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_F(CorrelatorTest, AnIllegalTraceIdIsNone) {
  Correlator correlator(ids_, Options());
  const std::string upper = "0AF7651916CD43DD8448EB211C80319C";
  for (const std::string& trace :
       {std::string(), std::string(32, '0'), std::string(31, 'a'),
        std::string(33, 'a'), std::string(32, 'g'), upper,
        std::string(32, '\0'), std::string(100'000, 'a')}) {
    ServedRequest served(correlator, ids_, Root(), {trace, ""});
    EXPECT_EQ(Find(correlator, {}, trace).kind, Kind::kNone) << trace;
  }
}

TEST_F(CorrelatorTest, ARequestIdIsAnyTextUpTo128Bytes) {
  Correlator correlator(ids_, Options());
  const std::string longest(Correlator::kMaxRequestIdBytes, 'x');
  const std::string binary("\0\xff,\n", 4);
  for (const std::string& text : {longest, binary}) {
    ServedRequest served(correlator, ids_, Root(), {"", text});
    EXPECT_EQ(Find(correlator, {}, "", text).kind, Kind::kAlive);
    EXPECT_EQ(Find(correlator, {}, "", text.substr(1)).kind, Kind::kNone);
  }
  for (const std::string& text : {std::string(), longest + "x"}) {
    ServedRequest served(correlator, ids_, Root(), {"", text});
    EXPECT_EQ(Find(correlator, {}, "", text).kind, Kind::kNone);
  }
}

// ---- (e), the bound, and what is kept ---------------------------------------

TEST_F(CorrelatorTest, NoNameFindsNothing) {
  Correlator correlator(ids_, Options());
  ServedRequest served(correlator, ids_, Root(), {kTrace, "r"});
  ServedRequest unnamed(correlator, ids_, Root());
  const Correlator::Match match = Find(correlator, {});
  EXPECT_EQ(match.kind, Kind::kNone);
  EXPECT_FALSE(match.foreign || match.expired || match.too_many);
}

TEST_F(CorrelatorTest, OverTheBoundBeginReturnsNull) {
  Correlator correlator(ids_, Options(2));
  ServedRequest one(correlator, ids_, Root());
  ServedRequest other(correlator, ids_, Root());
  ServedRequest over(correlator, ids_, Root(), {kTrace, "r"});
  EXPECT_NE(other.request(), nullptr);
  EXPECT_EQ(over.request(), nullptr);
  EXPECT_EQ(over.FindById().kind, Kind::kNone);
  EXPECT_EQ(Find(correlator, {}, kTrace, "r").kind, Kind::kNone);
  over.Answer();
  EXPECT_EQ(correlator.stats().overflowed, 1);
  EXPECT_EQ(correlator.stats().alive, 2);
  one.Answer();
  ServedRequest next(correlator, ids_, Root());
  EXPECT_NE(next.request(), nullptr) << "there is room again";
  EXPECT_EQ(correlator.stats().overflowed, 1);
}

TEST_F(CorrelatorTest, ATombstoneHoldsNoContext) {
  Correlator correlator(ids_, Options());
  HopId id;
  {
    ServedRequest served(correlator, ids_, Root(), {kTrace, "r"});
    id = served.id();
    EXPECT_EQ(LiveNodes(), 1);
  }
  EXPECT_EQ(LiveNodes(), 0);
  EXPECT_EQ(Find(correlator, {id}).kind, Kind::kLate);
  EXPECT_EQ(Find(correlator, {}, kTrace).kind, Kind::kLate);
  EXPECT_EQ(correlator.stats().tombstones, 1);
}

TEST_F(CorrelatorTest, ARequestMayOutliveTheCorrelator) {
  auto [ctx, cancel] = WithCancel(Root());
  std::shared_ptr<Request> request;
  {
    Correlator correlator(ids_, Options());
    request = correlator.Begin(ids_.Next(), kTrace, "r", ctx);
  }
  EXPECT_EQ(request->ended(), std::nullopt);
  cancel();
  EXPECT_EQ(request->ended(), RequestEnd::kCancelled);
}

TEST_F(CorrelatorTest, TheCountsAddUp) {
  Correlator correlator(ids_, Options());
  ServedRequest one(correlator, ids_, Root(), {kTrace, "r"});
  ServedRequest late(correlator, ids_, Root());
  ServedRequest left(correlator, ids_, Root());
  late.Answer();
  left.Leave();
  for (int i = 0; i < 2; ++i) one.FindById();
  for (int i = 0; i < 3; ++i) Find(correlator, {}, kTrace);
  for (int i = 0; i < 4; ++i) Find(correlator, {}, "", "r");
  for (int i = 0; i < 5; ++i) late.FindById();
  for (int i = 0; i < 6; ++i) left.FindById();
  for (int i = 0; i < 7; ++i) Find(correlator, {HopIds().Next()});
  for (int i = 0; i < 8; ++i) Find(correlator, {ids_.Next()});
  for (int i = 0; i < 9; ++i) Find(correlator, {});
  const Correlator::Stats stats = correlator.stats();
  EXPECT_EQ(stats.alive, 1);
  EXPECT_EQ(stats.tombstones, 2);
  EXPECT_EQ(stats.by_id, 2);
  EXPECT_EQ(stats.by_trace, 3);
  EXPECT_EQ(stats.by_request_id, 4);
  EXPECT_EQ(stats.late, 5);
  EXPECT_EQ(stats.refused, 6);
  EXPECT_EQ(stats.foreign, 7);
  EXPECT_EQ(stats.expired, 8);
  EXPECT_EQ(stats.none, 7 + 8 + 9);
  EXPECT_EQ(stats.overflowed, 0);
  EXPECT_EQ(stats.too_many_candidates, 0);
}

}  // namespace
}  // namespace tether::sidecar
