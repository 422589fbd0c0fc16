// What the benchmarks with processes of their own share: rpc_benchmark and
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

// A process that answers orders, one after the other. Start all of them before
// the first thread, and before anything of gRPC: they are forks.
class Worker {
 public:
  using Respond = std::function<Answer(const Order&)>;

  // The new process calls `start`, and what that returned for each order. It
  // ends with this object, or with this process.
  explicit Worker(const std::function<Respond()>& start);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  // Ends the program when the worker is gone: it has told why.
  Answer Do(const Order& order);

 private:
  pid_t process_;
  int orders_;
  int answers_;
};

// Writes why to the standard error and ends the process: a benchmark that
// didn't do what it measures has no figures.
[[noreturn]] void Die(const std::string& why);

// User and system time of all threads of this process so far, in microseconds.
double CpuMicroseconds();

// How often this process has called operator new while it was told to count.
// It isn't while anything is timed. gRPC's core takes much of its memory from
// malloc, which isn't counted.
void CountAllocations(bool count);
int64_t Allocations();

inline double MicrosecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now() - start)
      .count();
}

// The value below which `part` (0 to 1) of the values lie; 0 of none.
double Quantile(std::vector<double> values, double part);

struct Row {
  std::string operation;
  std::string unit = "us";
  double tether = 0;
  std::vector<std::pair<std::string, double>> peers;
  std::optional<double> allocations;
  // Of several runs the largest figure is taken, not the median.
  bool worst = false;
};

// To the standard output.
void Print(const std::vector<Row>& rows);

// The value of the program's one option, --seconds=S: for how long to measure.
double SecondsOf(int argc, char** argv);

}  // namespace tether::benchmarks

#endif  // TETHER_BENCHMARKS_WORKER_H_
