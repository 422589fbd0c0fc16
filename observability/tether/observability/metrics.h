// SPDX-License-Identifier: Apache-2.0
//
// Figures of all requests and calls of this process, by method.
//
//   int main() {
//     tether::StartMetrics();
//     …  // servers and channels
//   }
//
//   for (const auto& [method, server] : tether::ReadMetrics().servers) …
//
// The exporters read them: prometheus.h, opentelemetry_metrics.h,
// status_page.h and inspector_service.h.
//
// Nothing is counted before StartMetrics. From then on, each RPC costs a few
// hundred nanoseconds on each side: a thread counts in cells of its own, which
// no other thread writes. A thread that has served or called a method keeps
// some 2 KB for it (MetricsMemory). When the thread ends, a later thread takes
// that memory over.

#ifndef TETHER_OBSERVABILITY_METRICS_H_
#define TETHER_OBSERVABILITY_METRICS_H_

#include <grpcpp/support/status.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tether/end_reason.h"
#include "tether/export.h"
#include "tether/grpc/stats.h"

namespace tether {

struct MetricsOptions {
  // The most methods with figures of their own. Later ones count together as
  // "other". So do names of more than 200 bytes, and methods that have never
  // been answered with anything but UNIMPLEMENTED: strangers may name those. 0
  // to 10,000; larger values are clamped.
  size_t max_methods = 500;

  // A handler that runs on for longer than this after its context has ended is
  // deaf; in streams, from the first operation that fails. A unary handler (but
  // not of the callback API) that runs for longer without anything looking at
  // its context is not observed. Negative values count as zero.
  absl::Duration deaf_after = absl::Milliseconds(50);
};

// Starts to count; for servers and channels that exist already, too. Requests
// that arrived before are counted when they end. The first call of the process
// decides; later ones have no effect and return false. It can't be stopped.
//
// Thread safety: any thread.
TETHER_EXPORT bool StartMetrics(const MetricsOptions& options = {});

// A histogram of durations. Each bucket counts what is not longer than its
// bound and longer than the bound before; the last one counts the rest.
struct DurationHistogram {
  static constexpr size_t kBounds = 19;
  // In seconds, ascending: 0, then from 0.1 ms to 100 s.
  TETHER_EXPORT static const std::array<double, kBounds>& Bounds();

  std::array<uint64_t, kBounds + 1> buckets = {};
  uint64_t count = 0;  // of all buckets
  double sum_seconds = 0;
};

// Of requests or calls that ended with one status code, for one reason.
struct OutcomeCount {
  grpc::StatusCode code = grpc::StatusCode::OK;
  // Requests: RequestSummary::reason. Calls: EndReasonOf(ClientCall).
  EndReason reason = EndReason::kNone;
  uint64_t count = 0;
};

// A request that ran on for long after its context had ended.
struct DeafRequest {
  std::string trace_id;  // may be empty
  absl::Duration worked_after_end;
};

// Requests that servers of this process have served.
struct ServerMetrics {
  std::vector<OutcomeCount> outcomes;
  uint64_t total = 0;  // of all outcomes

  uint64_t without_deadline = 0;  // came without one
  uint64_t unlimited = 0;         // and the server set none either
  uint64_t without_trace = 0;     // whose context has none
  uint64_t default_timeouts = 0;  // got TimePolicy::default_timeout
  uint64_t max_timeouts = 0;      // TimePolicy::max_timeout was earlier
  uint64_t shed = 0;              // turned away because of min_budget
  uint64_t watches = 0;           // needed a watch for the end of the call

  // The time left on arrival, of requests that had a deadline.
  DurationHistogram time_left_on_arrival;
  // From the arrival to the answer.
  DurationHistogram service_time;
  // The context's time left when the handler answered, zero if it had passed;
  // of requests whose context had a deadline.
  DurationHistogram time_left_at_end;
  // From the end of the context to the handler's answer, of requests whose
  // context ended first: work for nobody.
  DurationHistogram worked_after_end;

  // See MetricsOptions::deaf_after.
  uint64_t deaf = 0;
  absl::Duration deaf_longest;
  std::vector<DeafRequest> deaf_last;  // at most 8, the latest first
  uint64_t not_observed = 0;

  // Calls that the handlers made on their own thread for a context that belongs
  // to no request, by called method. A thread counts the first 7 callees of a
  // method apart, and the rest as "other".
  std::map<std::string, uint64_t> calls_without_context;
  // Children of a request's context that asked for a later deadline than it
  // has.
  uint64_t later_deadlines = 0;
};

// Calls that clients of this process have made.
struct ClientMetrics {
  std::vector<OutcomeCount> outcomes;
  uint64_t total = 0;

  // Calls that were not sent, because their context had ended.
  uint64_t not_sent = 0;
  // Calls without a deadline.
  uint64_t without_deadline = 0;
  // Calls for a context that belongs to no request, on threads that serve none,
  // since this process has served its first request.
  uint64_t background_calls = 0;

  // From the call to its status.
  DurationHistogram duration;
  // The time left when the call began, of calls with a deadline.
  DurationHistogram time_left;
  // How much grpc-timeout, which core rounds up, exceeds the time left when it
  // is sent (an estimate, from core's rules); of calls with a deadline.
  DurationHistogram grpc_timeout_drift;
};

struct Metrics {
  // Since StartMetrics; zero if it wasn't called.
  absl::Duration counted_for;
  MetricsOptions options;
  // By method: "/package.Service/Method" or "other". As peers wrote it.
  std::map<std::string, ServerMetrics> servers;
  std::map<std::string, ClientMetrics> clients;
  // Counters of the whole process, and what is alive.
  GrpcStats process;
};

// The figures since StartMetrics. A request is counted before its status is
// sent; a call, before the application gets its status. So an application that
// has the status of a call finds that call counted, and, if the server sent the
// status, the request. If the client ended the call itself, the server counts
// the request when its handler ends. While RPCs end, numbers need not be from
// the same moment; none falls from one call to the next.
//
// O(methods × threads). Any thread.
TETHER_EXPORT Metrics ReadMetrics();

// How much memory the figures take.
struct MetricsMemory {
  size_t methods = 0;                // with figures of their own
  size_t threads = 0;                // that have counted
  size_t bytes_per_server_cell = 0;  // for one thread and one served method
  size_t bytes_per_client_cell = 0;  // and one called method
  size_t bytes = 0;                  // of all cells
};
TETHER_EXPORT MetricsMemory GetMetricsMemory();

}  // namespace tether

#endif  // TETHER_OBSERVABILITY_METRICS_H_
