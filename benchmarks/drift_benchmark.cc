// SPDX-License-Identifier: Apache-2.0
//
// Measures the difference between the deadline of the last of eight hops and
// the origin's, with tether and with plain gRPC's propagation.
// docs/performance.md explains the method.

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tether/grpc/client.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/testing/deadline_chain.h"
#include "worker.h"

namespace tether::benchmarks {
namespace {

using testing::BrokenBound;
using testing::DeadlineChain;
using testing::Passage;

constexpr absl::Duration kTimeouts[] = {
    absl::Milliseconds(50), absl::Milliseconds(200), absl::Seconds(1),
    absl::Seconds(5),       absl::Seconds(60),       absl::Seconds(200),
    absl::Hours(1)};

// A descending series falls to its timeout from 3 % above it, in steps of a
// tenth of a percent. gRPC reuses the HPACK table entry of an earlier timeout
// of the connection, if that timeout is at most 3 % longer.
constexpr int kSteps = 30;

// Returns the timeout in the format of the rows' names: 200ms, 1h.
std::string NameOf(absl::Duration timeout) {
  return timeout == absl::Seconds(60)    ? "60s"
         : timeout == absl::Seconds(200) ? "200s"
                                         : absl::FormatDuration(timeout);
}

// One of the three ways to propagate a deadline, and its measurements in
// milliseconds.
struct Way {
  std::optional<Reserve> reserve;  // nullopt: plain gRPC
  std::unique_ptr<DeadlineChain> chain;
  std::vector<double> drifts;
  int failed = 0;
};

double Milliseconds(absl::Duration duration) {
  return absl::ToDoubleMilliseconds(duration);
}

double Median(const std::vector<double>& values) {
  return Quantile(values, 0.5);
}

double Worst(const std::vector<double>& values) { return Quantile(values, 1); }

class Measurement {
 public:
  explicit Measurement(double seconds)
      : seconds_each_(seconds / (2 * std::size(kTimeouts))) {}

  void Measure(absl::Duration timeout, bool descending) {
    // New connections, so that the timeouts of another row have no effect.
    for (Way& way : ways_) {
      way.chain = std::make_unique<DeadlineChain>(way.reserve);
      if (!way.chain->Connect()) Die("no connection");
      way.drifts.clear();
      way.failed = 0;
    }
    const auto start = std::chrono::steady_clock::now();
    do {
      for (int step = descending ? kSteps : 0; step >= 0; --step) {
        CallEach(timeout * (1 + 0.001 * step));
      }
    } while (MicrosecondsSince(start) < 1e6 * seconds_each_);
    std::string operation = "drift " + NameOf(timeout);
    if (descending) operation += " descending";
    for (Way* way : {&default_reserve_, &zero_reserve_}) {
      const std::string suffix =
          way == &default_reserve_ ? ", default reserve" : ", zero reserve";
      AddRow(operation + suffix, way->drifts, plain_.drifts, Median, false);
      AddRow(operation + " worst" + suffix, way->drifts, plain_.drifts, Worst,
             true);
    }
    for (Way& way : ways_) way.chain.reset();
  }

  std::vector<Row> Rows() {
    AddRow("one way latencies", own_latencies_, plain_latencies_, Median,
           false);
    AddRow("one way latencies worst", own_latencies_, plain_latencies_, Worst,
           true);
    AddRow("drift beyond one way latencies worst, default reserve",
           default_excess_, plain_excess_, Worst, true);
    AddRow("drift beyond one way latencies worst, zero reserve", zero_excess_,
           plain_excess_, Worst, true);
    return std::move(rows_);
  }

 private:
  // One call each, in alternating order.
  void CallEach(absl::Duration timeout) {
    std::vector<Way*> ways;
    for (Way& way : ways_) ways.push_back(&way);
    if (turn_++ % 2 != 0) std::reverse(ways.begin(), ways.end());
    for (Way* way : ways) {
      const std::optional<Passage> passage = way->chain->Call(timeout);
      if (!passage) {
        // The machine may be too busy for 50 ms once, but not repeatedly.
        const auto measured = static_cast<int>(way->drifts.size());
        if (++way->failed > 10 + measured) Die("nearly all calls fail");
        continue;
      }
      if (way->reserve) {
        const std::string broken = BrokenBound(*passage, *way->reserve);
        if (!broken.empty()) Die(NameOf(timeout) + ": " + broken);
      }
      way->drifts.push_back(Milliseconds(passage->Drift()));
      const double latencies = Milliseconds(passage->Latencies());
      const double excess = way->drifts.back() - latencies;
      if (way == &plain_) {
        plain_latencies_.push_back(latencies);
        plain_excess_.push_back(excess);
      } else {
        own_latencies_.push_back(latencies);
        (way == &zero_reserve_ ? zero_excess_ : default_excess_)
            .push_back(excess);
      }
    }
  }

  void AddRow(std::string operation, const std::vector<double>& own,
              const std::vector<double>& plain,
              double (*figure)(const std::vector<double>&), bool worst) {
    if (own.empty() || plain.empty()) Die(operation + ": all calls failed");
    Row row;
    row.operation = std::move(operation);
    row.unit = "ms";
    row.worst = worst;
    row.tether = figure(own);
    row.peers = {{"plain grpc", figure(plain)}};
    rows_.push_back(std::move(row));
  }

  const double seconds_each_;
  int turn_ = 0;
  Way ways_[3] = {
      {ClientOptions().reserve, {}, {}}, {Reserve::None(), {}, {}}, {}};
  Way& default_reserve_ = ways_[0];
  Way& zero_reserve_ = ways_[1];
  Way& plain_ = ways_[2];
  std::vector<double> own_latencies_, plain_latencies_;
  // Drifts, minus the latencies of their calls.
  std::vector<double> default_excess_, zero_excess_, plain_excess_;
  std::vector<Row> rows_;
};

int Main(int argc, char** argv) {
  Measurement measurement(SecondsOf(argc, argv));
  for (const bool descending : {false, true}) {
    for (const absl::Duration timeout : kTimeouts) {
      measurement.Measure(timeout, descending);
    }
  }
  Print(measurement.Rows());
  return 0;
}

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) { return tether::benchmarks::Main(argc, argv); }
