// SPDX-License-Identifier: Apache-2.0
//
// OpenTelemetry's context within tether's.
//
// A context may have two values: the trace (TraceOf), and OpenTelemetry's
// context, with a span of that trace. Where the two name different spans, the
// trace was set later, and it counts.

#ifndef TETHER_OPENTELEMETRY_INTERNAL_OTEL_CONTEXT_H_
#define TETHER_OPENTELEMETRY_INTERNAL_OTEL_CONTEXT_H_

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

// The parent of the span of a call that works for `ctx`: see the top of
// interceptors.h. Call it on the thread that makes the call.
opentelemetry::context::Context ParentOfCall(const Context& ctx);

// The context that ActivateSpan makes active for `ctx`. It is a new one at each
// call. ParentOfCall recognises it, and the contexts that are derived from it.
opentelemetry::context::Context ActiveContextOf(const Context& ctx);

}  // namespace tether::internal

#endif  // TETHER_OPENTELEMETRY_INTERNAL_OTEL_CONTEXT_H_
