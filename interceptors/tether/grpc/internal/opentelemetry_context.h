// OpenTelemetry's context within tether's.
//
// A context may have two values: the trace (TraceOf), and OpenTelemetry's
// context, with a span of that trace. Where the two name different spans, the
// trace was set later, and it counts.

#ifndef TETHER_GRPC_INTERNAL_OPENTELEMETRY_CONTEXT_H_
#define TETHER_GRPC_INTERNAL_OPENTELEMETRY_CONTEXT_H_

#include "opentelemetry/context/context.h"
#include "tether/context.h"

namespace tether::internal {

// OpenTelemetry's context that belongs to `ctx`: its span is the one that `ctx`
// works in. Empty when there is nothing.
opentelemetry::context::Context OpenTelemetryContextOf(const Context& ctx);

// A child of `parent` to which `context` belongs. Where that has a span with a
// valid span context, this is the trace of the child.
Context WithOpenTelemetryContext(const Context& parent,
                                 opentelemetry::context::Context context);

// What the span of a call that works for `ctx` is a child of: see the top of
// opentelemetry.h. On the thread that makes the call.
opentelemetry::context::Context ParentOfCall(const Context& ctx);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_OPENTELEMETRY_CONTEXT_H_
