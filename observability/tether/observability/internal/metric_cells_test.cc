// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/internal/metric_cells.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "tether/testing/together.h"

namespace tether::internal {
namespace {

using testing::Together;

constexpr Nanos kMilli = 1'000'000;

// Neither frees what it has made: both exist once, for the whole process. So
// the tests keep theirs, too.
template <typename T>
T& Kept(size_t max_methods) {
  static auto& all = *new std::vector<std::unique_ptr<T>>;
  all.push_back(std::make_unique<T>(max_methods));
  return *all.back();
}

// The total of all cells of `name`.
uint64_t ServerTotal(MetricCells& cells, std::string_view name) {
  uint64_t total = 0;
  cells.methods().ForEach([&](const Method& method) {
    if (method.name != name) return;
    OutcomeCells::Totals totals = {};
    for (const ServerCell* cell = method.servers; cell != nullptr;
         cell = cell->next) {
      total += cell->outcomes.AddTo(totals);
    }
  });
  return total;
}

void CountRequest(MetricCells& cells, std::string_view method) {
  ServerCell& cell = cells.Server(method);
  cell.service_time.Observe(kMilli, cell.shared);
  cell.outcomes.Count(grpc::StatusCode::OK, EndReason::kCompleted, cell.shared);
}

TEST(HistogramCellTest, ATimeIsInTheBucketOfTheFirstBoundThatIsNotShorter) {
  const auto& bounds = DurationHistogram::Bounds();
  for (size_t i = 0; i < bounds.size(); ++i) {
    const Nanos bound = absl::ToInt64Nanoseconds(absl::Seconds(bounds[i]));
    HistogramCell cell;
    cell.Observe(bound, /*shared=*/false);
    cell.Observe(bound + 1, /*shared=*/true);
    DurationHistogram histogram;
    cell.AddTo(histogram);
    EXPECT_EQ(histogram.buckets[i], 1u) << bounds[i];
    EXPECT_EQ(histogram.buckets[i + 1], 1u) << bounds[i];
    EXPECT_EQ(histogram.count, 2u);
    EXPECT_DOUBLE_EQ(histogram.sum_seconds,
                     static_cast<double>(2 * bound + 1) / 1e9);
  }
}

TEST(HistogramCellTest, NegativeTimesCountAsZero) {
  HistogramCell cell;
  cell.Observe(-5, /*shared=*/false);
  DurationHistogram histogram;
  cell.AddTo(histogram);
  EXPECT_EQ(histogram.buckets[0], 1u);
  EXPECT_EQ(histogram.sum_seconds, 0);
}

// "100 years" is how some say "no limit".
TEST(HistogramCellTest, ASumOfHugeTimesNeverFalls) {
  constexpr Nanos kCentury = Nanos{100} * 365 * 24 * 3600 * 1'000'000'000;
  for (const bool shared : {false, true}) {
    HistogramCell cell;
    double last = 0;
    for (int i = 0; i < 1000; ++i) {
      cell.Observe(kCentury, shared);
      EXPECT_GT(cell.sum.get(), last);
      last = cell.sum.get();
    }
    DurationHistogram histogram;
    cell.AddTo(histogram);
    EXPECT_NEAR(histogram.sum_seconds, 1e5 * 365 * 24 * 3600, 1e3);
  }
}

TEST(OutcomeCellsTest, ListsEachCodeAndReasonThatHasBeenCounted) {
  OutcomeCells cells;
  cells.Count(grpc::StatusCode::OK, EndReason::kCompleted, false);
  cells.Count(grpc::StatusCode::UNAUTHENTICATED, EndReason::kTooLittleTime,
              false);
  cells.Count(grpc::StatusCode::OK, EndReason::kCompleted, true);
  OutcomeCells::Totals totals = {};
  EXPECT_EQ(cells.AddTo(totals), 3u);
  const std::vector<OutcomeCount> list = OutcomeCells::List(totals);
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].code, grpc::StatusCode::OK);
  EXPECT_EQ(list[0].reason, EndReason::kCompleted);
  EXPECT_EQ(list[0].count, 2u);
  EXPECT_EQ(list[1].code, grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(list[1].reason, EndReason::kTooLittleTime);
}

TEST(OutcomeCellsTest, NumbersThatNobodyKnowsAreCounted) {
  OutcomeCells cells;
  for (const int code : {-1, 17, 1000}) {
    cells.Count(static_cast<grpc::StatusCode>(code),
                static_cast<EndReason>(200), false);
  }
  OutcomeCells::Totals totals = {};
  EXPECT_EQ(cells.AddTo(totals), 3u);
  ASSERT_EQ(OutcomeCells::List(totals).size(), 1u);
  EXPECT_EQ(OutcomeCells::List(totals)[0].code, grpc::StatusCode::UNKNOWN);
}

TEST(ServerCellTest, CountsAFewCalleesApartAndTheRestTogether) {
  std::vector<std::unique_ptr<Method>> methods;
  ServerCell cell;
  for (size_t i = 0; i < ServerCell::kCallees + 3; ++i) {
    methods.push_back(std::make_unique<Method>("/m" + std::to_string(i)));
    cell.CountCallee(methods.back().get());
    cell.CountCallee(methods.back().get());
  }
  for (size_t i = 0; i + 1 < ServerCell::kCallees; ++i) {
    EXPECT_EQ(cell.callees[i].method, methods[i].get());
    EXPECT_EQ(cell.callees[i].count.get(), 2u);
  }
  EXPECT_EQ(cell.callees.back().method, nullptr);
  EXPECT_EQ(cell.callees.back().count.get(), 8u);
}

TEST(DeafLogTest, KeepsTheLastOnes) {
  DeafLog log;
  EXPECT_TRUE(log.Read().empty());
  for (int i = 0; i < 11; ++i) log.Add("trace" + std::to_string(i), i);
  const std::vector<DeafRequest> read = log.Read();
  ASSERT_EQ(read.size(), DeafLog::kKept);
  EXPECT_EQ(read.front().trace_id, "trace10");
  EXPECT_EQ(read.back().trace_id, "trace3");
  EXPECT_EQ(read.back().worked_after_end, absl::Nanoseconds(3));
}

TEST(DeafLogTest, AnIdThatIsTooLongIsCut) {
  DeafLog log;
  log.Add(std::string(100, 'x'), 1);
  EXPECT_EQ(log.Read().at(0).trace_id, std::string(32, 'x'));
}

TEST(MethodsTest, BeyondTheLimitMethodsAreOther) {
  auto& methods = Kept<Methods>(2);
  Method* const a = methods.Get("/a");
  Method* const b = methods.Get("/b");
  EXPECT_EQ(a->name, "/a");
  EXPECT_NE(a, b);
  EXPECT_EQ(methods.Get("/a"), a);
  EXPECT_EQ(methods.Get("/c"), methods.other());
  EXPECT_EQ(methods.Get("/b"), b);
  EXPECT_EQ(methods.Get("other"), methods.other());
  EXPECT_EQ(methods.size(), 2u);
}

TEST(MethodsTest, MayBeLookedUpWithoutBeingAdded) {
  auto& methods = Kept<Methods>(10);
  EXPECT_EQ(methods.Get("/a", /*may_add=*/false), methods.other());
  Method* const a = methods.Get("/a");
  EXPECT_EQ(methods.Get("/a", /*may_add=*/false), a);
  EXPECT_EQ(methods.size(), 1u);
}

TEST(MethodsTest, NamesThatAreTooLongAreOther) {
  auto& methods = Kept<Methods>(10);
  EXPECT_EQ(methods.Get(std::string(Methods::kLongestName + 1, 'x')),
            methods.other());
  EXPECT_NE(methods.Get(std::string(Methods::kLongestName, 'x')),
            methods.other());
}

TEST(MethodsTest, ThreadsThatMeetANewNameGetOneMethod) {
  constexpr int kThreads = 4;
  for (int round = 0; round < 200; ++round) {
    auto& methods = Kept<Methods>(3);
    Method* got[kThreads][3];
    Together(kThreads, [&](int thread) {
      for (int i = 0; i < 3; ++i) {
        got[thread][i] = methods.Get("/m" + std::to_string(i));
      }
    });
    for (int i = 0; i < 3; ++i) {
      Method* const method = methods.Get("/m" + std::to_string(i));
      EXPECT_NE(method, methods.other());
      for (auto& of_thread : got) EXPECT_EQ(of_thread[i], method);
    }
    EXPECT_EQ(methods.size(), 3u);
  }
}

TEST(MetricCellsTest, AThreadHasOneCellForAMethod) {
  auto& cells = Kept<MetricCells>(10);
  EXPECT_EQ(&cells.Server("/a"), &cells.Server(std::string("/a")));
  EXPECT_NE(&cells.Server("/a"), &cells.Server("/b"));
  EXPECT_EQ(&cells.Client("/a"), &cells.Client("/a"));
  ServerCell* other = nullptr;
  std::thread([&] { other = &cells.Server("/a"); }).join();
  EXPECT_NE(other, &cells.Server("/a"));
  EXPECT_EQ(cells.threads(), 2u);
}

TEST(MetricCellsTest, MethodsBeyondTheLimitShareACell) {
  auto& cells = Kept<MetricCells>(1);
  cells.Server("/a");
  EXPECT_EQ(&cells.Server("/b"), &cells.Server("/c"));
  for (int i = 0; i < 1000; ++i) {
    CountRequest(cells, "/hostile" + std::to_string(i));
  }
  EXPECT_EQ(ServerTotal(cells, "other"), 1000u);
}

TEST(MetricCellsTest, AThreadThatEndsLeavesItsCellsToTheNext) {
  auto& cells = Kept<MetricCells>(10);
  for (int i = 0; i < 50; ++i) {
    std::thread([&] { CountRequest(cells, "/a"); }).join();
  }
  EXPECT_EQ(ServerTotal(cells, "/a"), 50u);
  EXPECT_LE(cells.threads(), 3u);
}

TEST(MetricCellsTest, NothingIsLostAndNothingFallsWhileThreadsCount) {
  constexpr int kThreads = 4;
  constexpr uint64_t kEach = 20'000;
  auto& cells = Kept<MetricCells>(2);
  cells.methods().Get("/a");
  cells.methods().Get("/b");
  std::atomic<bool> done{false};
  std::thread reader([&] {
    uint64_t last = 0;
    while (!done) {
      const uint64_t now = ServerTotal(cells, "/a");
      EXPECT_GE(now, last);
      last = now;
    }
  });
  Together(kThreads, [&](int) {
    for (uint64_t i = 0; i < kEach; ++i) {
      CountRequest(cells, i % 2 == 0 ? "/a" : "/b");
      if (i % 16 == 0) CountRequest(cells, "/too many");
    }
  });
  done = true;
  reader.join();
  EXPECT_EQ(ServerTotal(cells, "/a"), kThreads * kEach / 2);
  EXPECT_EQ(ServerTotal(cells, "/b"), kThreads * kEach / 2);
  EXPECT_EQ(ServerTotal(cells, "other"), kThreads * kEach / 16);
}

TEST(MetricCellsTest, AnOutcomeThatIsSeenHasAllOfItsFigures) {
  auto& cells = Kept<MetricCells>(2);
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) {
      cells.methods().ForEach([&](const Method& method) {
        for (const ServerCell* cell = method.servers; cell != nullptr;
             cell = cell->next) {
          OutcomeCells::Totals totals = {};
          const uint64_t outcomes = cell->outcomes.AddTo(totals);
          DurationHistogram histogram;
          cell->service_time.AddTo(histogram);
          EXPECT_GE(histogram.count, outcomes);
        }
      });
    }
  });
  for (int i = 0; i < 50'000; ++i) CountRequest(cells, "/a");
  done = true;
  reader.join();
}

}  // namespace
}  // namespace tether::internal
