// SPDX-License-Identifier: Apache-2.0
//
// The names, units and meanings of the exported metrics. The exporters and
// docs/operations.md have them from here.

#ifndef TETHER_OBSERVABILITY_METRIC_TABLE_H_
#define TETHER_OBSERVABILITY_METRIC_TABLE_H_

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tether/export.h"
#include "tether/grpc/inspect.h"
#include "tether/observability/metrics.h"

namespace tether {

enum class MetricType { kCounter, kGauge, kHistogram };

using MetricLabels = std::vector<std::pair<std::string_view, std::string>>;

// Receives the values of one metric, one for each set of labels.
struct MetricSink {
  // Counters and gauges.
  std::function<void(MetricLabels, double)> value;
  std::function<void(MetricLabels, const DurationHistogram&)> histogram;
};

struct MetricRow {
  // As Prometheus wants it: "tether_server_requests_total".
  std::string_view prometheus_name;
  // As OpenTelemetry wants it: "tether.server.requests".
  std::string_view opentelemetry_name;
  MetricType type;
  // UCUM: "s", "{request}".
  std::string_view unit;
  // One sentence.
  std::string_view help;
  // Passes all values of the metric to the sink. Labels are cleaned
  // (CleanText).
  void (*visit)(const Metrics&, const InFlight&, const MetricSink&);
};

// All metrics, in the order in which they are shown.
TETHER_EXPORT const std::vector<MetricRow>& MetricTable();

}  // namespace tether

#endif  // TETHER_OBSERVABILITY_METRIC_TABLE_H_
