// SPDX-License-Identifier: Apache-2.0

#include "tether/opentelemetry/span.h"

#include "opentelemetry/trace/context.h"
#include "tether/opentelemetry/internal/otel_context.h"

namespace tether {
namespace {

namespace nostd = opentelemetry::nostd;
namespace trace = opentelemetry::trace;
using OtelContext = opentelemetry::context::Context;

}  // namespace

nostd::shared_ptr<trace::Span> SpanOf(const Context& ctx) {
  return trace::GetSpan(internal::OpenTelemetryContextOf(ctx));
}

Context WithSpan(const Context& parent, nostd::shared_ptr<trace::Span> span) {
  if (span == nullptr || !span->GetContext().IsValid()) return parent;
  OtelContext context = internal::OpenTelemetryContextOf(parent);
  return internal::WithOpenTelemetryContext(parent,
                                            trace::SetSpan(context, span));
}

nostd::unique_ptr<opentelemetry::context::Token> ActivateSpan(
    const Context& ctx) {
  // The token also detaches whatever is still active above its own context.
  return opentelemetry::context::RuntimeContext::Attach(
      internal::ActiveContextOf(ctx));
}

}  // namespace tether
