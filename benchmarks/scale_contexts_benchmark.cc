// SPDX-License-Identifier: Apache-2.0
//
// Measures many contexts with deadlines, alive and firing: memory, CPU time,
// and how late the callbacks of the deadlines run. docs/performance.md explains
// the rows.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/time/time.h"
#include "scale.h"
#include "tether/context.h"
#include "worker.h"

ABSL_FLAG(int, largest, 100'000, "The largest number of contexts.");
ABSL_FLAG(int, repeats, 5, "How often each number is measured.");

namespace tether::benchmarks {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

// Deadlines per millisecond, whatever their number. So a wake-up of the timer
// thread fires as many of ten thousand as of a hundred.
constexpr int kPerMillisecond = 100;
constexpr auto kStep = nanoseconds(1'000'000 / kPerMillisecond);

// The time between deadlines that each need a wake-up of their own.
constexpr auto kApart = milliseconds(5);
constexpr int kAlone = 50;

// The time in which all contexts are made, before the first deadline. It is
// longer than the time in which a deadline is near, so each deadline comes near
// and passes, as those of most requests would.
constexpr auto kLead = milliseconds(400);

constexpr auto kLongest = std::chrono::seconds(60);

// What `n` deadlines that are `step` apart cost, and how late they are.
struct Firing {
  double timer_us, callback_us;  // CPU time, each
  double seconds;                // from the first deadline to the last callback
  std::vector<double> late_us;
};
Firing Fire(int n, nanoseconds step, nanoseconds lead = kLead) {
  std::deque<MeasuredDeadline> deadlines;
  const double timer = ThreadCpuMicroseconds("tether-timer");
  const double callback = ThreadCpuMicroseconds("tether-callback");
  const auto first = steady_clock::now() + lead;
  for (int i = 0; i < n; ++i) deadlines.emplace_back(first + i * step);
  if (steady_clock::now() > first) return Fire(n, step, 2 * lead);
  const auto give_up = first + n * step + kLongest;
  for (const MeasuredDeadline& deadline : deadlines) {
    while (!deadline.fired()) {
      if (steady_clock::now() > give_up) Die("a deadline has not fired");
      std::this_thread::sleep_for(milliseconds(5));
    }
  }
  Firing result;
  result.seconds = MicrosecondsSince(first) / 1e6;
  result.timer_us = ThreadCpuMicroseconds("tether-timer") - timer;
  result.callback_us = ThreadCpuMicroseconds("tether-callback") - callback;
  for (const MeasuredDeadline& deadline : deadlines) {
    result.late_us.push_back(deadline.late_us());
  }
  return result;
}

// The heap bytes of one of `n` contexts. The user's objects don't count.
double BytesOfOne(int n) {
  std::vector<Cancellable> alive;
  alive.reserve(static_cast<size_t>(n));
  // Starts the timer thread.
  (void)WithTimeout(Background(), absl::Hours(1));
  const double before = HeapBytes();
  for (int i = 0; i < n; ++i) {
    alive.push_back(WithTimeout(Background(), absl::Hours(1)));
  }
  return (HeapBytes() - before) / n;
}

class Measurement {
 public:
  Measurement(int largest, int repeats) : repeats_(repeats) {
    for (int n = 100; n <= largest; n *= 10) sizes_.push_back(n);
    if (sizes_.empty()) Die("too few contexts");
  }

  std::vector<Row> Rows() {
    for (const int n : sizes_) {
      Add("context with a deadline alive, " + std::to_string(n), "bytes",
          InNewProcess([n] { return Figures{BytesOfOne(n)}; })[0]);
    }
    for (const int n : sizes_) AddFiring(n);
    AddAlone();
    for (const int n : sizes_) AddOneMoment(n);
    return std::move(rows_);
  }

 private:
  Row& Add(std::string operation, std::string unit, double value) {
    rows_.push_back(MakeRow(std::move(operation), std::move(unit), value));
    return rows_.back();
  }

  // Everything that is measured with `n` deadlines, in one process.
  std::vector<Figures> Repeat(int n, nanoseconds step) {
    std::vector<Figures> all;
    for (int i = 0; i < repeats_; ++i) {
      all.push_back(InNewProcess([&] {
        Fire(kPerMillisecond, kStep);  // starts both threads
        const Firing f = Fire(n, step);
        return Figures{1e3 * (f.timer_us + f.callback_us) / n,
                       f.timer_us / f.seconds / 1e4,
                       f.callback_us / f.seconds / 1e4,
                       Quantile(f.late_us, 0.5), Quantile(f.late_us, 1)};
      }));
    }
    return all;
  }

  static double Latest(const std::vector<Figures>& all) {
    double latest = 0;
    for (const Figures& figures : all) latest = std::max(latest, figures[4]);
    return latest;
  }

  void AddFiring(int n) {
    const std::vector<Figures> all = Repeat(n, kStep);
    const Figures medians = Medians(all);
    const std::string count = std::to_string(n);
    Add("deadline fires, of " + count, "ns", medians[0]);
    Add("firing p50, " + count + " deadlines", "us", medians[3]);
    Add("latest firing, " + count + " deadlines", "us", Latest(all)).worst =
        true;
    if (n < 100'000) return;  // too short for a share
    Add("timer thread's share, " + count + " deadlines in a second", "percent",
        medians[1]);
    Add("callback thread's share, " + count + " deadlines in a second",
        "percent", medians[2]);
  }

  void AddAlone() {
    const Figures medians = Medians(Repeat(kAlone, kApart));
    Add("deadline fires, alone", "ns", medians[0]);
    Add("firing p50, alone", "us", medians[3]);
  }

  void AddOneMoment(int n) {
    const std::vector<Figures> all = Repeat(n, nanoseconds(0));
    const std::string count = std::to_string(n);
    Add("latest firing, " + count + " deadlines at one moment", "us",
        Medians(all)[4]);
  }

  const int repeats_;
  std::vector<int> sizes_;
  std::vector<Row> rows_;
};

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  tether::benchmarks::Print(
      tether::benchmarks::Measurement(absl::GetFlag(FLAGS_largest),
                                      absl::GetFlag(FLAGS_repeats))
          .Rows());
  return 0;
}
