// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/trace_context.h"

#include <cstring>
#include <utility>

#include "tether/internal/exceptions.h"
#include "tether/propagation/internal/hex.h"
#include "tether/propagation/internal/injected_bytes.h"
#include "tether/propagation/internal/random.h"
#include "tether/propagation/internal/sole_value.h"
#include "tether/propagation/internal/trace_state_list.h"

namespace tether {
namespace {

using internal::ParseLowerHex;
using internal::TraceStateList;
using internal::WriteLowerHex;

// version-traceid-spanid-flags
constexpr size_t kTraceIdAt = 3;
constexpr size_t kSpanIdAt = 36;
constexpr size_t kFlagsAt = 53;
constexpr size_t kLength = 55;

// Each header should have a member.
constexpr int kMaxTraceStateHeaders = TraceStateList::kMaxMembers;

template <size_t N>
std::string IdHex(const std::array<uint8_t, N>& id) {
  std::string hex(2 * N, '0');
  WriteLowerHex(id.data(), N, hex.data());
  return hex;
}

void WriteSpanIdAndFlags(const std::array<uint8_t, 8>& span_id, uint8_t flags,
                         char* header) {
  constexpr char kDigits[] = "0123456789abcdef";
  WriteLowerHex(span_id.data(), span_id.size(), header + kSpanIdAt);
  header[kFlagsAt - 1] = '-';
  header[kFlagsAt] = kDigits[flags >> 4];
  header[kFlagsAt + 1] = kDigits[flags & 0xf];
}

void WriteVersionAndTraceId(const std::array<uint8_t, 16>& trace_id,
                            char* header) {
  header[0] = header[1] = '0';
  header[kTraceIdAt - 1] = header[kSpanIdAt - 1] = '-';
  WriteLowerHex(trace_id.data(), trace_id.size(), header + kTraceIdAt);
}

struct HeldTrace {
  HeldTrace() = default;  // for Extract, which sets the rest
  HeldTrace(TraceContext held, bool canonical)
      : trace(std::move(held)), state_is_canonical(canonical) {
    WriteVersionAndTraceId(trace.trace_id, prefix);
  }

  TraceContext trace;
  // True if the state is normalized as by Extract, and can be sent unchanged.
  bool state_is_canonical = true;
  // The `traceparent` up to the span id, which all calls have in common.
  char prefix[kSpanIdAt];
};

constexpr Key<HeldTrace> kTrace{"trace"};

// True if `header` has the span id of `text`; new ids identify a header.
// Compares halves, because data is read back fastest in the pieces in which it
// was written.
bool HasSpanIdOf(std::string_view header, const char* text) {
  return header.size() == kLength &&
         std::memcmp(header.data() + kSpanIdAt, text + kSpanIdAt, 8) == 0 &&
         std::memcmp(header.data() + kSpanIdAt + 8, text + kSpanIdAt + 8, 8) ==
             0;
}

// Does what ParseTraceParent says. Returns false, and leaves `trace` undefined,
// for what it rejects.
bool Parse(std::string_view header, TraceContext& trace) {
  if (header.size() < kLength) return false;
  uint8_t version;
  if (!ParseLowerHex<1>(header.data(), &version) || version == 0xff) {
    return false;
  }
  if (header.size() > kLength && (version == 0 || header[kLength] != '-')) {
    return false;
  }
  if (header[kTraceIdAt - 1] != '-' || header[kSpanIdAt - 1] != '-' ||
      header[kFlagsAt - 1] != '-') {
    return false;
  }
  if ((internal::BadLowerHex<16>(header.data() + kTraceIdAt,
                                 trace.trace_id.data()) |
       internal::BadLowerHex<8>(header.data() + kSpanIdAt,
                                trace.span_id.data()) |
       internal::BadLowerHex<1>(header.data() + kFlagsAt, &trace.flags)) != 0 ||
      !trace.valid()) {
    return false;
  }
  if (version != 0) trace.flags &= TraceContext::kSampled;
  return true;
}

bool IsCanonicalState(std::string_view state) {
  if (state.empty()) return true;
  TraceStateList list;
  return list.Append(state) && list.duplicates() == 0 &&
         list.bytes() == state.size();
}

}  // namespace

bool TraceContext::valid() const {
  return !internal::IsZeroId(trace_id) && !internal::IsZeroId(span_id);
}

std::string TraceContext::TraceIdHex() const { return IdHex(trace_id); }
std::string TraceContext::SpanIdHex() const { return IdHex(span_id); }

TraceContext NewTrace(bool sampled) {
  TraceContext trace;
  trace.trace_id = internal::RandomId<16>();
  trace.span_id = internal::RandomId<8>();
  trace.flags = TraceContext::kRandom | (sampled ? TraceContext::kSampled : 0);
  return trace;
}

std::optional<TraceContext> ParseTraceParent(std::string_view header) {
  std::optional<TraceContext> trace(std::in_place);
  if (!Parse(header, *trace)) trace.reset();
  return trace;
}

std::string FormatTraceParent(const TraceContext& trace) {
  std::string header(kLength, '\0');
  WriteVersionAndTraceId(trace.trace_id, header.data());
  WriteSpanIdAndFlags(trace.span_id, trace.flags, header.data());
  return header;
}

const TraceContext* TraceOf(const Context& ctx) {
  const HeldTrace* held = ctx.Value(kTrace);
  return held == nullptr ? nullptr : &held->trace;
}

Context WithTrace(const Context& parent, TraceContext trace) {
  const bool is_canonical = IsCanonicalState(trace.trace_state);
  return WithValue(parent, kTrace, {std::move(trace), is_canonical});
}

TraceContextPropagator::TraceContextPropagator(TraceContextOptions options)
    : options_(std::move(options)),
      max_inject_bytes_(internal::AddBytes(
          internal::InjectedBytes(kTraceParentHeader, kLength),
          internal::InjectedBytes(kTraceStateHeader,
                                  options_.max_trace_state_bytes))) {}

Context TraceContextPropagator::Extract(const Carrier& carrier,
                                        const Context& ctx) const {
  const internal::SoleValue header =
      internal::GetSole(carrier, kTraceParentHeader);
  if (header.value.has_value()) {
    HeldTrace held;
    if (Parse(*header.value, held.trace)) {
      held.trace.trace_state = ExtractTraceState(carrier);
      std::memcpy(held.prefix, header.value->data(), sizeof held.prefix);
      held.prefix[0] = held.prefix[1] = '0';  // the version
      return WithValue(ctx, kTrace, std::move(held));
    }
  }
  if (header.value.has_value() || header.repeated) dropped_.Add();
  if (!options_.start_new || TraceOf(ctx) != nullptr) return ctx;
  TraceContext trace = NewTrace();
  if (options_.sampled_by) {
    TETHER_TRY {
      if (options_.sampled_by(ctx, trace)) {
        trace.flags |= TraceContext::kSampled;
      }
    }
    TETHER_CATCH(...) { dropped_.Add(); }
  }
  return WithValue(ctx, kTrace, {std::move(trace), true});
}

std::string TraceContextPropagator::ExtractTraceState(
    const Carrier& carrier) const {
  std::optional<std::string_view> header = carrier.Get(kTraceStateHeader);
  if (!header.has_value()) return std::string();
  TraceStateList list;
  const std::string_view first = *header;
  int headers = 0;
  do {
    if (headers == kMaxTraceStateHeaders || !list.Append(*header)) {
      dropped_.Add();
      return std::string();
    }
    header = carrier.Get(kTraceStateHeader, ++headers);
  } while (header.has_value());
  const int left_out =
      list.duplicates() + list.Truncate(options_.max_trace_state_bytes);
  if (left_out != 0) dropped_.Add(left_out);
  // The common case: nothing was removed, not even a blank.
  if (headers == 1 && list.bytes() == first.size()) return std::string(first);
  return list.ToString();
}

void TraceContextPropagator::Inject(const Context& ctx,
                                    Carrier& carrier) const {
  const HeldTrace* held = ctx.Value(kTrace);
  if (held == nullptr) return;
  const TraceContext& trace = held->trace;
  if (!trace.valid()) return dropped_.Add();
  // On the stack, because std::string would allocate.
  char text[kLength];
  std::memcpy(text, held->prefix, sizeof held->prefix);
  // The standard requires undefined bits to be sent as zero.
  WriteSpanIdAndFlags(
      internal::RandomId<8>(),
      trace.flags & (TraceContext::kSampled | TraceContext::kRandom), text);
  const std::string_view header(text, kLength);
  carrier.Set(kTraceParentHeader, header);
  if (trace.trace_state.empty()) return;
  // The carrier may have kept a `traceparent` that the application set. Our
  // state doesn't belong to that trace.
  const std::optional<std::string_view> kept = carrier.Get(kTraceParentHeader);
  if (!kept.has_value() || !HasSpanIdOf(*kept, text)) return;
  InjectTraceState(trace, held->state_is_canonical, carrier);
}

void TraceContextPropagator::InjectTraceState(const TraceContext& trace,
                                              bool is_canonical,
                                              Carrier& carrier) const {
  const std::string_view state = trace.trace_state;
  if (is_canonical && state.size() <= options_.max_trace_state_bytes) {
    return carrier.Set(kTraceStateHeader, state);
  }
  TraceStateList list;
  if (!list.Append(state)) return dropped_.Add();
  const int left_out =
      list.duplicates() + list.Truncate(options_.max_trace_state_bytes);
  if (left_out != 0) dropped_.Add(left_out);
  if (list.size() != 0) carrier.Set(kTraceStateHeader, list.ToString());
}

std::vector<std::string_view> TraceContextPropagator::Fields() const {
  return {kTraceParentHeader, kTraceStateHeader};
}

size_t TraceContextPropagator::MaxInjectBytes(const Context&) const {
  return max_inject_bytes_;
}

int64_t TraceContextPropagator::Dropped() const { return dropped_.count(); }

}  // namespace tether
