// SPDX-License-Identifier: Apache-2.0

#include "scale.h"

#include <malloc.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <utility>

#include "absl/time/time.h"

namespace tether::benchmarks {
namespace {

using std::chrono::steady_clock;

enum Asked { kSize, kFigure };

// The clock of the CPU time of a thread of this process. pthread_getcpuclockid
// returns the same id, but needs a pthread_t.
clockid_t CpuClockOf(int thread) {
  return static_cast<clockid_t>((~static_cast<unsigned>(thread) << 3) | 6u);
}

// Tries again if the thread was interrupted, since the deadline would then be
// later than `at`; but not for ever, if it is always that slow.
Cancellable WithDeadlineAt(steady_clock::time_point at) {
  for (int i = 0;; ++i) {
    const auto before = steady_clock::now();
    Cancellable made = WithTimeout(Background(), absl::FromChrono(at - before));
    if (MicrosecondsSince(before) < 20 || i == 10) return made;
  }
}

}  // namespace

Figures InNewProcess(const std::function<Figures()>& measure) {
  Worker worker([&measure]() -> Worker::Respond {
    return [figures = measure()](const Order& order) {
      if (order.what == kSize)
        return Answer{static_cast<double>(figures.size())};
      return Answer{figures[static_cast<size_t>(order.number)]};
    };
  });
  Figures figures(static_cast<size_t>(worker.Do({kSize, 0}).a));
  for (size_t i = 0; i < figures.size(); ++i) {
    figures[i] = worker.Do({kFigure, static_cast<int32_t>(i)}).a;
  }
  return figures;
}

Figures Medians(const std::vector<Figures>& measurements) {
  Figures medians;
  for (size_t i = 0; i < measurements.front().size(); ++i) {
    std::vector<double> values;
    for (const Figures& figures : measurements) values.push_back(figures[i]);
    medians.push_back(Quantile(std::move(values), 0.5));
  }
  return medians;
}

std::vector<Figures> MeasureInTurn(int ways, int repeats,
                                   const std::function<Figures(int)>& measure) {
  std::vector<std::vector<Figures>> measurements(static_cast<size_t>(ways));
  for (int round = 0; round < repeats; ++round) {
    for (int i = 0; i < ways; ++i) {
      const int way = round % 2 == 0 ? i : ways - 1 - i;
      measurements[static_cast<size_t>(way)].push_back(
          InNewProcess([&] { return measure(way); }));
    }
  }
  std::vector<Figures> medians;
  for (const auto& of_way : measurements) medians.push_back(Medians(of_way));
  return medians;
}

double ThreadCpuMicroseconds(const std::string& name) {
  double sum = 0;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/self/task")) {
    std::string found;
    std::ifstream comm(task.path() / "comm");
    std::getline(comm, found);
    if (found != name) continue;
    timespec used;
    const int thread = std::stoi(task.path().filename().string());
    if (clock_gettime(CpuClockOf(thread), &used) != 0) Die("no CPU clock");
    sum += 1e6 * static_cast<double>(used.tv_sec) +
           1e-3 * static_cast<double>(used.tv_nsec);
  }
  return sum;
}

double HeapBytes() {
  const struct mallinfo2 info = mallinfo2();  // of all arenas
  return static_cast<double>(info.uordblks + info.hblkhd);
}

double ResidentBytes() {
  double size = 0;
  double resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

void RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) Die("no limit of files");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) Die("the limit of files stays");
}

MeasuredDeadline::MeasuredDeadline(steady_clock::time_point at)
    : made_(WithDeadlineAt(at)), registration_(made_.ctx, [this, at] {
        late_us_ = MicrosecondsSince(at);
        fired_.store(true, std::memory_order_release);
      }) {}

Row MakeRow(std::string operation, std::string unit, double tether,
            std::vector<std::pair<std::string, double>> peers) {
  Row row;
  row.operation = std::move(operation);
  row.unit = std::move(unit);
  row.tether = tether;
  row.peers = std::move(peers);
  return row;
}

}  // namespace tether::benchmarks
