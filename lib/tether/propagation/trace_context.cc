#include "tether/propagation/trace_context.h"

#include <utility>

#include "tether/propagation/internal/header_text.h"
#include "tether/propagation/internal/random.h"
#include "tether/propagation/internal/sole_value.h"

namespace tether {
namespace {

constexpr Key<TraceContext> kTrace{"trace"};

// version-traceid-spanid-flags
constexpr size_t kTraceIdAt = 3;
constexpr size_t kSpanIdAt = 36;
constexpr size_t kFlagsAt = 53;
constexpr size_t kLength = 55;

// The standard's limit on list members. A header without any is no use.
constexpr int kMaxTraceStateHeaders = 32;

// -1 unless `c` is a lower-case hex digit.
int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// Reads 2 * n digits from `text` on into `bytes`.
bool ParseHex(const char* text, size_t n, uint8_t* bytes) {
  for (size_t i = 0; i < n; ++i) {
    const int high = HexValue(text[2 * i]);
    const int low = HexValue(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

void WriteHex(const uint8_t* bytes, size_t n, char* text) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (size_t i = 0; i < n; ++i) {
    text[2 * i] = kDigits[bytes[i] >> 4];
    text[2 * i + 1] = kDigits[bytes[i] & 0xf];
  }
}

template <size_t N>
bool IsZero(const std::array<uint8_t, N>& id) {
  return id == std::array<uint8_t, N>{};
}

template <size_t N>
std::string IdHex(const std::array<uint8_t, N>& id) {
  std::string hex(2 * N, '0');
  WriteHex(id.data(), N, hex.data());
  return hex;
}

template <size_t N>
void FillRandom(std::array<uint8_t, N>& id) {
  static_assert(N % 8 == 0);
  do {
    for (size_t i = 0; i < N; i += 8) {
      const uint64_t bits = internal::RandomBits();
      for (size_t b = 0; b < 8; ++b) {
        id[i + b] = static_cast<uint8_t>(bits >> (8 * b));
      }
    }
  } while (IsZero(id));
}

// Inject writes each header on the stack, since it is too long for the small
// buffer of a std::string.
void WriteTraceParent(const std::array<uint8_t, 16>& trace_id,
                      const std::array<uint8_t, 8>& span_id, uint8_t flags,
                      char* text) {
  text[0] = text[1] = '0';
  text[kTraceIdAt - 1] = text[kSpanIdAt - 1] = text[kFlagsAt - 1] = '-';
  WriteHex(trace_id.data(), trace_id.size(), text + kTraceIdAt);
  WriteHex(span_id.data(), span_id.size(), text + kSpanIdAt);
  WriteHex(&flags, 1, text + kFlagsAt);
}

}  // namespace

bool TraceContext::valid() const {
  return !IsZero(trace_id) && !IsZero(span_id);
}

std::string TraceContext::TraceIdHex() const { return IdHex(trace_id); }
std::string TraceContext::SpanIdHex() const { return IdHex(span_id); }

TraceContext NewTrace(bool sampled) {
  TraceContext trace;
  FillRandom(trace.trace_id);
  FillRandom(trace.span_id);
  trace.flags = sampled ? TraceContext::kSampled : 0;
  return trace;
}

std::optional<TraceContext> ParseTraceParent(std::string_view header) {
  if (header.size() < kLength) return std::nullopt;
  uint8_t version;
  if (!ParseHex(header.data(), 1, &version) || version == 0xff) {
    return std::nullopt;
  }
  if (header.size() > kLength && (version == 0 || header[kLength] != '-')) {
    return std::nullopt;
  }
  if (header[kTraceIdAt - 1] != '-' || header[kSpanIdAt - 1] != '-' ||
      header[kFlagsAt - 1] != '-') {
    return std::nullopt;
  }
  TraceContext trace;
  if (!ParseHex(header.data() + kTraceIdAt, trace.trace_id.size(),
                trace.trace_id.data()) ||
      !ParseHex(header.data() + kSpanIdAt, trace.span_id.size(),
                trace.span_id.data()) ||
      !ParseHex(header.data() + kFlagsAt, 1, &trace.flags) || !trace.valid()) {
    return std::nullopt;
  }
  if (version != 0) trace.flags &= TraceContext::kSampled;
  return trace;
}

std::string FormatTraceParent(const TraceContext& trace) {
  std::string header(kLength, '\0');
  WriteTraceParent(trace.trace_id, trace.span_id, trace.flags, header.data());
  return header;
}

const TraceContext* TraceOf(const Context& ctx) { return ctx.Value(kTrace); }

Context WithTrace(const Context& parent, TraceContext trace) {
  return WithValue(parent, kTrace, std::move(trace));
}

TraceContextPropagator::TraceContextPropagator(TraceContextOptions options)
    : options_(options) {}

Context TraceContextPropagator::Extract(const Carrier& carrier,
                                        const Context& ctx) const {
  const internal::SoleValue header =
      internal::GetSole(carrier, kTraceParentHeader);
  if (header.value.has_value()) {
    if (std::optional<TraceContext> trace = ParseTraceParent(*header.value)) {
      trace->trace_state = ExtractTraceState(carrier);
      return WithTrace(ctx, *std::move(trace));
    }
  }
  if (header.value.has_value() || header.repeated) CountDrop();
  if (options_.start_new && TraceOf(ctx) == nullptr) {
    return WithTrace(ctx, NewTrace());
  }
  return ctx;
}

std::string TraceContextPropagator::ExtractTraceState(
    const Carrier& carrier) const {
  std::string joined;
  for (int index = 0;; ++index) {
    const std::optional<std::string_view> part =
        carrier.Get(kTraceStateHeader, index);
    if (!part.has_value()) break;
    // Before the copy, so that nobody makes us gather a megabyte.
    if (index == kMaxTraceStateHeaders ||
        part->size() > options_.max_trace_state_bytes) {
      CountDrop();
      return std::string();
    }
    if (part->empty()) continue;
    if (!joined.empty()) joined += ',';
    joined += *part;
  }
  if (!IsGoodTraceState(joined)) {
    CountDrop();
    return std::string();
  }
  return joined;
}

bool TraceContextPropagator::IsGoodTraceState(std::string_view text) const {
  return text.size() <= options_.max_trace_state_bytes &&
         internal::IsHeaderText(text);
}

void TraceContextPropagator::Inject(const Context& ctx,
                                    Carrier& carrier) const {
  const TraceContext* trace = TraceOf(ctx);
  if (trace == nullptr) return;
  if (!trace->valid()) return CountDrop();
  std::array<uint8_t, 8> span_id;
  FillRandom(span_id);
  char text[kLength];
  // The standard: bits that it does not define are sent as zero.
  WriteTraceParent(
      trace->trace_id, span_id,
      trace->flags & (TraceContext::kSampled | TraceContext::kRandom), text);
  const std::string_view header(text, kLength);
  carrier.Set(kTraceParentHeader, header);
  if (trace->trace_state.empty()) return;
  // The carrier may have kept a trace of the application's own, which our state
  // does not belong to.
  if (carrier.Get(kTraceParentHeader) != header) return;
  if (!IsGoodTraceState(trace->trace_state)) return CountDrop();
  carrier.Set(kTraceStateHeader, trace->trace_state);
}

std::vector<std::string_view> TraceContextPropagator::Fields() const {
  return {kTraceParentHeader, kTraceStateHeader};
}

int64_t TraceContextPropagator::Dropped() const {
  return dropped_.load(std::memory_order_relaxed);
}

}  // namespace tether
