// OpenTelemetry's span of a context.
//
// Needs OpenTelemetry's API alone (1.19), which is headers, and no gRPC.

#ifndef TETHER_OPENTELEMETRY_SPAN_H_
#define TETHER_OPENTELEMETRY_SPAN_H_

#include "opentelemetry/context/runtime_context.h"
#include "opentelemetry/nostd/shared_ptr.h"
#include "opentelemetry/nostd/unique_ptr.h"
#include "opentelemetry/trace/span.h"
#include "tether/context.h"
#include "tether/export.h"

namespace tether {

// The span that `ctx` works in; never null. Of a trace that came from another
// process, or from WithTrace, it is one that records nothing; so is the one of
// a context without a trace, whose span context isn't valid either.
TETHER_EXPORT opentelemetry::nostd::shared_ptr<opentelemetry::trace::Span>
SpanOf(const Context& ctx);

// A child of `parent` that works in `span`; TraceOf names it. `parent` itself
// where `span` is null or has no valid span context (there is no SDK). Neither
// makes the span active nor ends it.
TETHER_EXPORT Context
WithSpan(const Context& parent,
         opentelemetry::nostd::shared_ptr<opentelemetry::trace::Span> span);

// Makes the span of `ctx` OpenTelemetry's active one, on this thread, for as
// long as what it returns lives; without a span in `ctx`, none is active then.
// For threads that work for a request. Keep it in a local variable: it must be
// destroyed on the same thread, as an opentelemetry::trace::Scope.
//
//   pool.Schedule([ctx] {
//     const auto active = tether::ActivateSpan(ctx);
//     ...
//   });
[[nodiscard]] TETHER_EXPORT
    opentelemetry::nostd::unique_ptr<opentelemetry::context::Token>
    ActivateSpan(const Context& ctx);

}  // namespace tether

#endif  // TETHER_OPENTELEMETRY_SPAN_H_
