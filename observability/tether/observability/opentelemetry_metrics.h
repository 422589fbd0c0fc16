// SPDX-License-Identifier: Apache-2.0
//
// OpenTelemetry: the metrics of MetricTable (docs/operations.md) as
// asynchronous instruments.
//
//   tether::StartMetrics();
//   tether::OpenTelemetryMetrics metrics;  // for as long as it exists
//
// Needs only OpenTelemetry's API (1.19), which consists of headers. Without the
// SDK, nothing is read.
//
// Counters are ObservableCounters. What is in flight or alive is an
// ObservableUpDownCounter, and durations are ObservableGauges. With one reader,
// each collection reads the values once. Several readers that collect at once
// may share values that are up to 1 s old.
//
// Histograms: the API has no asynchronous histogram. So each one consists of
// three ObservableCounters, from which backends compute averages and quantiles
// as from Prometheus' histograms:
//   tether.server.service_time.count   {request} or {call}
//   tether.server.service_time.sum     s
//   tether.server.service_time.bucket  with the attribute `le`: those that were
//                                      not longer than `le` seconds; "+Inf":
//                                      all
//
// The names rpc.server.duration and rpc.client.duration of the semantic
// conventions promise histograms, in which each RPC is recorded:
// opentelemetry_durations.h does so.
//
// Attributes: a method is rpc.system, rpc.service and rpc.method, and a code is
// rpc.grpc.status_code, as on the spans of tether/opentelemetry/interceptors.h.
// Other labels of the table have the prefix "tether.", as in tether.reason.
// Methods that count together have the rpc.method "other" and no rpc.service.
//
// The SDK keeps 2,000 sets of attributes of an instrument, and adds the rest up
// without attributes. A bucket needs 20 for each method, and 20 for "other". So
// if there may be more than 98 methods, set MetricsOptions::max_methods to 98,
// or drop the instruments
// *.bucket with a View.

#ifndef TETHER_OBSERVABILITY_OPENTELEMETRY_METRICS_H_
#define TETHER_OBSERVABILITY_OPENTELEMETRY_METRICS_H_

#include <functional>
#include <memory>

#include "opentelemetry/metrics/meter_provider.h"
#include "opentelemetry/nostd/shared_ptr.h"
#include "tether/export.h"
#include "tether/observability/metric_table.h"

namespace tether {

struct OpenTelemetryMetricsOptions {
  // Gets the instruments, on its meter "tether". If null, the provider that is
  // global when OpenTelemetryMetrics is made; so set the global provider first.
  opentelemetry::nostd::shared_ptr<opentelemetry::metrics::MeterProvider>
      meter_provider;

  // Supplies the values. Called on the SDK's threads, one at a time, under a
  // lock of this object and one of the SDK: it must not use this
  // OpenTelemetryMetrics or the provider. Must neither be null nor throw.
  std::function<MetricValues()> read = ReadMetricValues;
};

// Exports the metrics until it is destroyed. Then, no callback runs any more,
// and none begins. Make one for each provider.
//
// Thread safety: any thread. Lifetime: it keeps the provider.
class TETHER_EXPORT OpenTelemetryMetrics {
 public:
  explicit OpenTelemetryMetrics(OpenTelemetryMetricsOptions options = {});
  ~OpenTelemetryMetrics();
  OpenTelemetryMetrics(const OpenTelemetryMetrics&) = delete;
  OpenTelemetryMetrics& operator=(const OpenTelemetryMetrics&) = delete;

 private:
  class Instruments;

  const std::unique_ptr<Instruments> instruments_;
};

}  // namespace tether

#endif  // TETHER_OBSERVABILITY_OPENTELEMETRY_METRICS_H_
