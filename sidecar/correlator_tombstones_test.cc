// SPDX-License-Identifier: Apache-2.0
//
// Tombstones: how long the Correlator knows a request that has ended, and how
// many of them.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "sidecar/correlator.h"
#include "sidecar/hop_id.h"
#include "sidecar/name_index.h"
#include "sidecar/request.h"
#include "sidecar/testing/served_request.h"
#include "tether/context.h"
#include "tether/internal/nanos.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether::sidecar {
namespace {

using Kind = Correlator::Match::Kind;
using testing::ServedRequest;

constexpr std::string_view kTrace = "0af7651916cd43dd8448eb211c80319c";
constexpr absl::Duration kLife = absl::Seconds(60);
constexpr absl::Duration kInstant = absl::Nanoseconds(1);

class CorrelatorTombstonesTest : public tether::testing::LeakCheckedTest {
 protected:
  Correlator::Options Options(size_t max_entries = 65536,
                              absl::Duration life = kLife) {
    Correlator::Options options;
    options.max_entries = max_entries;
    options.tombstone_life = life;
    options.clock = &clock_;
    return options;
  }

  Context Root() { return Background(clock_); }

  static Correlator::Match FindTrace(Correlator& correlator) {
    RequestNames names;
    names.trace_id = kTrace;
    return correlator.Find(names);
  }
  static Correlator::Match FindRequestId(Correlator& correlator) {
    RequestNames names;
    names.request_id = "r";
    return correlator.Find(names);
  }

  tether::testing::SimulatedClock clock_;
  const HopIds ids_;
};

// ---- Age --------------------------------------------------------------------

TEST_F(CorrelatorTombstonesTest, ATombstoneLivesAsLongAsItsOptionSays) {
  Correlator correlator(ids_, Options());
  ServedRequest done(correlator, ids_, Root(), {kTrace, "r"});
  clock_.Advance(kLife);  // the time before its end doesn't count
  done.Answer();
  clock_.Advance(kLife - kInstant);
  EXPECT_EQ(done.FindById().kind, Kind::kLate);
  EXPECT_EQ(FindTrace(correlator).kind, Kind::kLate);
  EXPECT_EQ(FindRequestId(correlator).kind, Kind::kLate);
  EXPECT_EQ(correlator.stats().tombstones, 1);
  clock_.Advance(kInstant);
  EXPECT_EQ(done.FindById().kind, Kind::kNone);
  EXPECT_TRUE(done.FindById().expired);
  EXPECT_EQ(FindTrace(correlator).kind, Kind::kNone);
  EXPECT_EQ(FindRequestId(correlator).kind, Kind::kNone);
  EXPECT_EQ(correlator.stats().tombstones, 0);
  EXPECT_EQ(FindTrace(correlator).kind, Kind::kNone) << "they are removed";
}

TEST_F(CorrelatorTombstonesTest, ARefusalExpiresToo) {
  Correlator correlator(ids_, Options());
  ServedRequest left(correlator, ids_, Root(), {kTrace, "r"});
  left.Leave();
  clock_.Advance(kLife - kInstant);
  EXPECT_EQ(left.FindById().kind, Kind::kRefused);
  clock_.Advance(kInstant);
  EXPECT_EQ(left.FindById().kind, Kind::kNone);
  EXPECT_EQ(FindTrace(correlator).kind, Kind::kNone);
}

TEST_F(CorrelatorTombstonesTest, ExpiredCompletionsDontMakeACallLate) {
  Correlator correlator(ids_, Options());
  ServedRequest done(correlator, ids_, Root(), {kTrace, ""});
  ServedRequest left(correlator, ids_, Root(), {kTrace, ""});
  done.Answer();
  clock_.Advance(absl::Seconds(1));
  left.Leave();
  EXPECT_EQ(FindTrace(correlator).kind, Kind::kLate);
  clock_.Advance(kLife - absl::Seconds(1));
  EXPECT_EQ(FindTrace(correlator).kind, Kind::kRefused);
}

TEST_F(CorrelatorTombstonesTest, AnAliveRequestNeverExpires) {
  Correlator correlator(ids_, Options());
  ServedRequest alive(correlator, ids_, Root(), {kTrace, "r"});
  ServedRequest done(correlator, ids_, Root(), {kTrace, "r"});
  done.Answer();
  clock_.Advance(absl::Hours(1000));
  EXPECT_EQ(correlator.stats().tombstones, 0);
  EXPECT_EQ(alive.FindById().kind, Kind::kAlive);
  EXPECT_EQ(FindTrace(correlator).requests.size(), 1u);
  EXPECT_EQ(FindRequestId(correlator).requests.size(), 1u);
}

TEST_F(CorrelatorTombstonesTest, ALifeOfZeroIsNone) {
  Correlator correlator(ids_, Options(65536, absl::ZeroDuration()));
  ServedRequest done(correlator, ids_, Root(), {kTrace, ""});
  done.Complete();
  EXPECT_EQ(done.FindById().kind, Kind::kLate) << "End was not called";
  done.End();
  EXPECT_EQ(done.FindById().kind, Kind::kNone);
  EXPECT_EQ(FindTrace(correlator).kind, Kind::kNone);
}

TEST_F(CorrelatorTombstonesTest, AnInfiniteLifeNeverEnds) {
  Correlator correlator(ids_, Options(65536, absl::InfiniteDuration()));
  ServedRequest done(correlator, ids_, Root());
  done.Answer();
  clock_.Advance(absl::Hours(24 * 365 * 100));
  EXPECT_EQ(done.FindById().kind, Kind::kLate);
}

TEST_F(CorrelatorTombstonesTest, LaterRequestsRemoveExpiredOnes) {
  NameIndex<std::string> index(2, /*shards=*/1, /*max_tombstones=*/1000,
                               internal::kSecond);
  const auto add_and_end = [&](const std::string& name, internal::Nanos now) {
    const auto request = std::make_shared<Request>(ids_.Next(), Root());
    index.Add(name, request, now);
    index.End(*request, absl::OkStatus(), now);
  };
  for (int i = 0; i < 100; ++i) add_and_end(absl::StrCat("n", i), 0);
  EXPECT_EQ(index.Held(), 100u);
  // Two for Add and two for End, of which one is made up for by the new one.
  add_and_end("x", internal::kSecond);
  EXPECT_EQ(index.Held(), 97u);
  for (int i = 0; i < 50; ++i) add_and_end("x", internal::kSecond);
  EXPECT_EQ(index.Held(), 51u) << "only those of x";
}

// ---- Number -----------------------------------------------------------------

TEST_F(CorrelatorTombstonesTest, OverTheBoundTheOldestGoFirst) {
  Correlator correlator(ids_, Options(3));
  std::deque<ServedRequest> ended;
  for (int i = 0; i < 5; ++i) {
    ended.emplace_back(correlator, ids_, Root()).Answer();
    clock_.Advance(kInstant);
  }
  EXPECT_EQ(correlator.stats().tombstones, 3);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(ended[i].FindById().kind, i < 2 ? Kind::kNone : Kind::kLate) << i;
  }
}

TEST_F(CorrelatorTombstonesTest, TheOrderIsThatOfTheEnds) {
  Correlator correlator(ids_, Options(2));
  ServedRequest first(correlator, ids_, Root());
  ServedRequest second(correlator, ids_, Root());
  second.Answer();
  first.Answer();
  ServedRequest third(correlator, ids_, Root());
  third.Answer();
  EXPECT_EQ(second.FindById().kind, Kind::kNone);
  EXPECT_EQ(first.FindById().kind, Kind::kLate);
  EXPECT_EQ(third.FindById().kind, Kind::kLate);
}

TEST_F(CorrelatorTombstonesTest, ATraceForgetsItsOldestEndsFirst) {
  Correlator correlator(ids_, Options(2));
  for (int i = 0; i < 2; ++i) {
    ServedRequest served(correlator, ids_, Root(), {kTrace, "r"});
  }
  EXPECT_EQ(FindTrace(correlator).kind, Kind::kLate);
  ServedRequest(correlator, ids_, Root(), {kTrace, "r"}).Leave();
  EXPECT_EQ(FindTrace(correlator).kind, Kind::kLate) << "one is left";
  ServedRequest(correlator, ids_, Root(), {kTrace, "r"}).Leave();
  EXPECT_EQ(FindTrace(correlator).kind, Kind::kRefused);
  EXPECT_EQ(FindRequestId(correlator).kind, Kind::kRefused);
  for (int i = 0; i < 2; ++i) {
    ServedRequest served(correlator, ids_, Root(), {kTrace, "r"});
  }
  EXPECT_EQ(FindTrace(correlator).kind, Kind::kLate);
}

TEST_F(CorrelatorTombstonesTest, ABigTableKeepsToTheBoundToo) {
  constexpr size_t kMax = 2048;  // in 16 shards
  Correlator correlator(ids_, Options(kMax));
  ServedRequest alive(correlator, ids_, Root(), {kTrace, ""});
  for (size_t i = 0; i < 4 * kMax; ++i) {
    ServedRequest served(correlator, ids_, Root(), {kTrace, "r"});
  }
  EXPECT_EQ(correlator.stats().tombstones, static_cast<int64_t>(kMax));
  EXPECT_EQ(alive.FindById().kind, Kind::kAlive);
  EXPECT_EQ(FindTrace(correlator).requests.size(), 1u);
  EXPECT_EQ(FindRequestId(correlator).kind, Kind::kLate);
  // The newest are there.
  for (size_t i = 0; i < 100; ++i) {
    ServedRequest served(correlator, ids_, Root());
    served.Leave();
    EXPECT_EQ(served.FindById().kind, Kind::kRefused);
  }
}

TEST_F(CorrelatorTombstonesTest, AHugeTraceCostsEachRequestTheSame) {
  constexpr size_t kRequests = 10'000;
  Correlator correlator(ids_, Options());
  auto [ctx, cancel] = WithCancel(Root());
  std::deque<std::shared_ptr<Request>> requests;
  for (size_t i = 0; i < kRequests; ++i) {
    requests.push_back(correlator.Begin(ids_.Next(), kTrace, "r", ctx));
    EXPECT_EQ(FindTrace(correlator).too_many, i >= Correlator::kMaxCandidates);
  }
  // From both ends and the middle: each takes its own place out of the list.
  for (size_t i = 0; !requests.empty(); ++i) {
    const auto which =
        requests.begin() +
        static_cast<std::ptrdiff_t>(i % 3 == 0   ? 0
                                    : i % 3 == 1 ? requests.size() - 1
                                                 : requests.size() / 2);
    correlator.End(*which);
    const HopId id = (*which)->id();
    requests.erase(which);
    const Correlator::Match match = FindTrace(correlator);
    ASSERT_EQ(match.too_many, requests.size() > Correlator::kMaxCandidates);
    if (match.too_many) continue;
    ASSERT_EQ(match.requests.size(), requests.size());
    for (const std::shared_ptr<Request>& found : match.requests) {
      EXPECT_NE(found->id(), id);
    }
  }
  EXPECT_EQ(correlator.stats().alive, 0);
  EXPECT_EQ(FindTrace(correlator).kind, Kind::kLate);
}

}  // namespace
}  // namespace tether::sidecar
