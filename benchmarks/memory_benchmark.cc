// SPDX-License-Identifier: Apache-2.0
//
// The heap memory of one live context, by its kind. The user's objects (a
// Context, a CancelFunc) don't count.

#include <vector>

#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "harness.h"
#include "tether/context.h"

namespace tether::benchmarks {
namespace {

constexpr int kContexts = 1000;

// The bytes of one object that `make` makes.
template <typename Make>
void Measure(benchmark::State& state, Make make) {
  std::vector<decltype(make())> live;
  live.reserve(kContexts);
  (void)make();  // does the one-time work of the process
  CountHeapBytes count;
  for (int i = 0; i < kContexts; ++i) live.push_back(make());
  ReportBytes(state, static_cast<double>(count.bytes()) / kContexts);
}

void MemoryOfBackground(benchmark::State& state) {
  Measure(state, [] { return Background(); });
}
BENCHMARK(MemoryOfBackground)->Name("memory of a background");

void MemoryOfChild(benchmark::State& state) {
  const Cancellable parent = WithCancel(Background());
  Measure(state, [&] { return WithCancel(parent.ctx); });
}
BENCHMARK(MemoryOfChild)->Name("memory of a child");

void MemoryOfDeadline(benchmark::State& state) {
  const Cancellable parent = WithCancel(Background());
  Measure(state, [&] { return WithTimeout(parent.ctx, absl::Hours(1)); });
}
BENCHMARK(MemoryOfDeadline)->Name("memory of a child with an armed deadline");

void MemoryOfValue(benchmark::State& state) {
  static constexpr Key<int> kKey{"key"};
  const Cancellable parent = WithCancel(Background());
  Measure(state, [&] { return WithValue(parent.ctx, kKey, 42); });
}
BENCHMARK(MemoryOfValue)->Name("memory of a value");

}  // namespace
}  // namespace tether::benchmarks
