// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/b3.h"

#include <algorithm>
#include <array>
#include <utility>

#include "tether/propagation/internal/hex.h"
#include "tether/propagation/internal/injected_bytes.h"
#include "tether/propagation/internal/random.h"
#include "tether/propagation/internal/sole_value.h"

namespace tether {
namespace {

using internal::ParseLowerHex;
using internal::WriteLowerHex;

constexpr size_t kIdDigits = 16;
constexpr size_t kLongIdDigits = 32;

// traceid-spanid-sampled-parentspanid
constexpr size_t kMaxSingle = kLongIdDigits + 1 + kIdDigits + 2 + 1 + kIdDigits;

constexpr std::array<std::string_view, 6> kFields = {
    kB3Header,      kB3TraceIdHeader,      kB3SpanIdHeader,
    kB3FlagsHeader, kB3ParentSpanIdHeader, kB3SampledHeader,
};

bool ParseTraceId(std::string_view text, std::array<uint8_t, 16>& id) {
  id = {};
  const bool parsed = (text.size() == kLongIdDigits &&
                       ParseLowerHex<16>(text.data(), id.data())) ||
                      (text.size() == kIdDigits &&
                       ParseLowerHex<8>(text.data(), id.data() + 8));
  return parsed && !internal::IsZeroId(id);
}

bool ParseSpanId(std::string_view text, std::array<uint8_t, 8>& id) {
  return text.size() == kIdDigits && ParseLowerHex<8>(text.data(), id.data()) &&
         !internal::IsZeroId(id);
}

void SetDebug(TraceContext& trace) {
  trace.debug = true;
  trace.sampling_deferred = false;
  trace.flags |= TraceContext::kSampled;
}

void SetSampled(TraceContext& trace, bool sampled) {
  trace.sampling_deferred = false;
  trace.flags = sampled ? TraceContext::kSampled : 0;
}

bool ParseSampled(std::string_view text, TraceContext& trace) {
  if (text == "d") {
    SetDebug(trace);
  } else if (text == "1" || text == "0") {
    SetSampled(trace, text == "1");
  } else {
    return false;
  }
  return true;
}

// Removes and returns the part before the next '-'.
std::string_view TakePart(std::string_view& text) {
  const size_t dash = text.find('-');
  const std::string_view part = text.substr(0, dash);
  text.remove_prefix(dash == std::string_view::npos ? text.size() : dash + 1);
  return part;
}

bool HasIds(const TraceContext& trace) {
  return !internal::IsZeroId(trace.trace_id);
}

// True if `ctx` has the trace named by the carrier's `traceparent`.
bool HasTraceOfW3c(const Carrier& carrier, const Context& ctx) {
  const TraceContext* trace = TraceOf(ctx);
  if (trace == nullptr) return false;
  const internal::SoleValue header =
      internal::GetSole(carrier, kTraceParentHeader);
  if (!header.value.has_value()) return false;
  const std::optional<TraceContext> named = ParseTraceParent(*header.value);
  return named.has_value() && named->trace_id == trace->trace_id &&
         named->span_id == trace->span_id;
}

// Returns the span id of this call: the id in the `traceparent` that has just
// been written for the same trace, or a new id.
std::array<uint8_t, 8> SpanIdOfCall(const TraceContext& trace,
                                    const Carrier& carrier) {
  const internal::SoleValue header =
      internal::GetSole(carrier, kTraceParentHeader);
  if (header.value.has_value()) {
    const std::optional<TraceContext> written = ParseTraceParent(*header.value);
    if (written.has_value() && written->trace_id == trace.trace_id) {
      return written->span_id;
    }
  }
  return internal::RandomId<8>();
}

char SampledDigit(const TraceContext& trace) {
  return trace.debug ? 'd' : trace.sampled() ? '1' : '0';
}

// The hex digits of an id, on the stack.
class Hex {
 public:
  template <size_t N>
  explicit Hex(const std::array<uint8_t, N>& id) : size_(2 * N) {
    static_assert(2 * N <= kLongIdDigits);
    WriteLowerHex(id.data(), N, digits_);
  }
  std::string_view text() const { return {digits_, size_}; }

  // A trace id whose upper half is zero came from a tracer with short ids.
  std::string_view trace_id_text() const {
    constexpr std::string_view kZeros = "0000000000000000";
    return text().substr(text().substr(0, kIdDigits) == kZeros ? kIdDigits : 0);
  }

 private:
  const size_t size_;
  char digits_[kLongIdDigits];
};

}  // namespace

std::optional<TraceContext> ParseB3(std::string_view header) {
  if (header.size() > kMaxSingle) return std::nullopt;
  TraceContext trace;
  trace.sampling_deferred = true;
  if (ParseSampled(header, trace)) return trace;
  // A '-' at the end would lack the part after it.
  if (header.empty() || header.back() == '-') return std::nullopt;
  if (!ParseTraceId(TakePart(header), trace.trace_id) ||
      !ParseSpanId(TakePart(header), trace.span_id)) {
    return std::nullopt;
  }
  if (header.empty()) return trace;
  if (!ParseSampled(TakePart(header), trace)) return std::nullopt;
  std::array<uint8_t, 8> parent;
  if (!header.empty() && !ParseSpanId(header, parent)) return std::nullopt;
  return trace;
}

B3Propagator::B3Propagator(B3Options options) : options_(options) {}

std::optional<std::string_view> B3Propagator::GetSole(
    const Carrier& carrier, std::string_view key) const {
  const internal::SoleValue sole = internal::GetSole(carrier, key);
  if (sole.repeated) dropped_.Add();
  return sole.value;
}

std::optional<TraceContext> B3Propagator::ReadMulti(
    const Carrier& carrier) const {
  const std::optional<std::string_view> trace_id =
      GetSole(carrier, kB3TraceIdHeader);
  const std::optional<std::string_view> span_id =
      GetSole(carrier, kB3SpanIdHeader);
  const std::optional<std::string_view> sampled =
      GetSole(carrier, kB3SampledHeader);
  const std::optional<std::string_view> flags =
      GetSole(carrier, kB3FlagsHeader);

  TraceContext trace;
  trace.sampling_deferred = true;
  if (trace_id.has_value() || span_id.has_value()) {
    if (!trace_id.has_value() || !span_id.has_value() ||
        !ParseTraceId(*trace_id, trace.trace_id) ||
        !ParseSpanId(*span_id, trace.span_id)) {
      dropped_.Add();
      return std::nullopt;
    }
  }
  if (sampled == "1" || sampled == "true") {  // older tracers write words
    SetSampled(trace, true);
  } else if (sampled == "0" || sampled == "false") {
    SetSampled(trace, false);
  } else if (sampled.has_value()) {
    dropped_.Add();
  }
  if (flags == "1") {
    SetDebug(trace);
  } else if (flags.has_value() && flags != "0") {
    dropped_.Add();
  }
  if (!HasIds(trace) && trace.sampling_deferred) return std::nullopt;
  return trace;
}

Context B3Propagator::Extract(const Carrier& carrier,
                              const Context& ctx) const {
  std::optional<TraceContext> trace;
  if (const std::optional<std::string_view> header =
          GetSole(carrier, kB3Header)) {
    trace = ParseB3(*header);
    if (!trace.has_value()) dropped_.Add();
  }
  if (!trace.has_value()) trace = ReadMulti(carrier);
  if (!trace.has_value() || HasTraceOfW3c(carrier, ctx)) return ctx;
  if (!HasIds(*trace)) {
    TraceContext fresh = NewTrace(trace->sampled());
    fresh.debug = trace->debug;
    trace = std::move(fresh);
  }
  return WithTrace(ctx, *std::move(trace));
}

void B3Propagator::Inject(const Context& ctx, Carrier& carrier) const {
  if (options_.write == B3Format::kNone) return;
  const TraceContext* trace = TraceOf(ctx);
  if (trace == nullptr) return;
  if (!trace->valid()) return dropped_.Add();
  const Hex trace_id(trace->trace_id);
  const Hex span_id(SpanIdOfCall(*trace, carrier));
  const Hex parent_id(trace->span_id);
  const char sampled = SampledDigit(*trace);
  if (options_.write == B3Format::kSingle) {
    char text[kMaxSingle];
    size_t size = 0;
    const auto append = [&text, &size](std::string_view part) {
      size += part.copy(text + size, part.size());
    };
    append(trace_id.trace_id_text());
    append("-");
    append(span_id.text());
    if (!trace->sampling_deferred) {
      append("-");
      append({&sampled, 1});
      append("-");
      append(parent_id.text());
    }
    return carrier.Set(kB3Header, {text, size});
  }
  carrier.Set(kB3TraceIdHeader, trace_id.trace_id_text());
  // The carrier may have kept ids that the application set.
  if (carrier.Get(kB3TraceIdHeader) != trace_id.trace_id_text()) return;
  carrier.Set(kB3SpanIdHeader, span_id.text());
  carrier.Set(kB3ParentSpanIdHeader, parent_id.text());
  if (trace->debug) {
    carrier.Set(kB3FlagsHeader, "1");
  } else if (!trace->sampling_deferred) {
    carrier.Set(kB3SampledHeader, {&sampled, 1});
  }
}

std::vector<std::string_view> B3Propagator::Fields() const {
  return {kFields.begin(), kFields.end()};
}

size_t B3Propagator::MaxInjectBytes(const Context&) const {
  switch (options_.write) {
    case B3Format::kNone:
      return 0;
    case B3Format::kSingle:
      return internal::InjectedBytes(kB3Header, kMaxSingle);
    case B3Format::kMulti:
      break;
  }
  return internal::InjectedBytes(kB3TraceIdHeader, kLongIdDigits) +
         internal::InjectedBytes(kB3SpanIdHeader, kIdDigits) +
         internal::InjectedBytes(kB3ParentSpanIdHeader, kIdDigits) +
         internal::InjectedBytes(kB3SampledHeader, 1);
}

int64_t B3Propagator::Dropped() const { return dropped_.count(); }

}  // namespace tether
