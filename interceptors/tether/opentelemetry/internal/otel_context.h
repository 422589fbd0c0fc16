// SPDX-License-Identifier: Apache-2.0
//
// Stores OpenTelemetry's context in tether's.
//
// A context may have two values: the trace (TraceOf), and OpenTelemetry's
// context with a span of that trace. If the two name different spans, the trace
// was set later, and it is the valid one.

#ifndef TETHER_OPENTELEMETRY_INTERNAL_OTEL_CONTEXT_H_
#define TETHER_OPENTELEMETRY_INTERNAL_OTEL_CONTEXT_H_

#include "opentelemetry/context/context.h"
#include "tether/context.h"

namespace tether::internal {

// Returns the OpenTelemetry context of `ctx`. Its span is the span that `ctx`
// works in. Empty if `ctx` has neither value.
opentelemetry::context::Context OpenTelemetryContextOf(const Context& ctx);

// Returns a child of `parent` that holds `context`. If `context` has a span
// with a valid span context, that span becomes the trace of the child.
Context WithOpenTelemetryContext(const Context& parent,
                                 opentelemetry::context::Context context);

// Returns the parent for the span of a call on behalf of `ctx`; see the top of
// interceptors.h. Call it on the thread that makes the call.
opentelemetry::context::Context ParentOfCall(const Context& ctx);

// Returns the context that ActivateSpan makes active for `ctx`: a new one for
// each call. ParentOfCall recognises it, and the contexts that are derived from
// it.
opentelemetry::context::Context ActiveContextOf(const Context& ctx);

}  // namespace tether::internal

#endif  // TETHER_OPENTELEMETRY_INTERNAL_OTEL_CONTEXT_H_
