// SPDX-License-Identifier: Apache-2.0
//
// The ambient context.

#include "benchmark/benchmark.h"
#include "harness.h"
#include "tether/context.h"
#include "tether/current.h"

namespace tether::benchmarks {
namespace {

void AttachAndDetach(benchmark::State& state) {
  const Cancellable child = WithCancel(Background());
  CountAllocations count(state);
  for (auto _ : state) {
    ScopedContext scope(child.ctx);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(AttachAndDetach)->Name("ambient context: attach and detach");

}  // namespace
}  // namespace tether::benchmarks
