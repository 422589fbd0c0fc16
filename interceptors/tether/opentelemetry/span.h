// SPDX-License-Identifier: Apache-2.0
//
// Gets, sets and activates the OpenTelemetry span of a context.
//
// Needs only OpenTelemetry's API (1.19), which consists of headers, and no
// gRPC.

#ifndef TETHER_OPENTELEMETRY_SPAN_H_
#define TETHER_OPENTELEMETRY_SPAN_H_

#include "opentelemetry/context/runtime_context.h"
#include "opentelemetry/nostd/shared_ptr.h"
#include "opentelemetry/nostd/unique_ptr.h"
#include "opentelemetry/trace/span.h"
#include "tether/context.h"
#include "tether/export.h"

namespace tether {

// Returns the span that `ctx` works in; never null. If the trace came from
// another process or from WithTrace, the span records nothing. If `ctx` has no
// trace, the span records nothing, and its span context is invalid.
TETHER_EXPORT opentelemetry::nostd::shared_ptr<opentelemetry::trace::Span>
SpanOf(const Context& ctx);

// Returns a child of `parent` that works in `span`; TraceOf returns that span.
// Returns `parent` if `span` is null, or if its span context is invalid because
// there is no SDK. Does not make the span active, and does not end it.
TETHER_EXPORT Context
WithSpan(const Context& parent,
         opentelemetry::nostd::shared_ptr<opentelemetry::trace::Span> span);

// Makes the span of `ctx` OpenTelemetry's active span on this thread while the
// returned token lives. If `ctx` has no span, no span is active meanwhile. Use
// it on threads that work for a request. Keep the token in a local variable:
// like an opentelemetry::trace::Scope, it must be destroyed on the same thread.
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
