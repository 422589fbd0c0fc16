// OpenTelemetry's propagators as tether's.

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

// One of OpenTelemetry's propagators as one of tether's: for its baggage, B3 or
// Jaeger headers, or whatever the program has set as the global one.
//
// What it extracts is kept in the context: the span context is the trace
// (TraceOf, SpanOf), and with the baggage it is active after ActivateSpan, and
// in a server's handler. Inject has the span of the context written; with the
// bridge, that is the client span.
//
// A header that came several times is read as one, joined with commas. Headers
// that gRPC can't send are left out, and counted; what OpenTelemetry itself
// drops isn't known.
//
// Thread safety: any thread, as OpenTelemetry's propagators are meant to be.
//
// Example:
//
//   tether::ServerOptions options;
//   options.propagator = std::make_shared<tether::OpenTelemetryPropagator>();
class TETHER_EXPORT OpenTelemetryPropagator final : public Propagator {
 public:
  using TextMapPropagator =
      opentelemetry::context::propagation::TextMapPropagator;

  // By default, the global one as it is now. Not null.
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
