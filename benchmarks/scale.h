// SPDX-License-Identifier: Apache-2.0
//
// Shared code of the benchmarks of the group "scale": measurements in processes
// of their own, what a process and its threads use, and how late deadlines are.

#ifndef TETHER_BENCHMARKS_SCALE_H_
#define TETHER_BENCHMARKS_SCALE_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tether/after_func.h"
#include "tether/context.h"
#include "worker.h"

namespace tether::benchmarks {

using Figures = std::vector<double>;

// Returns what `measure` returns in a new process, which then ends. So memory
// that an earlier measurement has freed doesn't hide what this one needs. The
// calling process must have no other thread, and must not have used gRPC.
Figures InNewProcess(const std::function<Figures()>& measure);

// The medians of several measurements, figure by figure.
Figures Medians(const std::vector<Figures>& measurements);

// Calls `measure` for each of the ways 0 to `ways` - 1, `repeats` times, in
// alternating order, each time in a new process. Returns the medians of each
// way.
std::vector<Figures> MeasureInTurn(int ways, int repeats,
                                   const std::function<Figures(int)>& measure);

// The CPU time of this process's threads with that name so far.
double ThreadCpuMicroseconds(const std::string& name);

// The heap memory in use in this process, and its resident memory.
double HeapBytes();
double ResidentBytes();

// Allows this process as many open files as the system does.
void RaiseFileLimit();

// A context with a deadline, and how late its callback runs.
class MeasuredDeadline {
 public:
  explicit MeasuredDeadline(std::chrono::steady_clock::time_point at);

  // True once the callback has run.
  bool fired() const { return fired_.load(std::memory_order_acquire); }
  // Requires fired().
  double late_us() const { return late_us_; }

 private:
  const Cancellable made_;
  double late_us_ = 0;
  std::atomic<bool> fired_{false};
  const Registration registration_;
};

Row MakeRow(std::string operation, std::string unit, double tether,
            std::vector<std::pair<std::string, double>> peers = {});

}  // namespace tether::benchmarks

#endif  // TETHER_BENCHMARKS_SCALE_H_
