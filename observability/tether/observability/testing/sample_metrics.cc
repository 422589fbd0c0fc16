// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/testing/sample_metrics.h"

#include <grpcpp/support/status.h>

#include <cstddef>
#include <utility>

#include "absl/time/time.h"
#include "tether/end_reason.h"
#include "tether/grpc/inspect.h"

namespace tether::testing {
namespace {

ServerMetrics SampleServer() {
  ServerMetrics server;
  server.outcomes = {
      {grpc::StatusCode::OK, EndReason::kCompleted, 101},
      {grpc::StatusCode::DEADLINE_EXCEEDED, EndReason::kInheritedDeadline, 102},
      {grpc::StatusCode::CANCELLED, EndReason::kCallerLeft, 103}};
  server.total = 306;
  server.without_deadline = 104;
  server.unlimited = 114;
  server.without_trace = 105;
  server.default_timeouts = 106;
  server.max_timeouts = 107;
  server.shed = 108;
  server.watches = 109;
  server.time_left_on_arrival = HistogramOf({-1, 0.25, 0.3, 4});
  server.service_time = HistogramOf({0.0001, 0.00011});
  server.time_left_at_end = HistogramOf({0, 0, 0.1});
  server.worked_after_end = HistogramOf({0.75});
  server.deaf = 110;
  server.deaf_longest = absl::Milliseconds(1500);
  server.deaf_last = {{"trace", absl::Milliseconds(1500)}};
  server.not_observed = 111;
  server.calls_without_context = {{kCalled, 112}};
  server.later_deadlines = 113;
  return server;
}

ClientMetrics SampleClient() {
  ClientMetrics client;
  client.outcomes = {
      {grpc::StatusCode::OK, EndReason::kNone, 201},
      {grpc::StatusCode::UNAVAILABLE, EndReason::kConnectionLost, 202}};
  client.total = 403;
  client.not_sent = 203;
  client.without_deadline = 204;
  client.background_calls = 205;
  client.duration = HistogramOf({0.02, 150});
  client.time_left = HistogramOf({1, 1, 2});
  client.grpc_timeout_drift = HistogramOf({0.0005});
  return client;
}

InFlight SampleInFlight() {
  InFlight in_flight;
  InFlightCall call;
  call.method = kCalled;
  InFlightRequest request;
  request.method = kServed;
  request.waits_for = {call, call};
  in_flight.requests = {request, request, request, request, request};
  in_flight.requests[1].ended_by = EndReason::kCallerLeft;
  in_flight.requests[2].ended_by = EndReason::kInheritedDeadline;
  in_flight.requests[3].ended_by = EndReason::kCompleted;
  in_flight.other_calls = {call};
  in_flight.requests_in_flight = 5;
  in_flight.calls_in_flight = 11;
  return in_flight;
}

}  // namespace

void Add(DurationHistogram& histogram, double seconds) {
  const auto& bounds = DurationHistogram::Bounds();
  size_t bucket = 0;
  while (bucket < bounds.size() && seconds > bounds[bucket]) ++bucket;
  ++histogram.buckets[bucket];
  ++histogram.count;
  histogram.sum_seconds += seconds;
}

DurationHistogram HistogramOf(std::initializer_list<double> seconds) {
  DurationHistogram histogram;
  for (const double value : seconds) Add(histogram, value);
  return histogram;
}

MetricValues SampleMetrics() {
  MetricValues values;
  values.metrics.counted_for = absl::Seconds(301);
  values.metrics.servers[kServed] = SampleServer();
  values.metrics.clients[kCalled] = SampleClient();

  GrpcStats& process = values.metrics.process;
  process.server_calls = 302;
  process.client_calls = 303;
  process.watches = 304;
  process.bad_timeouts = 305;
  process.bad_reports = 306;
  process.bad_packed = 307;
  process.oversized = 308;
  process.exceptions = 309;
  process.contexts_not_found = 310;

  values.contexts.contexts = 311;
  values.contexts.callbacks = 312;
  values.contexts.timers = 313;
  values.contexts.callback_exceptions = 314;
  values.memory.methods = 315;
  values.memory.bytes = 316;
  values.in_flight = SampleInFlight();
  return values;
}

}  // namespace tether::testing
