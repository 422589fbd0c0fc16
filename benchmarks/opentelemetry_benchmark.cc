// OpenTelemetry's context (the header-only API), at the same work: it has
// values, the ambient context and the headers, and nothing that ends.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "benchmark/benchmark.h"
#include "harness.h"
#include "opentelemetry/context/context.h"
#include "opentelemetry/context/runtime_context.h"
#include "opentelemetry/trace/context.h"
#include "opentelemetry/trace/propagation/http_trace_context.h"

namespace tether::benchmarks {
namespace {

namespace nostd = opentelemetry::nostd;
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

// It has no nodes that can be cancelled, so the values are by themselves.
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

// As tether's MapCarrier.
class MapCarrier final
    : public opentelemetry::context::propagation::TextMapCarrier {
 public:
  nostd::string_view Get(nostd::string_view key) const noexcept override {
    const auto it = map_.find(std::string_view(key.data(), key.size()));
    if (it == map_.end()) return "";
    return it->second;
  }
  void Set(nostd::string_view key, nostd::string_view value) noexcept override {
    map_.emplace(std::string(key), std::string(value));
  }
  size_t size() const { return map_.size(); }

 private:
  std::multimap<std::string, std::string, std::less<>> map_;
};

// The example of the standard.
const MapCarrier& Incoming() {
  static const MapCarrier& carrier = *[] {
    auto* made = new MapCarrier;
    made->Set("traceparent",
              "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    made->Set("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
    return made;
  }();
  return carrier;
}

void ExtractTrace(benchmark::State& state) {
  opentelemetry::trace::propagation::HttpTraceContext propagator;
  Context parent;
  bool found = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      const Context ctx = propagator.Extract(Incoming(), parent);
      found &= ctx.HasKey(opentelemetry::trace::kSpanKey);
    }
  }
  if (!found) Fail(state, "no trace was extracted");
}
BENCHMARK(ExtractTrace)->Name("trace context: extract");

// Into the headers of a new request each time.
void InjectTrace(benchmark::State& state) {
  opentelemetry::trace::propagation::HttpTraceContext propagator;
  Context parent;
  const Context ctx = propagator.Extract(Incoming(), parent);
  bool written = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      MapCarrier carrier;
      propagator.Inject(carrier, ctx);
      written &= carrier.size() == 2;
    }
  }
  if (!written) Fail(state, "the headers are not there");
}
BENCHMARK(InjectTrace)->Name("trace context: inject");

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
