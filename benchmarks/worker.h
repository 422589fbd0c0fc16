// SPDX-License-Identifier: Apache-2.0
//
// Shared code of the benchmarks with separate processes, rpc_benchmark and
// cancel_benchmark. They measure tether and its peers in turn, a little each
// time, and print all figures in one JSON object, which run.py reads.

#ifndef TETHER_BENCHMARKS_WORKER_H_
#define TETHER_BENCHMARKS_WORKER_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tether::benchmarks {

struct Order {
  int32_t what = 0;
  int32_t number = 0;
};

struct Answer {
  double a = 0;
  double b = 0;
  double c = 0;
};

// A process that executes orders, one after the other. Workers are forks, so
// start all of them before the first thread, and before using gRPC.
class Worker {
 public:
  using Respond = std::function<Answer(const Order&)>;

  // The new process calls `start`, and then the returned function for each
  // order. It ends with this object, or with this process.
  explicit Worker(const std::function<Respond()>& start);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  // Ends the program if the worker is gone. The worker has printed the reason.
  Answer Do(const Order& order);

 private:
  pid_t process_;
  int orders_;
  int answers_;
};

// Prints the reason to the standard error and ends the process. A benchmark
// that didn't do its work has no figures.
[[noreturn]] void Die(const std::string& why);

// User and system time of all threads of this process so far, in microseconds.
double CpuMicroseconds();

// How often this process has called operator new while counting was on.
// Counting is off during timed work. gRPC's core takes much of its memory from
// malloc, which isn't counted.
void CountAllocations(bool count);
int64_t Allocations();

inline double MicrosecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now() - start)
      .count();
}

// The value below which the fraction `part` (0 to 1) of the values lie, or 0 if
// there are no values.
double Quantile(std::vector<double> values, double part);

struct Row {
  std::string operation;
  std::string unit = "us";
  double tether = 0;
  std::vector<std::pair<std::string, double>> peers;
  std::optional<double> allocations;
  // Several runs are combined by the maximum, not by the median.
  bool worst = false;
};

// Prints to the standard output.
void Print(const std::vector<Row>& rows);

// The value of the program's only option, --seconds=S: how long to measure.
double SecondsOf(int argc, char** argv);

}  // namespace tether::benchmarks

#endif  // TETHER_BENCHMARKS_WORKER_H_
