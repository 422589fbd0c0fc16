// SPDX-License-Identifier: Apache-2.0
//
// Uses the libraries that need packages besides gRPC. Prints "all of it".

#include <cstdio>
#include <string>

#include "opentelemetry/nostd/shared_ptr.h"
#include "opentelemetry/trace/propagation/http_trace_context.h"
#include "tether/observability/metrics.h"
#include "tether/observability/opentelemetry_durations.h"
#include "tether/observability/opentelemetry_metrics.h"
#include "tether/observability/prometheus.h"
#include "tether/observability/status_page.h"
#include "tether/opentelemetry/propagator.h"

int main() {
  tether::StartMetrics();
  tether::RecordOpenTelemetryDurations();
  const tether::OpenTelemetryMetrics metrics;
  const tether::OpenTelemetryPropagator propagator(
      opentelemetry::nostd::shared_ptr<
          tether::OpenTelemetryPropagator::TextMapPropagator>(
          new opentelemetry::trace::propagation::HttpTraceContext));
  const tether::PrometheusCollectable collectable;
  tether::StatusPageOptions options;
  options.metrics = tether::PrometheusText;
  const auto page = tether::StatusPage::Start(options);
  if (!page.ok()) {
    std::printf("broken: %s\n", page.status().ToString().c_str());
    return 1;
  }
  if ((*page)->port() == 0 || propagator.Fields().empty()) {
    std::printf("broken: the page or the propagator\n");
    return 1;
  }
  if (collectable.Collect().empty() ||
      tether::PrometheusText().find("# TYPE tether_") == std::string::npos) {
    std::printf("broken: Prometheus\n");
    return 1;
  }
  std::printf("all of it\n");
}
