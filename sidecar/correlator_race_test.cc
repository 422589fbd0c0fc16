// SPDX-License-Identifier: Apache-2.0
//
// The Correlator with many threads: no request is mixed up with another, and
// the end of a request reaches each call that is made for it.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "sidecar/correlator.h"
#include "sidecar/hop_id.h"
#include "sidecar/request.h"
#include "sidecar/request_end.h"
#include "sidecar/testing/served_request.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/together.h"

namespace tether::sidecar {
namespace {

using Kind = Correlator::Match::Kind;
using testing::ServedRequest;

class CorrelatorRaceTest : public tether::testing::LeakCheckedTest {
 protected:
  static Correlator::Match FindTrace(Correlator& correlator,
                                     std::string_view trace_id) {
    RequestNames names;
    names.trace_id = trace_id;
    return correlator.Find(names);
  }

  const HopIds ids_;
};

// On a busy machine a round of threads takes long, so there is a limit of time.
class Limit {
 public:
  bool Passed() const { return std::chrono::steady_clock::now() > end_; }

 private:
  const std::chrono::steady_clock::time_point end_ =
      std::chrono::steady_clock::now() + std::chrono::seconds(1);
};

constexpr std::string_view kTrace = "0af7651916cd43dd8448eb211c80319c";

std::string TraceOf(size_t i) {
  return absl::StrCat(absl::Hex(i + 1, absl::kZeroPad16),
                      absl::Hex(i + 1, absl::kZeroPad16));
}

// All 1,000 are alive at the same time. Each has a call that is found by its
// id, one by its trace and one by its request id; every third request is
// cancelled, every third completed, and the others are left alone.
TEST_F(CorrelatorRaceTest, AThousandRequestsAreNotMixedUp) {
  constexpr size_t kThreads = 8;
  constexpr size_t kEach = 125;
  Correlator correlator(ids_);
  std::array<std::deque<ServedRequest>, kThreads> served;
  std::array<std::deque<std::atomic<int>>, kThreads> cuts;
  std::array<std::deque<CutWhenAllEnd>, kThreads> calls;
  tether::testing::Together(kThreads, [&](int thread) {
    const auto t = static_cast<size_t>(thread);
    for (size_t i = 0; i < kEach; ++i) {
      const std::string trace = TraceOf(t * kEach + i);
      served[t].emplace_back(correlator, ids_, Background(),
                             testing::Names{trace, absl::StrCat("r", trace)});
    }
  });
  EXPECT_EQ(correlator.stats().alive, int64_t{kThreads * kEach});
  // Another thread than the request's makes its calls.
  tether::testing::Together(kThreads, [&](int thread) {
    const auto t = static_cast<size_t>(thread);
    for (size_t i = 0; i < kEach; ++i) {
      const ServedRequest& mine = served[(t + 1) % kThreads][i];
      const std::string trace = TraceOf((t + 1) % kThreads * kEach + i);
      std::atomic<int>& cut = cuts[t].emplace_back(0);
      const std::string request_id = absl::StrCat("r", trace);
      RequestNames by_request_id;
      by_request_id.request_id = request_id;
      for (const Correlator::Match& match :
           {mine.FindById(), FindTrace(correlator, trace),
            correlator.Find(by_request_id)}) {
        ASSERT_EQ(match.requests.size(), 1u);
        ASSERT_EQ(match.requests[0], mine.request());
        calls[t].emplace_back(
            match.requests, [&cut](RequestEnd, const absl::Status&) { ++cut; });
      }
    }
  });
  tether::testing::Together(kThreads, [&](int thread) {
    const auto t = static_cast<size_t>(thread);
    for (size_t i = 0; i < kEach; ++i) {
      if (i % 3 == 0) served[t][i].Leave();
      if (i % 3 == 1) served[t][i].Answer();
    }
  });
  for (size_t t = 0; t < kThreads; ++t) {
    for (size_t i = 0; i < kEach; ++i) {
      EXPECT_EQ(cuts[t][i].load(), i % 3 == 0 ? 3 : 0);
      EXPECT_EQ(served[t][i].FindById().kind, i % 3 == 0   ? Kind::kRefused
                                              : i % 3 == 1 ? Kind::kLate
                                                           : Kind::kAlive);
    }
  }
}

// A request ends while a call is found for it: the call is refused, late or
// told of the end, and never missed.
TEST_F(CorrelatorRaceTest, AnEndIsSeenByFindOrByTheCall) {
  Correlator correlator(ids_);
  std::array<std::atomic<int>, 4> seen = {};
  const Limit limit;
  for (int round = 0; round < 1000 && !limit.Passed(); ++round) {
    const bool completes = round % 2 == 0;
    const bool by_trace = round % 4 < 2;
    ServedRequest served(correlator, ids_, Background(),
                         {TraceOf(static_cast<size_t>(round)), ""});
    std::atomic<int> cuts{0};
    std::optional<CutWhenAllEnd> call;
    Correlator::Match match;
    tether::testing::Together({
        [&] { completes ? served.Answer() : served.Leave(); },
        [&] {
          match = by_trace ? FindTrace(correlator,
                                       TraceOf(static_cast<size_t>(round)))
                           : served.FindById();
          if (match.kind != Kind::kAlive) return;
          call.emplace(match.requests,
                       [&cuts](RequestEnd end, const absl::Status& status) {
                         EXPECT_EQ(end, RequestEnd::kCancelled);
                         EXPECT_TRUE(absl::IsCancelled(status));
                         ++cuts;
                       });
        },
    });
    ++seen[static_cast<size_t>(match.kind)];
    if (match.kind == Kind::kAlive) {
      EXPECT_EQ(cuts, completes ? 0 : 1);
    } else {
      EXPECT_EQ(match.kind, completes ? Kind::kLate : Kind::kRefused);
    }
    EXPECT_EQ(served.FindById().kind, completes ? Kind::kLate : Kind::kRefused);
  }
  EXPECT_EQ(seen[static_cast<size_t>(Kind::kNone)], 0);
}

// Once the destructor has returned, the callback's captures may go.
TEST_F(CorrelatorRaceTest, ACallMayEndWhileItsRequestsEnd) {
  Correlator correlator(ids_);
  const Limit limit;
  for (int round = 0; round < 1000 && !limit.Passed(); ++round) {
    ServedRequest one(correlator, ids_, Background(), {kTrace, ""});
    ServedRequest other(correlator, ids_, Background(), {kTrace, ""});
    auto cuts = std::make_unique<int>(0);
    std::optional<CutWhenAllEnd> call;
    call.emplace(FindTrace(correlator, kTrace).requests,
                 [&cuts](RequestEnd, const absl::Status&) { ++*cuts; });
    tether::testing::Together({
        [&] { one.Leave(); },
        [&] { other.Leave(); },
        [&] {
          call.reset();
          EXPECT_LE(*cuts, 1);
          cuts = nullptr;
        },
    });
  }
}

// Exactly one cut, whichever threads end the requests; none after a completion.
TEST_F(CorrelatorRaceTest, RequestsThatEndTogetherCutOnce) {
  Correlator correlator(ids_);
  const Limit limit;
  for (int round = 0; round < 1000 && !limit.Passed(); ++round) {
    std::deque<ServedRequest> served;
    for (int i = 0; i < 4; ++i) {
      served.emplace_back(correlator, ids_, Background(),
                          testing::Names{kTrace, ""});
    }
    std::atomic<int> cuts{0};
    const CutWhenAllEnd call(
        FindTrace(correlator, kTrace).requests,
        [&cuts](RequestEnd, const absl::Status&) { ++cuts; });
    tether::testing::Together(4, [&](int i) {
      ServedRequest& mine = served[static_cast<size_t>(i)];
      round % 5 == i ? mine.Answer() : mine.Leave();
    });
    EXPECT_EQ(cuts, round % 5 == 4 ? 1 : 0);
  }
}

// Lets threads meet again and again, without sleeping: the closer together they
// leave, the more often they race.
class Meetings {
 public:
  explicit Meetings(size_t threads) : threads_(threads) {}

  // Calls round(i) on each thread that calls this, with the same i at the same
  // time: up to `most` times. Returns how often.
  template <typename Round>
  size_t Hold(size_t most, const Round& round) {
    for (size_t i = 0; i < most; ++i) {
      if (limit_.Passed()) stopped_ = true;
      if (arrived_.fetch_add(1) % threads_ == threads_ - 1) {
        last_ = stopped_.load();
        ++meetings_;
      }
      while (meetings_.load() <= i) std::this_thread::yield();
      if (last_.load()) return i;
      round(i);
    }
    return most;
  }

 private:
  const size_t threads_;
  const Limit limit_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> last_{false};
  std::atomic<size_t> arrived_{0};
  std::atomic<size_t> meetings_{0};
};

// A request is cancelled while End completes it: whoever asks is told one end.
TEST_F(CorrelatorRaceTest, ThreadsAgreeOnTheEnd) {
  constexpr size_t kMost = 5000;
  Correlator correlator(ids_);
  std::deque<ServedRequest> served;
  std::vector<std::shared_ptr<Request>> requests;
  for (size_t i = 0; i < kMost; ++i) {
    requests.push_back(
        served.emplace_back(correlator, ids_, Background()).request());
  }
  std::vector<std::optional<RequestEnd>> told(kMost);
  Meetings meetings(3);
  size_t rounds = 0;
  tether::testing::Together({
      [&] { meetings.Hold(kMost, [&](size_t i) { served[i].Cancel(); }); },
      [&] {
        rounds = meetings.Hold(kMost, [&](size_t i) {
          while (!(told[i] = requests[i]->ended())) {
          }
        });
      },
      [&] {
        meetings.Hold(kMost, [&](size_t i) {
          correlator.End(requests[i], RequestEnd::kCompleted);
        });
      },
  });
  ASSERT_GT(rounds, 0u);
  for (size_t i = 0; i < rounds; ++i) {
    const std::optional<RequestEnd> end = requests[i]->ended();
    ASSERT_EQ(told[i], end);
    ASSERT_EQ(served[i].FindById().kind,
              end == RequestEnd::kCompleted ? Kind::kLate : Kind::kRefused);
  }
}

// Few traces, few entries: all shards, bounds and lists change all the time.
TEST_F(CorrelatorRaceTest, ManyThreadsOnFewNames) {
  constexpr size_t kThreads = 6;
  constexpr size_t kMax = 1200;
  Correlator::Options options;
  options.max_entries = kMax;
  options.tombstone_life = absl::Milliseconds(1);
  Correlator correlator(ids_, options);
  std::atomic<int64_t> finds{0};
  tether::testing::Together(kThreads, [&](int thread) {
    std::mt19937 random(static_cast<uint32_t>(thread));
    std::deque<ServedRequest> alive;
    for (int i = 0; i < 2000; ++i) {
      const std::string trace = TraceOf(random() % 5);
      const std::string request_id = absl::StrCat("r", random() % 3);
      if (alive.size() < 300) {
        alive.emplace_back(correlator, ids_, Background(),
                           testing::Names{trace, request_id});
      }
      const ServedRequest& last = alive.back();
      if (last.request() != nullptr) {
        const Correlator::Match match = last.FindById();
        ++finds;
        ASSERT_EQ(match.kind, Kind::kAlive);
        ASSERT_EQ(match.requests[0], last.request());
      }
      FindTrace(correlator, trace);
      ++finds;
      if (random() % 2 == 0) {
        alive.front().Leave();
        ASSERT_NE(alive.front().FindById().kind, Kind::kAlive);
        ++finds;
        alive.pop_front();
        if (alive.empty()) continue;
      }
      if (random() % 2 == 0) alive.pop_back();
      if (random() % 100 == 0) correlator.stats();
    }
  });
  const Correlator::Stats stats = correlator.stats();
  EXPECT_EQ(stats.alive, 0);
  EXPECT_LE(stats.tombstones, int64_t{kMax});
  EXPECT_EQ(stats.by_id + stats.by_trace + stats.by_request_id + stats.late +
                stats.refused + stats.none,
            finds.load());
}

}  // namespace
}  // namespace tether::sidecar
