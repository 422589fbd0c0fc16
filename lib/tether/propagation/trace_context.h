// SPDX-License-Identifier: Apache-2.0
//
// The trace of a request, as defined by W3C Trace Context, levels 1 and 2
// (https://www.w3.org/TR/trace-context/,
// https://www.w3.org/TR/trace-context-2/): the headers `traceparent` and
// `tracestate`.
//
// tether records no spans. It keeps traces intact: each call that is made for a
// request carries the request's trace. So tracers on both sides see one trace,
// and logs can name it.

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

// A position in a trace. A plain value.
struct TETHER_EXPORT TraceContext {
  static constexpr uint8_t kSampled = 0x01;
  // Level 2 of the standard: the trace id is random.
  static constexpr uint8_t kRandom = 0x02;

  // Big-endian, in the order in which they are written. An id of all zeros
  // means "none".
  std::array<uint8_t, 16> trace_id = {};
  std::array<uint8_t, 8> span_id = {};

  uint8_t flags = 0;

  // Set by B3 only (b3.h). `debug`: trace this request regardless of samplers.
  // `sampling_deferred`: no sampling decision has been made yet, and sampled()
  // is false.
  bool debug = false;
  bool sampling_deferred = false;

  // Data of the tracers, as one header value (trace_state.h). Empty: none.
  std::string trace_state;

  // Returns true if both ids are set. Invalid traces are not sent.
  bool valid() const;
  bool sampled() const { return (flags & kSampled) != 0; }

  // Return the ids in lower-case hex: 32 and 16 digits.
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

// Returns a new trace with random ids, and sets its flag kRandom. The ids are
// unique, but not cryptographically secure: don't rely on them being
// unguessable.
TETHER_EXPORT TraceContext NewTrace(bool sampled = false);

// Parses a `traceparent`: version-traceid-spanid-flags, in lower-case hex.
//
//   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//
// Returns nullopt for anything that the standard rejects: version 00 with a
// length other than 55; upper-case or other characters; an id of all zeros;
// version ff. For higher versions, only the first 55 characters are read; they
// must end the header or be followed by '-'. Only the flag `sampled` is kept
// then, because others may have a different meaning. `trace_state` of the
// result is empty.
TETHER_EXPORT std::optional<TraceContext> ParseTraceParent(
    std::string_view header);

// Formats `trace` as a `traceparent` of version 00: 55 characters, even if the
// ids are zero.
TETHER_EXPORT std::string FormatTraceParent(const TraceContext& trace);

// Returns the trace that `ctx` belongs to, or null if there is none. Valid
// while `ctx` or a context derived from it exists.
TETHER_EXPORT const TraceContext* TraceOf(const Context& ctx);

// Returns a child of `parent` that belongs to `trace`. An invalid `trace` ends
// the trace: calls for the child carry none.
TETHER_EXPORT Context WithTrace(const Context& parent, TraceContext trace);

// Decides whether `trace`, which starts in `ctx`, is sampled. Called from any
// thread, also concurrently. If it throws, the trace is not sampled and a drop
// is counted.
using TraceSampler =
    std::function<bool(const Context& ctx, const TraceContext& trace)>;

struct TraceContextOptions {
  // If true, Extract starts a trace when no valid one arrived and `ctx` has
  // none.
  bool start_new = false;

  // If a `tracestate` is longer, members are removed until it fits, in the
  // order that the standard requires: first members longer than 128 characters,
  // then from the end. The standard requires a limit of at least 512.
  size_t max_trace_state_bytes = kMaxTraceStateBytes;

  // Decides which traces that `start_new` starts are sampled. Null: none.
  TraceSampler sampled_by = nullptr;
};

// Carries the TraceContext over a hop.
//
// Extract reads the trace from `traceparent`. If that is absent, malformed or
// repeated with different values, `tracestate` is ignored too. Several
// `tracestate` headers are joined into one list, without blanks and empty
// members. If two members have the same key, the first is kept. If a list has
// an illegal member, more than 32 members, or more than 32 headers, it is
// dropped and the trace is kept.
//
// Inject writes the same trace id, the flags that the standard defines, the
// unchanged `tracestate`, and a new random span id for each call, so two calls
// of one handler can be distinguished. It never starts a trace, because its
// caller would not know the id. Use WithTrace(ctx, NewTrace()).
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

  // Counts each malformed or repeated `traceparent`, each malformed
  // `tracestate`, each `tracestate` member removed because of the limit or a
  // duplicate key, each invalid trace that Inject was asked to send, and each
  // exception of the sampler.
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
