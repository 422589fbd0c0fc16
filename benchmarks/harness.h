// SPDX-License-Identifier: Apache-2.0
//
// Shared code of all benchmark programs, tether's and its C++ peers': main(),
// and counters of heap use.
//
// An operation has the same name in every program, and bench.sh matches them by
// name. Names have no '/', and no characters that are special in regular
// expressions.
//
// main() keeps a second thread asleep, because libstdc++ is faster in a process
// that never had a second thread. A server has several.

#ifndef TETHER_BENCHMARKS_HARNESS_H_
#define TETHER_BENCHMARKS_HARNESS_H_

#include <chrono>
#include <cstdint>

#include "benchmark/benchmark.h"

namespace tether::benchmarks {

// Ends a benchmark that didn't do its work, and makes main() fail.
void Fail(benchmark::State& state, const char* what);

// How often this thread has called operator new.
int64_t Allocations();

// Reports how often an iteration calls operator new, from the total count.
void ReportAllocations(benchmark::State& state, int64_t total);

// Counts the calls on the benchmark's thread, and reports them. Make it right
// before the loop, so that the set-up doesn't count.
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

// For operations whose preparation must not be timed. Repeatedly calls
// prepare(), then time(0) to time(batch - 1), and then finish(). Only the calls
// of time() are timed. The benchmark needs UseManualTime(). (PauseTiming costs
// more than most of these operations.)
template <typename Prepare, typename Time, typename Finish>
void TimeBatches(benchmark::State& state, int batch, Prepare prepare, Time time,
                 Finish finish);

// How many operations on `n` objects each to time together: enough to hide the
// cost of reading the clock, and few enough to stay in the cache.
inline int BatchOf(int n) { return n >= 100 ? 1 : 100 / n; }

// Counts the heap bytes that this thread has allocated since construction and
// not freed: whole chunks of malloc, including malloc's own word in each.
class CountHeapBytes {
 public:
  CountHeapBytes();
  ~CountHeapBytes();
  CountHeapBytes(const CountHeapBytes&) = delete;
  CountHeapBytes& operator=(const CountHeapBytes&) = delete;

  int64_t bytes() const;
};

// Reports a memory row: the bytes of one live object. It replaces the loop.
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
