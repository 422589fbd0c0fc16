// SPDX-License-Identifier: Apache-2.0
//
// All propagators together, on sets of headers: the headers that they write
// obey the limits and can be sent, and the next hop accepts all of them. Each
// line of the input is a header, "name:value". A name of one letter means the
// header that kNames maps it to.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/fuzz/fuzz_check.h"
#include "tether/propagation/b3.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/codecs.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/edge.h"
#include "tether/propagation/header.h"
#include "tether/propagation/redact.h"
#include "tether/propagation/relay.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether::fuzz {
namespace {

inline constexpr Key<std::string> kText{"text"};
inline constexpr Key<std::string> kBinary{"binary"};

struct Name {
  std::string_view letter;
  std::string_view header;
};
constexpr Name kNames[] = {
    {"b", kBaggageHeader},     {"i", kRequestIdHeader},
    {"p", kTraceParentHeader}, {"s", kTraceStateHeader},
    {"t", "x-text"},           {"u", "x-binary-bin"},
    {"r", "x-relayed"},        {"q", "x-relayed-bin"},
    {"3", kB3Header},          {"4", kB3SampledHeader},
};

std::string_view NameOf(std::string_view text) {
  for (const Name& name : kNames) {
    if (name.letter == text) return name.header;
  }
  return text;
}

std::shared_ptr<const CompositePropagator> Everything(InjectLimits limits) {
  B3Options b3;
  b3.write = B3Format::kMulti;
  return std::make_shared<CompositePropagator>(
      limits, TraceContextPropagator(), B3Propagator(b3), RequestIdPropagator(),
      BaggagePropagator(),
      HeaderPropagator<std::string>(kText, "x-text", StringCodec()),
      HeaderPropagator<std::string>(kBinary, "x-binary-bin", StringCodec()),
      RelayPropagator(std::vector<std::string>{"x-relayed", "x-relayed-bin"}));
}

size_t BytesOf(const MapCarrier& carrier) {
  size_t bytes = 0;
  for (const auto& [key, value] : carrier.map()) {
    const bool is_binary =
        key.size() > 4 && key.substr(key.size() - 4) == "-bin";
    bytes += key.size() + 32 +
             (is_binary ? (value.size() + 2) / 3 * 4 : value.size());
    if (is_binary) continue;
    for (const char c : value) FUZZ_CHECK(c >= 0x20 && c <= 0x7e);
  }
  return bytes;
}

void Run(std::string_view text) {
  MapCarrier incoming;
  for (const std::string_view line : Lines(text)) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    incoming.Add(NameOf(line.substr(0, colon)), line.substr(colon + 1));
  }
  const auto all = Everything({});
  const Context ctx = all->Extract(incoming, Background());
  for (const InjectLimits limits :
       {InjectLimits{}, InjectLimits{300, 5}, InjectLimits{0, 0}}) {
    const auto limited = Everything(limits);
    MapCarrier outgoing;
    limited->Inject(ctx, outgoing);
    const size_t bytes = BytesOf(outgoing);
    FUZZ_CHECK(bytes <= limits.max_bytes);
    FUZZ_CHECK(bytes <= limited->MaxInjectBytes(ctx));
    FUZZ_CHECK(outgoing.map().size() <= limits.max_headers);
    if (outgoing.Get(kTraceStateHeader).has_value()) {
      FUZZ_CHECK(outgoing.Get(kTraceParentHeader).has_value());
    }

    const auto next = Everything(limits);
    const Context there = next->Extract(outgoing, Background());
    FUZZ_CHECK(next->Dropped() == 0);
    if (outgoing.Get(kBaggageHeader).has_value()) {
      FUZZ_CHECK(BaggageOf(there) == BaggageOf(ctx));
    }
    if (outgoing.Get(kRequestIdHeader).has_value()) {
      FUZZ_CHECK(*RequestIdOf(there) == *RequestIdOf(ctx));
    }
  }

  const Context outside = EdgePropagator(all).Extract(incoming, Background());
  FUZZ_CHECK(BaggageOf(outside).empty());
  FUZZ_CHECK(RequestIdOf(outside) == nullptr);
  FUZZ_CHECK(outside.Value(kText) == nullptr);
  FUZZ_CHECK(TraceOf(outside) != nullptr);

  RedactOptions redact;
  redact.headers = {"x-text"};
  redact.baggage_keys = {"k"};
  MapCarrier redacted;
  RedactPropagator(all, redact).Inject(ctx, redacted);
  FUZZ_CHECK(!redacted.Get("x-text").has_value());
  FUZZ_CHECK(!Baggage::Parse(redacted.Get(kBaggageHeader).value_or(""))
                  .Get("k")
                  .has_value());
}

}  // namespace
}  // namespace tether::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tether::fuzz::Run(tether::fuzz::AsText(data, size));
  return 0;
}
