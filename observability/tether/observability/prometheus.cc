// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/prometheus.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_type.h>
#include <prometheus/text_serializer.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "tether/observability/metrics.h"

namespace tether {
namespace {

prometheus::MetricType TypeOf(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return prometheus::MetricType::Counter;
    case MetricType::kGauge:
      return prometheus::MetricType::Gauge;
    case MetricType::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

prometheus::ClientMetric WithLabels(const MetricLabels& labels) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : labels) {
    metric.label.push_back({std::string(name), value});
  }
  return metric;
}

// Prometheus' buckets contain those before them.
prometheus::ClientMetric::Histogram ToPrometheus(
    const DurationHistogram& histogram) {
  const auto& bounds = DurationHistogram::Bounds();
  prometheus::ClientMetric::Histogram result;
  result.sample_sum = histogram.sum_seconds;
  for (size_t i = 0; i < histogram.buckets.size(); ++i) {
    result.sample_count += histogram.buckets[i];
    const double bound =
        i < bounds.size() ? bounds[i] : std::numeric_limits<double>::infinity();
    result.bucket.push_back({result.sample_count, bound});
  }
  return result;
}

prometheus::MetricFamily FamilyOf(const MetricRow& row,
                                  const MetricValues& values) {
  prometheus::MetricFamily family;
  family.name = std::string(row.prometheus_name);
  family.help = std::string(row.help);
  family.type = TypeOf(row.type);
  MetricSink sink;
  sink.value = [&](const MetricLabels& labels, double value) {
    prometheus::ClientMetric metric = WithLabels(labels);
    if (row.type == MetricType::kCounter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    family.metric.push_back(std::move(metric));
  };
  sink.histogram = [&](const MetricLabels& labels,
                       const DurationHistogram& histogram) {
    prometheus::ClientMetric metric = WithLabels(labels);
    metric.histogram = ToPrometheus(histogram);
    family.metric.push_back(std::move(metric));
  };
  row.visit(values, sink);
  return family;
}

std::vector<prometheus::MetricFamily> FamiliesOf(const MetricValues& values) {
  std::vector<prometheus::MetricFamily> families;
  for (const MetricRow& row : MetricTable()) {
    prometheus::MetricFamily family = FamilyOf(row, values);
    if (!family.metric.empty()) families.push_back(std::move(family));
  }
  return families;
}

}  // namespace

PrometheusCollectable::PrometheusCollectable(std::function<MetricValues()> read)
    : read_(std::move(read)) {}

std::vector<prometheus::MetricFamily> PrometheusCollectable::Collect() const {
  return FamiliesOf(read_());
}

std::string PrometheusText() { return PrometheusTextOf(ReadMetricValues()); }

std::string PrometheusTextOf(const MetricValues& values) {
  return prometheus::TextSerializer().Serialize(FamiliesOf(values));
}

}  // namespace tether
