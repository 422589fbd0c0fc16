// SPDX-License-Identifier: Apache-2.0

#include "tether/opentelemetry/internal/otel_context.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "opentelemetry/context/runtime_context.h"
#include "opentelemetry/trace/context.h"
#include "opentelemetry/trace/default_span.h"
#include "opentelemetry/trace/span_context.h"
#include "opentelemetry/trace/trace_state.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

namespace nostd = opentelemetry::nostd;
namespace trace = opentelemetry::trace;
using OtelContext = opentelemetry::context::Context;

constexpr Key<OtelContext> kOpenTelemetry{"opentelemetry"};

// Stores the tether span that an active context was made for. Contexts that the
// application derives from it (with trace::Scope, for example) keep the value.
constexpr char kMadeFor[] = "tether.span";

uint64_t Bits(const TraceContext& trace) {
  uint64_t bits;
  std::memcpy(&bits, trace.span_id.data(), sizeof bits);
  return bits;
}

bool SameTrace(const TraceContext& a, const trace::SpanContext& b) {
  const auto id = b.trace_id().Id();
  return std::equal(a.trace_id.begin(), a.trace_id.end(), id.begin());
}

bool SameSpan(const TraceContext& a, const trace::SpanContext& b) {
  const auto id = b.span_id().Id();
  return SameTrace(a, b) &&
         std::equal(a.span_id.begin(), a.span_id.end(), id.begin());
}

TraceContext ToTrace(const trace::SpanContext& span) {
  TraceContext result;
  span.trace_id().CopyBytesTo(result.trace_id);
  span.span_id().CopyBytesTo(result.span_id);
  result.flags = span.trace_flags().flags();
  if (!span.trace_state()->Empty()) {
    result.trace_state = span.trace_state()->ToHeader();
  }
  return result;
}

// Marked as remote, because no span of this process is known to have it.
trace::SpanContext ToSpanContext(const TraceContext& from) {
  return trace::SpanContext(
      trace::TraceId(from.trace_id), trace::SpanId(from.span_id),
      trace::TraceFlags(from.flags), /*is_remote=*/true,
      from.trace_state.empty()
          ? trace::TraceState::GetDefault()
          : trace::TraceState::FromHeader(from.trace_state));
}

}  // namespace

namespace internal {

OtelContext OpenTelemetryContextOf(const Context& ctx) {
  const OtelContext* stored = ctx.Value(kOpenTelemetry);
  OtelContext result = stored == nullptr ? OtelContext() : *stored;
  const TraceContext* trace = TraceOf(ctx);
  if (trace == nullptr || (!trace->valid() && stored == nullptr) ||
      SameSpan(*trace, trace::GetSpan(result)->GetContext())) {
    return result;
  }
  return trace::SetSpan(result,
                        nostd::shared_ptr<trace::Span>(
                            new trace::DefaultSpan(ToSpanContext(*trace))));
}

Context WithOpenTelemetryContext(const Context& parent, OtelContext context) {
  const trace::SpanContext span = trace::GetSpan(context)->GetContext();
  Context ctx = WithValue(parent, kOpenTelemetry, std::move(context));
  if (!span.IsValid()) return ctx;
  const TraceContext* trace = TraceOf(parent);
  if (trace != nullptr && SameSpan(*trace, span)) return ctx;
  TraceContext result = ToTrace(span);
  if (trace != nullptr && SameTrace(*trace, span)) {
    // OpenTelemetry has no place for `debug`, and forgets kRandom.
    result.debug = trace->debug;
    result.flags |= trace->flags & TraceContext::kRandom;
  }
  return WithTrace(ctx, std::move(result));
}

OtelContext ParentOfCall(const Context& ctx) {
  OtelContext active = opentelemetry::context::RuntimeContext::GetCurrent();
  const TraceContext* trace = TraceOf(ctx);
  if (trace == nullptr) return active;
  const auto made_for = active.GetValue(kMadeFor);
  if (nostd::holds_alternative<uint64_t>(made_for) &&
      nostd::get<uint64_t>(made_for) == Bits(*trace) &&
      SameTrace(*trace, trace::GetSpan(active)->GetContext())) {
    return active;
  }
  return OpenTelemetryContextOf(ctx);
}

OtelContext ActiveContextOf(const Context& ctx) {
  OtelContext context = OpenTelemetryContextOf(ctx);
  const TraceContext* trace = TraceOf(ctx);
  return context.SetValue(kMadeFor,
                          trace == nullptr ? uint64_t{0} : Bits(*trace));
}

}  // namespace internal
}  // namespace tether
