// SPDX-License-Identifier: Apache-2.0
//
// What the sidecar does for a request besides proxying it: its id, the headers,
// and the Correlator, beside many other requests.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "benchmark/benchmark.h"
#include "harness.h"
#include "sidecar/correlator.h"
#include "sidecar/hop_headers.h"
#include "sidecar/hop_id.h"
#include "sidecar/request_end.h"
#include "tether/context.h"

namespace tether::benchmarks {
namespace {

using sidecar::Correlator;
using sidecar::CutWhenAllEnd;
using sidecar::HopId;
using sidecar::HopIds;
using sidecar::Request;
using sidecar::RequestNames;

std::string TraceOf(uint64_t i) {
  return absl::StrCat(absl::Hex(i + 1, absl::kZeroPad16),
                      absl::Hex(i + 1, absl::kZeroPad16));
}

// A Correlator with 10,000 requests alive, and as many tombstones as it keeps.
struct Table {
  static constexpr size_t kAlive = 10'000;

  explicit Table(bool same_trace) {
    for (size_t i = 0; i < 2 * 65536; ++i) {
      correlator.End(correlator.Begin(
          ids.Next(), TraceOf(i), absl::StrCat("request-", i), Background()));
    }
    for (size_t i = 0; i < kAlive; ++i) {
      alive.push_back(correlator.Begin(
          ids.Next(), TraceOf(same_trace ? 1'000'000 : 2'000'000 + i),
          absl::StrCat("request-of-another-", i), Background()));
    }
  }

  HopIds ids;
  Correlator correlator{ids};
  std::vector<std::shared_ptr<Request>> alive;
};

Table& Distinct() {
  static Table& table = *new Table(false);
  return table;
}
Table& OneTrace() {
  static Table& table = *new Table(true);
  return table;
}

// Which names a request has.
enum class Named { kId, kTrace, kAll };

void BeginFindEnd(benchmark::State& state, Table& (*get)(), Named named,
                  bool same_trace) {
  Table& table = get();
  uint64_t number = static_cast<uint64_t>(state.thread_index()) << 40;
  const std::vector<std::string> traces = [&] {
    std::vector<std::string> made;
    for (uint64_t i = 0; i < 4096; ++i) {
      made.push_back(TraceOf(same_trace ? 1'000'000 : number + i));
    }
    return made;
  }();
  std::string request_id = "0af76519-16cd-43dd-8448-eb211c80319c";
  const Context ctx = Background();
  CountAllocations count(state);
  for (auto _ : state) {
    ++number;
    const HopId id = table.ids.Next();
    request_id[7] = static_cast<char>('a' + number % 26);
    request_id[6] = static_cast<char>('a' + number / 26 % 26);
    const std::shared_ptr<Request> request = table.correlator.Begin(
        id, named == Named::kId ? "" : traces[number % traces.size()],
        named == Named::kAll ? request_id : "", ctx);
    RequestNames names;
    names.ids = absl::MakeConstSpan(&id, 1);
    const Correlator::Match match = table.correlator.Find(names);
    if (match.requests.size() != 1) Fail(state, "the request was not found");
    table.correlator.End(request);
  }
}
BENCHMARK_CAPTURE(BeginFindEnd, id, Distinct, Named::kId, false)
    ->Name("begin, find, end: id only")
    ->UseRealTime();
BENCHMARK_CAPTURE(BeginFindEnd, trace, Distinct, Named::kTrace, false)
    ->Name("begin, find, end: id and trace")
    ->UseRealTime()
    ->Threads(1)
    ->Threads(2);
BENCHMARK_CAPTURE(BeginFindEnd, all, Distinct, Named::kAll, false)
    ->Name("begin, find, end: id, trace, request id")
    ->UseRealTime();
BENCHMARK_CAPTURE(BeginFindEnd, one_trace, OneTrace, Named::kTrace, true)
    ->Name("begin, find, end: all of one trace")
    ->UseRealTime()
    ->Threads(1)
    ->Threads(2);

void FindByTrace(benchmark::State& state) {
  Table& table = Distinct();
  const std::string trace = TraceOf(2'000'007);
  RequestNames names;
  names.trace_id = trace;
  CountAllocations count(state);
  for (auto _ : state) {
    const Correlator::Match match = table.correlator.Find(names);
    if (match.requests.size() != 1) Fail(state, "the request was not found");
  }
}
BENCHMARK(FindByTrace)->Name("find by trace");

void MakeId(benchmark::State& state) {
  const HopIds ids;
  CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(ids.Next());
}
BENCHMARK(MakeId)->Name("make an id");

constexpr char kBaggage[] = "tenant=acme,route=canary%20north;ttl=3,user=17";
constexpr char kTraceState[] = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";

void PutAndTake(benchmark::State& state) {
  const HopId id = HopIds().Next();
  CountAllocations count(state);
  for (auto _ : state) {
    const std::string baggage = sidecar::PutHopInBaggage(kBaggage, id);
    const std::string tracestate = sidecar::PutHopInTraceState(kTraceState, id);
    const auto from_baggage = sidecar::TakeHopsFromBaggage(baggage);
    const auto from_tracestate = sidecar::TakeHopsFromTraceState(tracestate);
    if (from_baggage.ids != from_tracestate.ids) Fail(state, "other ids");
  }
}
BENCHMARK(PutAndTake)->Name("put the id in two headers, and take it");

void Cut(benchmark::State& state) {
  auto [ctx, cancel] = WithCancel(Background());
  const sidecar::Requests requests = {std::make_shared<Request>(HopId(), ctx)};
  CountAllocations count(state);
  for (auto _ : state) {
    const CutWhenAllEnd cut(requests,
                            [](sidecar::RequestEnd, const absl::Status&) {});
    benchmark::DoNotOptimize(&cut);
  }
}
BENCHMARK(Cut)->Name("watch the end of a request");

}  // namespace
}  // namespace tether::benchmarks
