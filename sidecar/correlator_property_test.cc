// SPDX-License-Identifier: Apache-2.0
//
// Compares the Correlator with a slow, obvious model, over random programs of
// requests and calls. To repeat a run, pass the --gtest_random_seed that it
// prints.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "sidecar/correlator.h"
#include "sidecar/hop_id.h"
#include "sidecar/request.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether::sidecar {
namespace {

using Kind = Correlator::Match::Kind;
using By = Correlator::By;

constexpr absl::Duration kLife = absl::Seconds(5);
constexpr std::string_view kTraces[] = {"", "0af7651916cd43dd8448eb211c80319c",
                                        "0af7651916cd43dd8448eb211c80319d",
                                        "00000000000000000000000000000001"};
constexpr std::string_view kRequestIds[] = {"", "a", "b"};

// Everything about a request; the model never forgets one.
struct ModelRequest {
  HopId id;
  size_t trace = 0;
  size_t request_id = 0;
  bool closed = false;  // by End
  absl::Time closed_at;
  std::optional<RequestEnd> end;
  std::optional<absl::Time> deadline;
  Cancellable scope;
  std::shared_ptr<Request> real;
};

class Model {
 public:
  explicit Model(size_t max) : max_(max) {}

  std::vector<ModelRequest>& all() { return all_; }

  size_t alive() const {
    return static_cast<size_t>(
        std::count_if(all_.begin(), all_.end(),
                      [](const ModelRequest& r) { return !r.closed; }));
  }

  void Pass(absl::Time now) {
    for (ModelRequest& r : all_) {
      if (!r.end && r.deadline && *r.deadline <= now) {
        r.end = RequestEnd::kDeadline;
      }
    }
  }

  void Close(size_t i, absl::Time now) {
    all_[i].closed = true;
    all_[i].closed_at = now;
    ends_.push_back(i);
  }

  // What Find should say of the requests that `is_named` picks among those
  // with a name of this kind.
  using Test = std::function<bool(const ModelRequest&)>;
  struct Verdict {
    Kind kind = Kind::kNone;
    bool too_many = false;
    std::set<std::string> alive;
    absl::StatusCode code = absl::StatusCode::kOk;
  };
  Verdict Find(const Test& is_indexed, const Test& is_named, absl::Time now) {
    Verdict verdict;
    bool completed = false;
    bool refused = false;
    size_t listed = 0;
    for (const size_t i : Tombstones(is_indexed)) {
      const ModelRequest& r = all_[i];
      if (!is_named(r) || r.closed_at + kLife <= now) continue;
      Note(r, completed, refused, verdict);
    }
    for (const ModelRequest& r : all_) {
      if (r.closed || !is_named(r)) continue;
      ++listed;
      if (!r.end) {
        verdict.alive.insert(r.id.ToString());
      } else {
        Note(r, completed, refused, verdict);
      }
    }
    verdict.too_many = listed > Correlator::kMaxCandidates;
    verdict.kind = verdict.too_many         ? Kind::kNone
                   : !verdict.alive.empty() ? Kind::kAlive
                   : completed              ? Kind::kLate
                   : refused                ? Kind::kRefused
                                            : Kind::kNone;
    return verdict;
  }

 private:
  static void Note(const ModelRequest& r, bool& completed, bool& refused,
                   Verdict& verdict) {
    if (r.end == RequestEnd::kCompleted) {
      completed = true;
      return;
    }
    refused = true;
    verdict.code = r.end == RequestEnd::kDeadline
                       ? absl::StatusCode::kDeadlineExceeded
                       : absl::StatusCode::kCancelled;
  }

  // The youngest of an index, the oldest first.
  std::vector<size_t> Tombstones(const Test& is_indexed) const {
    std::vector<size_t> those;
    for (const size_t i : ends_) {
      if (is_indexed(all_[i])) those.push_back(i);
    }
    if (those.size() > max_)
      those.erase(those.begin(),
                  those.end() - static_cast<std::ptrdiff_t>(max_));
    return those;
  }

  const size_t max_;
  std::vector<ModelRequest> all_;
  std::vector<size_t> ends_;  // in their order
};

// Runs random steps on a Correlator and on the model.
class Program {
 public:
  Program(uint32_t seed, tether::testing::SimulatedClock& clock)
      : random_(seed),
        clock_(clock),
        max_(std::vector<size_t>{1, 3, 10, 200}[Below(4)]),
        traces_(1 + Below(std::size(kTraces))),
        model_(max_),
        correlator_(ids_, Options()) {}

  void Run() {
    for (int i = 0; i < 300 && !::testing::Test::HasFailure(); ++i) Step();
    for (ModelRequest& r : model_.all()) correlator_.End(r.real);
    EXPECT_EQ(correlator_.stats().alive, 0);
  }

 private:
  Correlator::Options Options() const {
    Correlator::Options options;
    options.max_entries = max_;
    options.tombstone_life = kLife;
    options.clock = &clock_;
    return options;
  }

  void Step() {
    switch (Below(8)) {
      case 0:
      case 1:
      case 2:
        return Begin();
      case 3:
        return EndContext();
      case 4:
      case 5:
        return End();
      case 6:
        clock_.Advance(absl::Milliseconds(Below(1500)));
        return model_.Pass(clock_.Now());
      default:
        return Find();
    }
  }

  void Begin() {
    const bool fits = model_.alive() < max_;
    ModelRequest r;
    r.id = ids_.Next();
    r.trace = Below(traces_);
    r.request_id = Below(std::size(kRequestIds));
    r.scope = WithCancel(Background(clock_));
    if (Below(3) == 0) {
      const absl::Duration timeout = absl::Milliseconds(Below(4000));
      r.deadline = clock_.Now() + timeout;
      r.scope = WithTimeout(Background(clock_), timeout);
    }
    r.real = correlator_.Begin(r.id, kTraces[r.trace],
                               kRequestIds[r.request_id], r.scope.ctx);
    EXPECT_EQ(r.real != nullptr, fits);
    if (!fits) return;
    model_.all().push_back(std::move(r));
    model_.Pass(clock_.Now());
  }

  ModelRequest* Any() {
    if (model_.all().empty()) return nullptr;
    // Mostly one of the last.
    const size_t size = model_.all().size();
    return &model_.all()[size - 1 -
                         Below(Below(4) == 0 ? size
                                             : std::min<size_t>(size, 12))];
  }

  void EndContext() {
    ModelRequest* r = Any();
    if (r == nullptr) return;
    const bool completes = Below(2) == 0;
    r->scope.cancel(WithEndReason(
        absl::CancelledError("x"),
        completes ? EndReason::kCompleted : EndReason::kConnectionLost));
    if (r->end) return;
    r->end = completes ? RequestEnd::kCompleted : RequestEnd::kCancelled;
  }

  void End() {
    ModelRequest* r = Any();
    if (r == nullptr) return;
    const auto otherwise = static_cast<RequestEnd>(1 + Below(3));
    correlator_.End(r->real, otherwise);
    if (r->closed) return;
    if (!r->end) r->end = otherwise;
    r->deadline.reset();
    model_.Close(static_cast<size_t>(r - model_.all().data()), clock_.Now());
  }

  void Find() {
    const ModelRequest* r = Any();
    RequestNames names;
    if (r != nullptr && Below(2) == 0) {
      names.ids = absl::MakeConstSpan(&r->id, 1);
      const HopId id = r->id;
      return Check(
          names, By::kId, [](const ModelRequest&) { return true; },
          [id](const ModelRequest& other) { return other.id == id; });
    }
    const size_t trace = Below(traces_);
    const size_t request_id = Below(std::size(kRequestIds));
    names.trace_id = kTraces[trace];
    const auto is_traced = [](const ModelRequest& o) { return o.trace != 0; };
    const auto has_trace = [trace](const ModelRequest& o) {
      return trace != 0 && o.trace == trace;
    };
    const Model::Verdict by_trace =
        model_.Find(is_traced, has_trace, clock_.Now());
    if (by_trace.kind != Kind::kNone || by_trace.too_many) {
      names.request_id = kRequestIds[request_id];
      return Check(names, By::kTrace, is_traced, has_trace);
    }
    names.request_id = kRequestIds[request_id];
    Check(
        names, By::kRequestId,
        [](const ModelRequest& o) { return o.request_id != 0; },
        [request_id](const ModelRequest& o) {
          return request_id != 0 && o.request_id == request_id;
        });
  }

  void Check(const RequestNames& names, By by, const Model::Test& is_indexed,
             const Model::Test& is_named) {
    const Model::Verdict expected =
        model_.Find(is_indexed, is_named, clock_.Now());
    const Correlator::Match match = correlator_.Find(names);
    EXPECT_EQ(match.kind, expected.kind);
    EXPECT_EQ(match.too_many, expected.too_many);
    if (match.kind != Kind::kNone) {
      EXPECT_EQ(match.by, by);
    }
    if (match.kind == Kind::kAlive) {
      std::set<std::string> alive;
      for (const auto& request : match.requests) {
        EXPECT_TRUE(alive.insert(request->id().ToString()).second);
      }
      EXPECT_EQ(alive, expected.alive);
    } else {
      EXPECT_TRUE(match.requests.empty());
    }
    if (match.kind == Kind::kRefused && by == By::kId) {
      EXPECT_EQ(match.status.code(), expected.code);
    }
    EXPECT_EQ(match.status.ok(), match.kind != Kind::kRefused);
  }

  size_t Below(size_t n) { return random_() % n; }

  std::mt19937 random_;
  tether::testing::SimulatedClock& clock_;
  const size_t max_;
  const size_t traces_;  // the first of kTraces
  const HopIds ids_;
  Model model_;
  Correlator correlator_;
};

class CorrelatorPropertyTest : public tether::testing::LeakCheckedTest {};

TEST_F(CorrelatorPropertyTest, DoesWhatTheModelDoes) {
  const auto seed =
      static_cast<uint32_t>(::testing::UnitTest::GetInstance()->random_seed());
  std::cout << "--gtest_random_seed=" << seed << std::endl;
  constexpr uint32_t kPrograms = 300;
  for (uint32_t i = 0; i < kPrograms && !HasFailure(); ++i) {
    SCOPED_TRACE(absl::StrCat("program ", i, " of seed ", seed));
    tether::testing::SimulatedClock clock;
    Program(seed * kPrograms + i, clock).Run();
  }
}

}  // namespace
}  // namespace tether::sidecar
