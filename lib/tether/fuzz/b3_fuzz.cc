// SPDX-License-Identifier: Apache-2.0
//
// B3, single and multi: a trace that is read is valid, and reads the same after
// it was written. The lines of the input are b3, x-b3-traceid, x-b3-spanid,
// x-b3-sampled, x-b3-flags and traceparent. A missing or empty line means no
// such header.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/fuzz/fuzz_check.h"
#include "tether/propagation/b3.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/trace_context.h"

namespace tether::fuzz {
namespace {

constexpr std::string_view kHeaders[] = {kB3Header,       kB3TraceIdHeader,
                                         kB3SpanIdHeader, kB3SampledHeader,
                                         kB3FlagsHeader,  kTraceParentHeader};

void CheckParsed(std::string_view header) {
  const std::optional<TraceContext> trace = ParseB3(header);
  if (!trace.has_value()) return;
  if (header.size() == 1) {
    FUZZ_CHECK(header == "0" || header == "1" || header == "d");
    FUZZ_CHECK(!trace->valid() && !trace->sampling_deferred);
    return;
  }
  FUZZ_CHECK(trace->valid());
  const std::string ids = trace->TraceIdHex() + "-" + trace->SpanIdHex();
  const std::string padded =
      (header[16] == '-' ? std::string(16, '0') : "") + std::string(header);
  FUZZ_CHECK(padded.substr(0, ids.size()) == ids);
  FUZZ_CHECK(padded.size() == 49 || padded.size() == 51 || padded.size() == 68);
  FUZZ_CHECK(trace->sampling_deferred == (padded.size() == 49));
  FUZZ_CHECK(!trace->debug || trace->sampled());
}

void Run(std::string_view text) {
  const std::vector<std::string_view> lines = Lines(text);
  CheckParsed(lines[0]);
  MapCarrier incoming;
  for (size_t i = 0; i < lines.size() && i < std::size(kHeaders); ++i) {
    if (!lines[i].empty()) incoming.Set(kHeaders[i], lines[i]);
  }
  const TraceContextPropagator w3c;
  const B3Propagator reader;
  const Context by_w3c = w3c.Extract(incoming, Background());
  const Context ctx = reader.Extract(incoming, by_w3c);
  const TraceContext* trace = TraceOf(ctx);
  if (TraceOf(by_w3c) != nullptr) FUZZ_CHECK(ctx == by_w3c);
  if (trace != nullptr) FUZZ_CHECK(trace->valid());

  for (const B3Format format : {B3Format::kSingle, B3Format::kMulti}) {
    B3Options options;
    options.write = format;
    const B3Propagator writer(options);
    MapCarrier outgoing;
    writer.Inject(ctx, outgoing);
    if (trace == nullptr) {
      FUZZ_CHECK(outgoing.map().empty());
      continue;
    }
    const B3Propagator next;
    const Context there = next.Extract(outgoing, Background());
    FUZZ_CHECK(next.Dropped() == 0);
    const TraceContext* sent = TraceOf(there);
    FUZZ_CHECK(sent != nullptr);
    FUZZ_CHECK(sent->trace_id == trace->trace_id);
    FUZZ_CHECK(sent->sampled() == trace->sampled());
    FUZZ_CHECK(sent->debug == trace->debug);
    FUZZ_CHECK(sent->sampling_deferred == trace->sampling_deferred);
  }
}

}  // namespace
}  // namespace tether::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tether::fuzz::Run(tether::fuzz::AsText(data, size));
  return 0;
}
