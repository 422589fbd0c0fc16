// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/metric_table.h"

#include <iterator>

#include "tether/observability/internal/metric_visits.h"

namespace tether {
namespace {

constexpr MetricType kCounter = MetricType::kCounter;
constexpr MetricType kGauge = MetricType::kGauge;
constexpr MetricType kHistogram = MetricType::kHistogram;

constexpr MetricRow kRequests[] = {
    {"tether_server_requests_total", "tether.server.requests", kCounter,
     "{request}", "method, code, reason",
     "Requests that are over, by status and by what ended their context.",
     internal::VisitServerOutcomes},
    {"tether_server_requests_in_flight", "tether.server.requests.in_flight",
     kGauge, "{request}", "method", "Requests that are being served now.",
     internal::VisitRequestsInFlight},
    {"tether_server_requests_in_flight_ended",
     "tether.server.requests.in_flight.ended", kGauge, "{request}", "method",
     "Requests whose context has ended while their handler still runs.",
     internal::VisitEndedInFlight},
    {"tether_server_requests_without_deadline_total",
     "tether.server.requests.without_deadline", kCounter, "{request}", "method",
     "Requests that came without a deadline.",
     internal::VisitServers<&ServerMetrics::without_deadline>},
    {"tether_server_requests_unlimited_total",
     "tether.server.requests.unlimited", kCounter, "{request}", "method",
     "Requests that came without a deadline, and got none from the server.",
     internal::VisitServers<&ServerMetrics::unlimited>},
    {"tether_server_requests_without_trace_total",
     "tether.server.requests.without_trace", kCounter, "{request}", "method",
     "Requests whose context has no trace.",
     internal::VisitServers<&ServerMetrics::without_trace>},
    {"tether_server_deadlines_changed_total", "tether.server.deadlines_changed",
     kCounter, "{request}", "method, by",
     "Requests whose deadline the server set or made earlier, by "
     "default_timeout or by max_timeout.",
     internal::VisitChangedDeadlines},
    {"tether_server_requests_shed_total", "tether.server.requests.shed",
     kCounter, "{request}", "method",
     "Requests that were turned away because too little time was left "
     "(min_budget).",
     internal::VisitServers<&ServerMetrics::shed>},
    {"tether_server_watches_total", "tether.server.watches", kCounter,
     "{request}", "method",
     "Requests that needed a watch for the end of their call.",
     internal::VisitServers<&ServerMetrics::watches>},
};

constexpr MetricRow kRequestTimes[] = {
    {"tether_server_time_left_on_arrival_seconds",
     "tether.server.time_left_on_arrival", kHistogram, "s", "method",
     "The time left when a request arrived, of requests that had a deadline.",
     internal::VisitServers<&ServerMetrics::time_left_on_arrival>},
    {"tether_server_service_time_seconds", "tether.server.service_time",
     kHistogram, "s", "method",
     "The time from a request's arrival to its answer.",
     internal::VisitServers<&ServerMetrics::service_time>},
    {"tether_server_time_left_at_end_seconds", "tether.server.time_left_at_end",
     kHistogram, "s", "method",
     "The time left when a request was answered, zero if its deadline had "
     "passed.",
     internal::VisitServers<&ServerMetrics::time_left_at_end>},
    {"tether_server_worked_after_end_seconds", "tether.server.worked_after_end",
     kHistogram, "s", "method",
     "The time for which a handler ran on after its context had ended, of "
     "requests whose context ended first.",
     internal::VisitServers<&ServerMetrics::worked_after_end>},
};

constexpr MetricRow kPropagation[] = {
    {"tether_server_deaf_requests_total", "tether.server.deaf_requests",
     kCounter, "{request}", "method",
     "Requests whose handler ran on for longer than deaf_after after its "
     "context had ended.",
     internal::VisitServers<&ServerMetrics::deaf>},
    {"tether_server_deaf_longest_seconds", "tether.server.deaf_longest", kGauge,
     "s", "method",
     "The longest time for which a deaf handler ran on, since the process "
     "began to count.",
     internal::VisitLongestDeaf},
    {"tether_server_requests_not_observed_total",
     "tether.server.requests.not_observed", kCounter, "{request}", "method",
     "Unary requests of sync and async servers that ran for longer than "
     "deaf_after while nothing looked at their context.",
     internal::VisitServers<&ServerMetrics::not_observed>},
    {"tether_server_calls_without_context_total",
     "tether.server.calls_without_context", kCounter, "{call}",
     "method, callee",
     "Calls that a method's handlers made on their own thread for a context "
     "that belongs to no request.",
     internal::VisitCallsWithoutContext},
    {"tether_server_later_deadlines_total", "tether.server.later_deadlines",
     kCounter, "{context}", "method",
     "Contexts that were given a later deadline than the request's, which has "
     "no effect.",
     internal::VisitServers<&ServerMetrics::later_deadlines>},
};

constexpr MetricRow kCalls[] = {
    {"tether_client_calls_total", "tether.client.calls", kCounter, "{call}",
     "method, code, reason",
     "Calls that are over, by status and by what ended their context.",
     internal::VisitClientOutcomes},
    {"tether_client_calls_in_flight", "tether.client.calls.in_flight", kGauge,
     "{call}", "method", "Calls that are not over.",
     internal::VisitCallsInFlight},
    {"tether_client_calls_not_sent_total", "tether.client.calls.not_sent",
     kCounter, "{call}", "method",
     "Calls that were not sent because their context had ended.",
     internal::VisitClients<&ClientMetrics::not_sent>},
    {"tether_client_calls_without_deadline_total",
     "tether.client.calls.without_deadline", kCounter, "{call}", "method",
     "Calls without a deadline.",
     internal::VisitClients<&ClientMetrics::without_deadline>},
    {"tether_client_background_calls_total", "tether.client.background_calls",
     kCounter, "{call}", "method",
     "Calls for a context that belongs to no request, on threads that serve "
     "none, in a process that serves requests.",
     internal::VisitClients<&ClientMetrics::background_calls>},
    {"tether_client_call_duration_seconds", "tether.client.call_duration",
     kHistogram, "s", "method", "The time from a call's begin to its status.",
     internal::VisitClients<&ClientMetrics::duration>},
    {"tether_client_time_left_seconds", "tether.client.time_left", kHistogram,
     "s", "method",
     "The time left when a call began, of calls with a deadline.",
     internal::VisitClients<&ClientMetrics::time_left>},
    {"tether_client_grpc_timeout_drift_seconds",
     "tether.client.grpc_timeout_drift", kHistogram, "s", "method",
     "How much grpc-timeout, which is rounded up, exceeds the time left, of "
     "calls with a deadline.",
     internal::VisitClients<&ClientMetrics::grpc_timeout_drift>},
};

constexpr MetricRow kProcess[] = {
    {"tether_dropped_headers_total", "tether.dropped_headers", kCounter,
     "{header}", "kind",
     "Headers of tether that were malformed or repeated, by header, and "
     "messages that had no room for theirs (oversized).",
     internal::VisitDroppedHeaders},
    {"tether_exceptions_total", "tether.exceptions", kCounter, "{exception}",
     "from",
     "Exceptions that tether caught, of the application's hooks and of "
     "callbacks of contexts.",
     internal::VisitExceptions},
    {"tether_contexts_not_found_total", "tether.contexts_not_found", kCounter,
     "{call}", "", "Calls of ContextOf that found no context.",
     internal::VisitProcess<&GrpcStats::contexts_not_found>},
    {"tether_server_rpcs", "tether.server.rpcs", kGauge, "{rpc}", "",
     "Server RPCs that keep memory in tether.",
     internal::VisitProcess<&GrpcStats::server_calls>},
    {"tether_client_rpcs", "tether.client.rpcs", kGauge, "{rpc}", "",
     "Client RPCs that keep memory in tether.",
     internal::VisitProcess<&GrpcStats::client_calls>},
    {"tether_watches", "tether.watches", kGauge, "{watch}", "",
     "Watches for the end of sync and async server calls.",
     internal::VisitProcess<&GrpcStats::watches>},
    {"tether_contexts", "tether.contexts", kGauge, "{context}", "",
     "Contexts that are alive.",
     internal::VisitContexts<&ContextStats::contexts>},
    {"tether_callbacks", "tether.callbacks", kGauge, "{callback}", "",
     "Callbacks that wait for the end of a context, blocking waits included.",
     internal::VisitContexts<&ContextStats::callbacks>},
    {"tether_timers", "tether.timers", kGauge, "{timer}", "",
     "Deadlines that are still to come.",
     internal::VisitContexts<&ContextStats::timers>},
    {"tether_metrics_methods", "tether.metrics.methods", kGauge, "{method}", "",
     "Methods with figures of their own; others count as \"other\" once there "
     "are max_methods.",
     internal::VisitMemory<&MetricsMemory::methods>},
    {"tether_metrics_memory_bytes", "tether.metrics.memory", kGauge, "By", "",
     "The memory that the figures of methods take.",
     internal::VisitMemory<&MetricsMemory::bytes>},
    {"tether_metrics_counted_seconds", "tether.metrics.counted", kGauge, "s",
     "", "How long the process has counted; zero if it doesn't.",
     internal::VisitCountedFor},
};

}  // namespace

MetricValues ReadMetricValues() {
  InspectOptions options;
  options.max_entries = kMostInFlight;
  MetricValues values;
  // What is in flight comes first, so that its methods have figures.
  values.in_flight = Inspect(options);
  values.metrics = ReadMetrics();
  values.memory = GetMetricsMemory();
  values.contexts = GetContextStats();
  return values;
}

const std::vector<MetricRow>& MetricTable() {
  static const auto* table = [] {
    auto* rows = new std::vector<MetricRow>;
    const auto append = [rows](const auto& part) {
      rows->insert(rows->end(), std::begin(part), std::end(part));
    };
    append(kRequests);
    append(kRequestTimes);
    append(kPropagation);
    append(kCalls);
    append(kProcess);
    return rows;
  }();
  return *table;
}

}  // namespace tether
