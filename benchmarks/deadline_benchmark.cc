// SPDX-License-Identifier: Apache-2.0
//
// Contexts with a deadline, with and without many other armed deadlines.

#include <vector>

#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "harness.h"
#include "tether/context.h"

namespace tether::benchmarks {
namespace {

// Arms `n` deadlines at different times. None of them passes.
void ArmBeside(size_t n) {
  static std::vector<Cancellable>& armed = *new std::vector<Cancellable>;
  if (armed.size() > n) armed.clear();
  armed.reserve(n);
  while (armed.size() < n) {
    armed.push_back(WithTimeout(
        Background(), absl::Hours(1) + absl::Microseconds(10) * armed.size()));
  }
}

// All threads share the parent.
void ChildWithTimeout(benchmark::State& state, size_t armed_beside) {
  static const Cancellable& parent = *new Cancellable(WithCancel(Background()));
  if (state.thread_index() == 0) ArmBeside(armed_beside);
  CountAllocations count(state);
  for (auto _ : state) {
    auto [ctx, cancel] = WithTimeout(parent.ctx, absl::Seconds(1));
    benchmark::DoNotOptimize(ctx);
    cancel();
  }
}
BENCHMARK_CAPTURE(ChildWithTimeout, 0, 0)
    ->Name("child with timeout: create and cancel")
    ->UseRealTime()
    ->Threads(1)
    ->Threads(2);

// Each thread has its own parent, as the requests of a server do.
void ChildOfOwnParentWithTimeout(benchmark::State& state) {
  const Cancellable parent = WithCancel(Background());
  CountAllocations count(state);
  for (auto _ : state) {
    auto [ctx, cancel] = WithTimeout(parent.ctx, absl::Seconds(1));
    benchmark::DoNotOptimize(ctx);
    cancel();
  }
}
BENCHMARK(ChildOfOwnParentWithTimeout)
    ->Name("child with timeout, own parent: create and cancel")
    ->UseRealTime()
    ->Threads(1)
    ->Threads(2);

BENCHMARK_CAPTURE(ChildWithTimeout, 4000, 4000)
    ->Name("child with timeout: create and cancel, beside 4000");
BENCHMARK_CAPTURE(ChildWithTimeout, 400000, 400'000)
    ->Name("child with timeout: create and cancel, beside 400000");

}  // namespace
}  // namespace tether::benchmarks
