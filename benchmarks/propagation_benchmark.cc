// Values that cross a hop: read from headers, and written to them.

#include "benchmark/benchmark.h"
#include "harness.h"
#include "tether/context.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/trace_context.h"

namespace tether::benchmarks {
namespace {

// The example of the standard.
const MapCarrier& Incoming() {
  static const MapCarrier& carrier = *new MapCarrier{
      {"traceparent",
       "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
      {"tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}};
  return carrier;
}

void ExtractTrace(benchmark::State& state) {
  const TraceContextPropagator propagator;
  const Context parent = Background();
  bool found = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      const Context ctx = propagator.Extract(Incoming(), parent);
      found &= TraceOf(ctx) != nullptr;
    }
  }
  if (!found) Fail(state, "no trace was extracted");
}
BENCHMARK(ExtractTrace)->Name("trace context: extract");

// Into the headers of a new request each time.
void InjectTrace(benchmark::State& state) {
  const TraceContextPropagator propagator;
  const Context ctx = propagator.Extract(Incoming(), Background());
  bool written = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      MapCarrier carrier;
      propagator.Inject(ctx, carrier);
      written &= carrier.map().size() == 2;
    }
  }
  if (!written) Fail(state, "the headers are not there");
}
BENCHMARK(InjectTrace)->Name("trace context: inject");

}  // namespace
}  // namespace tether::benchmarks
