// The trace that a request belongs to, as in W3C Trace Context, level 1 and 2
// (https://www.w3.org/TR/trace-context/,
// https://www.w3.org/TR/trace-context-2/): the headers `traceparent` and
// `tracestate`.
//
// tether records no spans. It keeps the thread of a trace from breaking: what
// came in with a request goes out with every call that the request makes, so
// that tracers before and behind see one trace, and logs can name it.

#ifndef TETHER_PROPAGATION_TRACE_CONTEXT_H_
#define TETHER_PROPAGATION_TRACE_CONTEXT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/drop_counter.h"
#include "tether/propagation/propagator.h"
#include "tether/propagation/trace_state.h"

namespace tether {

inline constexpr std::string_view kTraceParentHeader = "traceparent";
inline constexpr std::string_view kTraceStateHeader = "tracestate";

// A position in a trace: a value, copied freely.
struct TETHER_EXPORT TraceContext {
  static constexpr uint8_t kSampled = 0x01;
  // Of level 2 of the standard: the trace id is random.
  static constexpr uint8_t kRandom = 0x02;

  // Big-endian, as they are written. An id of all zeros means "none".
  std::array<uint8_t, 16> trace_id = {};
  std::array<uint8_t, 8> span_id = {};

  uint8_t flags = 0;

  // What only B3 can say (b3.h), beside `flags`: to trace this whatever a
  // sampler says; and that nobody has decided yet, so `sampled()` is false.
  bool debug = false;
  bool sampling_deferred = false;

  // What tracers tell one another, as one header (trace_state.h). Empty: none.
  std::string trace_state;

  // Whether both ids are there, without which nothing is sent.
  bool valid() const;
  bool sampled() const { return (flags & kSampled) != 0; }

  // The ids in lower-case hex: 32 and 16 digits.
  std::string TraceIdHex() const;
  std::string SpanIdHex() const;

  friend bool operator==(const TraceContext& a, const TraceContext& b) {
    return a.trace_id == b.trace_id && a.span_id == b.span_id &&
           a.flags == b.flags && a.debug == b.debug &&
           a.sampling_deferred == b.sampling_deferred &&
           a.trace_state == b.trace_state;
  }
  friend bool operator!=(const TraceContext& a, const TraceContext& b) {
    return !(a == b);
  }
};

// A new trace, with random ids, which its flag kRandom says. The ids need not
// be secure: they have to be distinct, and nothing may rest on their being
// unguessable. Not sampled unless told so.
TETHER_EXPORT TraceContext NewTrace(bool sampled = false);

// Reads a `traceparent`: version-traceid-spanid-flags, in lower-case hex.
//
//   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//
// Returns nullopt for anything that the standard rejects: version 00 with a
// length other than 55; upper-case or other characters; an id of all zeros;
// version ff. Of a higher version the first 55 characters count, if they end
// the header or are followed by '-', and of its flags only `sampled`, since the
// others may mean something else there. `trace_state` of the result is empty.
TETHER_EXPORT std::optional<TraceContext> ParseTraceParent(
    std::string_view header);

// Writes `trace` as a `traceparent` of version 00: 55 characters, whatever the
// ids are.
TETHER_EXPORT std::string FormatTraceParent(const TraceContext& trace);

// The trace that `ctx` belongs to; null when it belongs to none. Valid as long
// as `ctx`, or a context made from it, exists.
TETHER_EXPORT const TraceContext* TraceOf(const Context& ctx);

// A child of `parent` that belongs to `trace`. An invalid one ends the trace:
// nothing is sent on behalf of the child.
TETHER_EXPORT Context WithTrace(const Context& parent, TraceContext trace);

// Decides whether a trace that starts here is sampled: given the context that
// it starts in, and the new trace. Called from any thread, also at the same
// time. One that throws says no, and counts as a drop.
using TraceSampler =
    std::function<bool(const Context& ctx, const TraceContext& trace)>;

struct TraceContextOptions {
  // Whether Extract starts a trace where no good one came in and `ctx` has
  // none.
  bool start_new = false;

  // A longer `tracestate` loses members until it fits, as the standard orders:
  // first those longer than 128 characters, then from the end. The standard
  // asks for at least 512.
  size_t max_trace_state_bytes = kMaxTraceStateBytes;

  // For traces that `start_new` starts. Null: none of them is sampled.
  TraceSampler sampled_by = nullptr;
};

// Carries the TraceContext over a hop.
//
// Extract takes the trace from `traceparent`. Where that is absent, malformed
// or sent with two values, `tracestate` is ignored too. Several `tracestate`
// headers are one list, and are joined; blanks and empty members go. A list
// with an illegal member, of more than 32, or in more than 32 headers is
// dropped, and the trace kept; of two members with one key the first stays.
//
// Inject writes the same trace id, the flags that the standard defines, the
// `tracestate` as it was, and a span id that is new and random for each call,
// so that two calls of one handler can be told apart. It starts no traces: its
// caller would not learn of them. Use WithTrace(ctx, NewTrace()).
//
// Thread safety: any thread.
//
// Example:
//
//   tether::TraceContextPropagator propagator;
//   tether::Context ctx = propagator.Extract(request_headers, server_ctx);
//   if (const tether::TraceContext* trace = tether::TraceOf(ctx)) {
//     Log("trace ", trace->TraceIdHex());
//   }
//   propagator.Inject(ctx, call_headers);  // for each outgoing call
class TETHER_EXPORT TraceContextPropagator final : public Propagator {
 public:
  explicit TraceContextPropagator(TraceContextOptions options = {});

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;
  std::vector<std::string_view> Fields() const override;

  size_t MaxInjectBytes(const Context& ctx) const override;

  // Counts a bad or repeated `traceparent`, a bad `tracestate`, each of its
  // members that was left out for the limit or for its key, an invalid trace
  // that Inject was asked to send, and a sampler that threw: one each.
  int64_t Dropped() const override;

 private:
  std::string ExtractTraceState(const Carrier& carrier) const;
  void InjectTraceState(const TraceContext& trace, bool is_canonical,
                        Carrier& carrier) const;

  const TraceContextOptions options_;
  const size_t max_inject_bytes_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_TRACE_CONTEXT_H_
