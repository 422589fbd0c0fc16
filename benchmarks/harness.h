// What all benchmark programs share, those of tether and those of its C++
// peers: main(), and counts of what they take from the heap.
//
// An operation has the same name in every program; that is how bench.sh brings
// them together. Names have no '/', and nothing else that a regular expression
// would take for more than itself.
//
// main() keeps a second thread asleep: what libstdc++ saves in a process that
// has only ever had one thread, a server doesn't save.

#ifndef TETHER_BENCHMARKS_HARNESS_H_
#define TETHER_BENCHMARKS_HARNESS_H_

#include <chrono>
#include <cstdint>

#include "benchmark/benchmark.h"

namespace tether::benchmarks {

// Ends a benchmark that didn't do what it measures, and makes main() fail.
void Fail(benchmark::State& state, const char* what);

// How often this thread has called operator new.
int64_t Allocations();

// Reports how often an iteration calls operator new, given how often all did.
void ReportAllocations(benchmark::State& state, int64_t total);

// Counts and reports them, on the thread that runs the benchmark. Make one
// right before the loop: what is set up before doesn't count.
class CountAllocations {
 public:
  explicit CountAllocations(benchmark::State& state)
      : state_(state), before_(Allocations()) {}
  ~CountAllocations() { ReportAllocations(state_, Allocations() - before_); }
  CountAllocations(const CountAllocations&) = delete;
  CountAllocations& operator=(const CountAllocations&) = delete;

 private:
  benchmark::State& state_;
  const int64_t before_;
};

// For operations that need a preparation that is not to be timed: calls
// prepare(), then time(0) to time(batch - 1), which alone are timed, and
// finish(); and that until there were enough. The benchmark needs
// UseManualTime(). (PauseTiming costs more than most of what is measured here.)
template <typename Prepare, typename Time, typename Finish>
void TimeBatches(benchmark::State& state, int batch, Prepare prepare, Time time,
                 Finish finish);

// How many operations on `n` things each to time at once: enough that reading
// the clock doesn't count, and few enough to stay in the cache.
inline int BatchOf(int n) { return n >= 100 ? 1 : 100 / n; }

// Counts the bytes that this thread has taken from the heap since construction
// and not given back: whole chunks of malloc, with its own word in each.
class CountHeapBytes {
 public:
  CountHeapBytes();
  ~CountHeapBytes();
  CountHeapBytes(const CountHeapBytes&) = delete;
  CountHeapBytes& operator=(const CountHeapBytes&) = delete;

  int64_t bytes() const;
};

// Reports a memory row: the bytes of one live object. Instead of a loop.
void ReportBytes(benchmark::State& state, double bytes_each);

// Implementation details only below.

template <typename Prepare, typename Time, typename Finish>
void TimeBatches(benchmark::State& state, int batch, Prepare prepare, Time time,
                 Finish finish) {
  int64_t allocations = 0;
  while (state.KeepRunningBatch(batch)) {
    prepare();
    const int64_t before = Allocations();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < batch; ++i) time(i);
    const auto end = std::chrono::steady_clock::now();
    state.SetIterationTime(std::chrono::duration<double>(end - start).count());
    allocations += Allocations() - before;
    finish();
  }
  ReportAllocations(state, allocations);
}

}  // namespace tether::benchmarks

#endif  // TETHER_BENCHMARKS_HARNESS_H_
