// SPDX-License-Identifier: Apache-2.0
//
// The names, units and meanings of the exported metrics. The exporters and
// docs/operations.md have them from here.
//
//   const tether::MetricValues values = tether::ReadMetricValues();
//   for (const tether::MetricRow& row : tether::MetricTable()) {
//     row.visit(values, sink);
//   }

#ifndef TETHER_OBSERVABILITY_METRIC_TABLE_H_
#define TETHER_OBSERVABILITY_METRIC_TABLE_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tether/context_stats.h"
#include "tether/export.h"
#include "tether/grpc/inspect.h"
#include "tether/observability/metrics.h"

namespace tether {

// What the metrics show.
struct MetricValues {
  Metrics metrics;
  MetricsMemory memory;
  InFlight in_flight;
  ContextStats contexts;
};

// ReadMetricValues looks at no more requests, and no more other calls, than
// this. The rest count as "other".
inline constexpr size_t kMostInFlight = 100'000;

// The values of this process now. Before StartMetrics, there are only those of
// Metrics::process and those of what is alive. Costs as much as ReadMetrics and
// Inspect.
//
// Thread safety: any thread. Not from a callback of a context.
TETHER_EXPORT MetricValues ReadMetricValues();

enum class MetricType { kCounter, kGauge, kHistogram };

// Names, and values in printable ASCII.
using MetricLabels = std::vector<std::pair<std::string_view, std::string>>;

// Receives the values of one metric, one for each set of labels. No set comes
// twice.
struct MetricSink {
  // Counters and gauges.
  std::function<void(const MetricLabels&, double)> value;
  // Histograms.
  std::function<void(const MetricLabels&, const DurationHistogram&)> histogram;
};

struct MetricRow {
  // As Prometheus wants it: "tether_server_requests_total".
  std::string_view prometheus_name;
  // As OpenTelemetry wants it: "tether.server.requests". Exporters from
  // OpenTelemetry to Prometheus make prometheus_name of it.
  std::string_view opentelemetry_name;
  MetricType type;
  // UCUM: "s", "By", or what is counted: "{request}".
  std::string_view unit;
  // The names of the labels: "method, code". Empty: there are none.
  std::string_view labels;
  // One sentence.
  std::string_view help;
  // Passes all values of the metric to the sink, in the order of the labels'
  // values. Neither function of the sink may be null.
  //
  // Methods have the names of Metrics. Bytes that are not printable ASCII, and
  // quotes and backslashes, are escaped as in C: "/a\xff". In this way, names
  // that differ stay different. What is in flight counts as "other" if its
  // method has no figures of its own, or a name that Inspect has cut. The 20
  // callees of a method that come first in the alphabet have a label of their
  // own.
  void (*visit)(const MetricValues&, const MetricSink&);
};

// All metrics, in the order in which they are shown.
TETHER_EXPORT const std::vector<MetricRow>& MetricTable();

}  // namespace tether

#endif  // TETHER_OBSERVABILITY_METRIC_TABLE_H_
