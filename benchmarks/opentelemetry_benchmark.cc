// SPDX-License-Identifier: Apache-2.0
//
// OpenTelemetry's context (the header-only API), with the same operations. It
// has values and the ambient context, but no cancellation.

#include <cstdint>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "harness.h"
#include "opentelemetry/context/context.h"
#include "opentelemetry/context/runtime_context.h"

namespace tether::benchmarks {
namespace {

using opentelemetry::context::Context;
using opentelemetry::context::RuntimeContext;

std::string KeyName(int i) { return "key" + std::to_string(100 + i); }

Context Deep(int depth) {
  Context ctx;
  for (int i = 0; i < depth; ++i) {
    ctx = ctx.SetValue(KeyName(i), static_cast<int64_t>(i));
  }
  return ctx;
}

void AddValue(benchmark::State& state) {
  Context parent;
  const std::string key = KeyName(0);
  CountAllocations count(state);
  for (auto _ : state) {
    Context ctx = parent.SetValue(key, int64_t{42});
    benchmark::DoNotOptimize(ctx);
  }
}
BENCHMARK(AddValue)->Name("add a value");

void LookUpMiss(benchmark::State& state, int depth) {
  const Context ctx = Deep(depth);
  const std::string key = "absent";
  CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(ctx.GetValue(key));
}
BENCHMARK_CAPTURE(LookUpMiss, 10, 10)->Name("look up a value: miss, 10 deep");
BENCHMARK_CAPTURE(LookUpMiss, 50, 50)->Name("look up a value: miss, 50 deep");
BENCHMARK_CAPTURE(LookUpMiss, 100, 100)
    ->Name("look up a value: miss, 100 deep");

// It has no nodes that can be cancelled, so there are only the values.
BENCHMARK_CAPTURE(LookUpMiss, mixed, 10)
    ->Name("look up a value: miss, 10 among 100 cancel nodes");

void LookUpOldest(benchmark::State& state) {
  const Context ctx = Deep(10);
  const std::string key = KeyName(0);
  if (!ctx.HasKey(key)) Fail(state, "the value is not found");
  CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(ctx.GetValue(key));
}
BENCHMARK(LookUpOldest)
    ->Name("look up a value: oldest of 10 among 100 cancel nodes");

void AttachAndDetach(benchmark::State& state) {
  const Context ctx = Deep(1);
  CountAllocations count(state);
  for (auto _ : state) {
    auto token = RuntimeContext::Attach(ctx);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(AttachAndDetach)->Name("ambient context: attach and detach");

void MemoryOfValue(benchmark::State& state) {
  constexpr int kContexts = 1000;
  std::vector<Context> live;
  live.reserve(kContexts);
  Context parent;
  const std::string key = KeyName(0);
  CountHeapBytes count;
  for (int i = 0; i < kContexts; ++i) {
    live.push_back(parent.SetValue(key, int64_t{42}));
  }
  ReportBytes(state, static_cast<double>(count.bytes()) / kContexts);
}
BENCHMARK(MemoryOfValue)->Name("memory of a value");

}  // namespace
}  // namespace tether::benchmarks
