// SPDX-License-Identifier: Apache-2.0
//
// Uses OpenTelemetry's propagators as tether propagators.

#ifndef TETHER_OPENTELEMETRY_PROPAGATOR_H_
#define TETHER_OPENTELEMETRY_PROPAGATOR_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "opentelemetry/context/propagation/global_propagator.h"
#include "opentelemetry/context/propagation/text_map_propagator.h"
#include "opentelemetry/nostd/shared_ptr.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/drop_counter.h"
#include "tether/propagation/propagator.h"

namespace tether {

// Adapts one of OpenTelemetry's propagators, such as those for baggage, B3 or
// Jaeger headers, or the program's global one.
//
// The context keeps the extracted values. The span context becomes the trace
// (TraceOf, SpanOf). Span context and baggage are active after ActivateSpan,
// and in a server's handler. Inject writes the context's span; with the bridge,
// that is the client span.
//
// A repeated header is read as one, joined with commas. Headers that gRPC can't
// send are left out and counted. Headers that OpenTelemetry itself drops aren't
// counted.
//
// Thread safety: any thread, as OpenTelemetry's propagators promise.
//
// Example:
//
//   tether::ServerOptions options;
//   options.propagator = std::make_shared<tether::OpenTelemetryPropagator>();
class TETHER_EXPORT OpenTelemetryPropagator final : public Propagator {
 public:
  using TextMapPropagator =
      opentelemetry::context::propagation::TextMapPropagator;

  // `propagator` must not be null. The default is the propagator that is global
  // when this constructor runs.
  explicit OpenTelemetryPropagator(
      opentelemetry::nostd::shared_ptr<TextMapPropagator> propagator =
          opentelemetry::context::propagation::GlobalTextMapPropagator::
              GetGlobalPropagator());

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;
  std::vector<std::string_view> Fields() const override;
  int64_t Dropped() const override;

 private:
  const opentelemetry::nostd::shared_ptr<TextMapPropagator> propagator_;
  const std::vector<std::string> fields_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_OPENTELEMETRY_PROPAGATOR_H_
