// SPDX-License-Identifier: Apache-2.0
//
// The functions of MetricRow::visit.

#ifndef TETHER_OBSERVABILITY_INTERNAL_METRIC_VISITS_H_
#define TETHER_OBSERVABILITY_INTERNAL_METRIC_VISITS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tether/context_stats.h"
#include "tether/grpc/stats.h"
#include "tether/observability/metric_table.h"
#include "tether/observability/metrics.h"

namespace tether::internal {

// ---- Figures of methods ----

// The label for a method's name, which may come from a stranger.
std::string MethodLabel(std::string_view method);

void VisitServerOutcomes(const MetricValues& values, const MetricSink& sink);
void VisitClientOutcomes(const MetricValues& values, const MetricSink& sink);
void VisitChangedDeadlines(const MetricValues& values, const MetricSink& sink);
void VisitLongestDeaf(const MetricValues& values, const MetricSink& sink);
void VisitCallsWithoutContext(const MetricValues& values,
                              const MetricSink& sink);

template <uint64_t ServerMetrics::*kField>
void VisitServers(const MetricValues& values, const MetricSink& sink) {
  for (const auto& [method, server] : values.metrics.servers) {
    sink.value({{"method", MethodLabel(method)}},
               static_cast<double>(server.*kField));
  }
}

template <DurationHistogram ServerMetrics::*kField>
void VisitServers(const MetricValues& values, const MetricSink& sink) {
  for (const auto& [method, server] : values.metrics.servers) {
    sink.histogram({{"method", MethodLabel(method)}}, server.*kField);
  }
}

template <uint64_t ClientMetrics::*kField>
void VisitClients(const MetricValues& values, const MetricSink& sink) {
  for (const auto& [method, client] : values.metrics.clients) {
    sink.value({{"method", MethodLabel(method)}},
               static_cast<double>(client.*kField));
  }
}

template <DurationHistogram ClientMetrics::*kField>
void VisitClients(const MetricValues& values, const MetricSink& sink) {
  for (const auto& [method, client] : values.metrics.clients) {
    sink.histogram({{"method", MethodLabel(method)}}, client.*kField);
  }
}

// ---- What is in flight ----

void VisitRequestsInFlight(const MetricValues& values, const MetricSink& sink);
void VisitEndedInFlight(const MetricValues& values, const MetricSink& sink);
void VisitCallsInFlight(const MetricValues& values, const MetricSink& sink);

// ---- The process ----

void VisitDroppedHeaders(const MetricValues& values, const MetricSink& sink);
void VisitExceptions(const MetricValues& values, const MetricSink& sink);
void VisitCountedFor(const MetricValues& values, const MetricSink& sink);

template <int64_t GrpcStats::*kField>
void VisitProcess(const MetricValues& values, const MetricSink& sink) {
  sink.value({}, static_cast<double>(values.metrics.process.*kField));
}

template <int64_t ContextStats::*kField>
void VisitContexts(const MetricValues& values, const MetricSink& sink) {
  sink.value({}, static_cast<double>(values.contexts.*kField));
}

template <size_t MetricsMemory::*kField>
void VisitMemory(const MetricValues& values, const MetricSink& sink) {
  sink.value({}, static_cast<double>(values.memory.*kField));
}

}  // namespace tether::internal

#endif  // TETHER_OBSERVABILITY_INTERNAL_METRIC_VISITS_H_
