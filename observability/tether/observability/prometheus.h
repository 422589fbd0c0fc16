// SPDX-License-Identifier: Apache-2.0
//
// Prometheus: the metrics of MetricTable (docs/operations.md) in the format of
// prometheus-cpp.
//
// With the exposer of prometheus-cpp, beside metrics of your own:
//
//   tether::StartMetrics();
//   prometheus::Exposer exposer("127.0.0.1:9464");
//   auto tether_metrics = std::make_shared<tether::PrometheusCollectable>();
//   exposer.RegisterCollectable(tether_metrics);  // keep tether_metrics
//
// With a web server of your own, PrometheusText() is the answer to /metrics.
//
// Histograms have classic buckets, from 0 to 100 s: neither prometheus-cpp 1.0
// nor the text format has native histograms.
//
// Needs prometheus-cpp's core: tools/setup.sh observability.

#ifndef TETHER_OBSERVABILITY_PROMETHEUS_H_
#define TETHER_OBSERVABILITY_PROMETHEUS_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <functional>
#include <string>
#include <vector>

#include "tether/export.h"
#include "tether/observability/metric_table.h"

namespace tether {

// Thread safety: any thread.
class TETHER_EXPORT PrometheusCollectable final
    : public prometheus::Collectable {
 public:
  // `read` supplies the values of each Collect(), possibly concurrently. It
  // must not be null.
  explicit PrometheusCollectable(
      std::function<MetricValues()> read = ReadMetricValues);

  // The metrics that have values, in the order of MetricTable. Exceptions of
  // `read` leave it.
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::function<MetricValues()> read_;
};

// The content type of PrometheusText.
inline constexpr char kPrometheusContentType[] =
    "text/plain; version=0.0.4; charset=utf-8";

// The values of this process in Prometheus' text format, for
// StatusPageOptions::metrics. Thread safety: any thread.
TETHER_EXPORT std::string PrometheusText();
// The same for values that were read before.
TETHER_EXPORT std::string PrometheusTextOf(const MetricValues& values);

}  // namespace tether

#endif  // TETHER_OBSERVABILITY_PROMETHEUS_H_
