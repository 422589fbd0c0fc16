// SPDX-License-Identifier: Apache-2.0
//
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

// The span that `ctx` works in; never null. If the trace came from another
// process or from WithTrace, the span records nothing. If `ctx` has no trace,
// the span records nothing, and its span context is invalid.
TETHER_EXPORT opentelemetry::nostd::shared_ptr<opentelemetry::trace::Span>
SpanOf(const Context& ctx);

// A child of `parent` that works in `span`; TraceOf returns that span. If
// `span` is null, or its span context is invalid because there is no SDK,
// returns `parent`. Neither makes the span active nor ends it.
TETHER_EXPORT Context
WithSpan(const Context& parent,
         opentelemetry::nostd::shared_ptr<opentelemetry::trace::Span> span);

// Makes the span of `ctx` OpenTelemetry's active span on this thread, as long
// as the returned token lives. If `ctx` has no span, no span is active then.
// Use it on threads that work for a request. Keep the token in a local
// variable: like an opentelemetry::trace::Scope, it must be destroyed on the
// same thread.
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
