// SPDX-License-Identifier: Apache-2.0
//
// OpenTelemetry's propagators (the header-only API), with the same operations.

#include <string_view>

#include "benchmark/benchmark.h"
#include "harness.h"
#include "header_row.h"
#include "opentelemetry/baggage/baggage.h"
#include "opentelemetry/baggage/baggage_context.h"
#include "opentelemetry/baggage/propagation/baggage_propagator.h"
#include "opentelemetry/context/context.h"
#include "opentelemetry/context/propagation/text_map_propagator.h"
#include "opentelemetry/trace/context.h"
#include "opentelemetry/trace/propagation/http_trace_context.h"

namespace tether::benchmarks {
namespace {

namespace nostd = opentelemetry::nostd;
using opentelemetry::baggage::GetBaggage;
using opentelemetry::baggage::propagation::BaggagePropagator;
using opentelemetry::context::Context;
using opentelemetry::trace::GetSpan;
using opentelemetry::trace::propagation::HttpTraceContext;

std::string_view View(nostd::string_view text) {
  return {text.data(), text.size()};
}

class RowCarrier final
    : public opentelemetry::context::propagation::TextMapCarrier {
 public:
  nostd::string_view Get(nostd::string_view key) const noexcept override {
    const HeaderRow::Header* header = row_.Find(View(key));
    if (header == nullptr) return "";
    return header->value;
  }
  void Set(nostd::string_view key, nostd::string_view value) noexcept override {
    row_.Set(View(key), View(value));
  }
  HeaderRow& row() { return row_; }

 private:
  HeaderRow row_;
};

const RowCarrier& Incoming() {
  static const RowCarrier& carrier = *[] {
    auto* made = new RowCarrier;
    made->row().Set("traceparent", kTraceParent);
    made->row().Set("tracestate", kTraceState);
    made->row().Set("baggage", kTenEntries);
    return made;
  }();
  return carrier;
}

size_t CountEntries(const Context& ctx) {
  size_t entries = 0;
  GetBaggage(ctx)->GetAllEntries(
      [&entries](nostd::string_view, nostd::string_view) {
        ++entries;
        return true;
      });
  return entries;
}

void ExtractTrace(benchmark::State& state) {
  HttpTraceContext propagator;
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
BENCHMARK(ExtractTrace)->Name("extract trace context");

// Writes into the headers of a new request each time.
void InjectTrace(benchmark::State& state) {
  HttpTraceContext propagator;
  Context parent;
  const Context ctx = propagator.Extract(Incoming(), parent);
  RowCarrier carrier;
  propagator.Inject(carrier, ctx);
  bool written = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      carrier.row().Clear();
      propagator.Inject(carrier, ctx);
      written &= carrier.row().size() == 2;
    }
  }
  if (!written || carrier.row()[1].value != kTraceState) {
    Fail(state, "the headers are not there");
  }
}
BENCHMARK(InjectTrace)->Name("inject trace context");

void ExtractBaggage(benchmark::State& state) {
  BaggagePropagator propagator;
  Context parent;
  if (CountEntries(propagator.Extract(Incoming(), parent)) != 10) {
    Fail(state, "the entries are not there");
  }
  CountAllocations count(state);
  for (auto _ : state) {
    Context ctx = propagator.Extract(Incoming(), parent);
    benchmark::DoNotOptimize(ctx);
  }
}
BENCHMARK(ExtractBaggage)->Name("extract baggage 10");

void InjectBaggage(benchmark::State& state) {
  BaggagePropagator propagator;
  Context parent;
  const Context ctx = propagator.Extract(Incoming(), parent);
  RowCarrier carrier;
  propagator.Inject(carrier, ctx);
  bool written = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      carrier.row().Clear();
      propagator.Inject(carrier, ctx);
      written &= carrier.row().size() == 1;
    }
  }
  if (!written) Fail(state, "the header is not there");
}
BENCHMARK(InjectBaggage)->Name("inject baggage 10");

// Looks up in a context with both values, as in a handler.
void LookUpTrace(benchmark::State& state) {
  HttpTraceContext traces;
  BaggagePropagator baggages;
  Context parent;
  Context with_trace = traces.Extract(Incoming(), parent);
  Context ctx = baggages.Extract(Incoming(), with_trace);
  bool sampled = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      benchmark::DoNotOptimize(ctx);
      sampled &= GetSpan(ctx)->GetContext().IsSampled();
    }
  }
  if (!sampled) Fail(state, "the trace is not there");
}
BENCHMARK(LookUpTrace)->Name("lookup trace context");

}  // namespace
}  // namespace tether::benchmarks
