// SPDX-License-Identifier: Apache-2.0
//
// Values that cross a hop: reading them from headers, looking them up, and
// writing them into headers.

#include <optional>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "benchmark/benchmark.h"
#include "harness.h"
#include "header_row.h"
#include "tether/context.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/trace_context.h"

namespace tether::benchmarks {
namespace {

class RowCarrier final : public Carrier {
 public:
  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override {
    const HeaderRow::Header* header = row_.Find(key);
    if (header == nullptr || index != 0) return std::nullopt;
    return header->value;
  }
  void Set(std::string_view key, std::string_view value) override {
    row_.Set(key, value);
  }
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override {
    for (size_t i = 0; i < row_.size(); ++i) visit(row_[i].key);
  }
  HeaderRow& row() { return row_; }

 private:
  HeaderRow row_;
};

const RowCarrier& Incoming() {
  static const RowCarrier& carrier = *[] {
    auto* made = new RowCarrier;
    made->Set("traceparent", kTraceParent);
    made->Set("tracestate", kTraceState);
    made->Set("baggage", kTenEntries);
    return made;
  }();
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
BENCHMARK(ExtractTrace)->Name("extract trace context");

// Writes into the headers of a new request each time.
void InjectTrace(benchmark::State& state) {
  const TraceContextPropagator propagator;
  const Context ctx = propagator.Extract(Incoming(), Background());
  RowCarrier carrier;
  propagator.Inject(ctx, carrier);
  bool written = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      carrier.row().Clear();
      propagator.Inject(ctx, carrier);
      written &= carrier.row().size() == 2;
    }
  }
  if (!written || carrier.row()[1].value != kTraceState) {
    Fail(state, "the headers are not there");
  }
}
BENCHMARK(InjectTrace)->Name("inject trace context");

void ExtractBaggage(benchmark::State& state) {
  const BaggagePropagator propagator;
  const Context parent = Background();
  bool found = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      const Context ctx = propagator.Extract(Incoming(), parent);
      found &= BaggageOf(ctx).size() == 10;
    }
  }
  if (!found) Fail(state, "the entries are not there");
}
BENCHMARK(ExtractBaggage)->Name("extract baggage 10");

void InjectBaggage(benchmark::State& state) {
  const BaggagePropagator propagator;
  const Context ctx = propagator.Extract(Incoming(), Background());
  RowCarrier carrier;
  propagator.Inject(ctx, carrier);
  bool written = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      carrier.row().Clear();
      propagator.Inject(ctx, carrier);
      written &= carrier.row().size() == 1;
    }
  }
  if (!written || Baggage::Parse(carrier.row()[0].value).size() != 10) {
    Fail(state, "the header is not there");
  }
}
BENCHMARK(InjectBaggage)->Name("inject baggage 10");

// Looks up in a context with both values, as in a handler.
void LookUpTrace(benchmark::State& state) {
  // Not const, because DoNotOptimize takes a non-const reference.
  Context ctx = BaggagePropagator().Extract(
      Incoming(), TraceContextPropagator().Extract(Incoming(), Background()));
  bool sampled = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      benchmark::DoNotOptimize(ctx);
      sampled &= TraceOf(ctx)->sampled();
    }
  }
  if (!sampled) Fail(state, "the trace is not there");
}
BENCHMARK(LookUpTrace)->Name("lookup trace context");

}  // namespace
}  // namespace tether::benchmarks
