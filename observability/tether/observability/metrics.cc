// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/metrics.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "tether/clock.h"
#include "tether/current.h"
#include "tether/grpc/internal/call_observer.h"
#include "tether/grpc/internal/counters.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/nanos.h"
#include "tether/internal/rpc_context.h"
#include "tether/observability/internal/metric_cells.h"
#include "tether/propagation/log_fields.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

using internal::ClientCell;
using internal::kNever;
using internal::Method;
using internal::MetricCells;
using internal::Nanos;
using internal::OutcomeCells;
using internal::ServerCell;

MetricsOptions Clamped(MetricsOptions options) {
  options.max_methods = std::min<size_t>(options.max_methods, 10'000);
  options.deaf_after = std::max(options.deaf_after, absl::ZeroDuration());
  return options;
}

// Counts what ends. Never destroyed, since RPCs may end while the process
// exits.
class Recorder final : public internal::CallObserver {
 public:
  explicit Recorder(const MetricsOptions& options)
      : options_(Clamped(options)),
        deaf_after_(absl::ToInt64Nanoseconds(options_.deaf_after)),
        cells_(options_.max_methods) {}

  void OnRequestEnd(const internal::RequestEnd& request) noexcept override {
    // Read first, so that all processors can keep the cache line.
    if (!has_served_.load(std::memory_order_relaxed)) {
      has_served_.store(true, std::memory_order_relaxed);
    }
    // Strangers may call methods that nobody serves.
    const bool is_served = request.code != grpc::StatusCode::UNIMPLEMENTED;
    TETHER_TRY { Count(request, cells_.Server(request.method, is_served)); }
    TETHER_CATCH(...) { CountEvent(internal::RpcEvent::kException); }
  }

  void OnCallBegin(const internal::CallBegin& call) noexcept override {
    // Each request's context has the request's method.
    if (!MethodOf(call.ctx).empty() || call.detached) return;
    TETHER_TRY {
      const Context current = Current();
      const std::string_view server = MethodOf(current);
      if (!server.empty()) {
        cells_.Server(server).CountCallee(cells_.methods().Get(call.method));
      } else if (has_served_.load(std::memory_order_relaxed)) {
        ClientCell& cell = cells_.Client(call.method);
        cell.background_calls.Add(1, cell.shared);
      }
    }
    TETHER_CATCH(...) { CountEvent(internal::RpcEvent::kException); }
  }

  void OnCallEnd(const internal::CallEnd& call) noexcept override {
    TETHER_TRY { Count(call, cells_.Client(call.method)); }
    TETHER_CATCH(...) { CountEvent(internal::RpcEvent::kException); }
  }

  void OnLaterDeadline(const Context& parent) noexcept {
    const std::string_view method = MethodOf(parent);
    if (method.empty()) return;
    TETHER_TRY {
      ServerCell& cell = cells_.Server(method);
      cell.later_deadlines.Add(1, cell.shared);
    }
    TETHER_CATCH(...) { CountEvent(internal::RpcEvent::kException); }
  }

  const MetricsOptions& options() const { return options_; }
  MetricCells& cells() { return cells_; }
  Nanos start() const { return start_; }

 private:
  void Count(const internal::RequestEnd& request, ServerCell& cell);
  void CountDeadlines(const internal::RequestEnd& request, ServerCell& cell);
  static void Count(const internal::CallEnd& call, ClientCell& cell);

  const MetricsOptions options_;
  const Nanos deaf_after_;
  const Nanos start_ = Clock::Real().SteadyNanos();
  std::atomic<bool> has_served_{false};
  MetricCells cells_;
};

void Recorder::CountDeadlines(const internal::RequestEnd& request,
                              ServerCell& cell) {
  const bool shared = cell.shared;
  if (request.time_left == kNever) {
    cell.without_deadline.Add(1, shared);
    if (request.left_at_end == kNever) cell.unlimited.Add(1, shared);
  } else {
    cell.time_left_on_arrival.Observe(request.time_left, shared);
  }
  if (request.timeout != kNever) {
    switch (request.owner) {
      case internal::DeadlineOwner::kCaller:
        break;
      case internal::DeadlineOwner::kDefaultTimeout:
        cell.default_timeouts.Add(1, shared);
        break;
      case internal::DeadlineOwner::kMaxTimeout:
        cell.max_timeouts.Add(1, shared);
        break;
    }
  }
  if (request.left_at_end != kNever) {
    cell.time_left_at_end.Observe(request.left_at_end, shared);
  }
}

void Recorder::Count(const internal::RequestEnd& request, ServerCell& cell) {
  const bool shared = cell.shared;
  CountDeadlines(request, cell);
  const TraceContext* const trace = TraceOf(request.ctx);
  const bool has_trace = trace != nullptr && trace->valid();
  if (!has_trace) cell.without_trace.Add(1, shared);
  if (request.shed) cell.shed.Add(1, shared);
  if (request.watched) cell.watches.Add(1, shared);
  cell.service_time.Observe(request.spent, shared);
  const Nanos worked = request.worked_after_end;
  if (worked > 0) cell.worked_after_end.Observe(worked, shared);
  if (request.deaf > deaf_after_) {
    cell.deaf.Add(1, shared);
    cell.deaf_longest.RaiseTo(static_cast<uint64_t>(request.deaf), shared);
    cells_.methods()
        .Get(request.method, /*may_add=*/false)
        ->deaf.Add(has_trace ? trace->TraceIdHex() : "", request.deaf);
  }
  if (!request.observed && request.spent > deaf_after_) {
    cell.not_observed.Add(1, shared);
  }
  cell.outcomes.Count(request.code, request.reason, shared);
}

void Recorder::Count(const internal::CallEnd& call, ClientCell& cell) {
  const bool shared = cell.shared;
  if (!call.sent) cell.not_sent.Add(1, shared);
  cell.duration.Observe(call.spent, shared);
  if (call.time_left == kNever) {
    cell.without_deadline.Add(1, shared);
  } else {
    cell.time_left.Observe(call.time_left, shared);
  }
  if (call.drift != kNever) cell.grpc_timeout_drift.Observe(call.drift, shared);
  cell.outcomes.Count(call.code, call.reason, shared);
}

std::atomic<Recorder*> recorder{nullptr};

void AddCell(const ServerCell& cell, ServerMetrics& metrics) {
  metrics.without_deadline += cell.without_deadline.get();
  metrics.unlimited += cell.unlimited.get();
  metrics.without_trace += cell.without_trace.get();
  metrics.default_timeouts += cell.default_timeouts.get();
  metrics.max_timeouts += cell.max_timeouts.get();
  metrics.shed += cell.shed.get();
  metrics.watches += cell.watches.get();
  metrics.deaf += cell.deaf.get();
  metrics.deaf_longest = std::max(
      metrics.deaf_longest,
      absl::Nanoseconds(static_cast<int64_t>(cell.deaf_longest.get())));
  metrics.not_observed += cell.not_observed.get();
  metrics.later_deadlines += cell.later_deadlines.get();
  cell.time_left_on_arrival.AddTo(metrics.time_left_on_arrival);
  cell.service_time.AddTo(metrics.service_time);
  cell.time_left_at_end.AddTo(metrics.time_left_at_end);
  cell.worked_after_end.AddTo(metrics.worked_after_end);
  for (const ServerCell::Callee& callee : cell.callees) {
    const uint64_t count = callee.count.get(std::memory_order_acquire);
    if (count == 0) continue;
    const Method* method = callee.method.load(std::memory_order_acquire);
    metrics.calls_without_context[method == nullptr ? "other" : method->name] +=
        count;
  }
}

void AddCell(const ClientCell& cell, ClientMetrics& metrics) {
  metrics.not_sent += cell.not_sent.get();
  metrics.without_deadline += cell.without_deadline.get();
  metrics.background_calls += cell.background_calls.get();
  cell.duration.AddTo(metrics.duration);
  cell.time_left.AddTo(metrics.time_left);
  cell.grpc_timeout_drift.AddTo(metrics.grpc_timeout_drift);
}

// Adds up the cells in a list. The outcomes are read first: see invariant 3 of
// the cells.
template <typename Result, typename Cell>
void AddCells(const std::string& name, const Cell* cell,
              std::map<std::string, Result>& all) {
  if (cell == nullptr) return;
  Result& result = all[name];
  OutcomeCells::Totals totals = {};
  for (; cell != nullptr; cell = cell->next) {
    result.total += cell->outcomes.AddTo(totals);
    AddCell(*cell, result);
  }
  result.outcomes = OutcomeCells::List(totals);
}

template <typename Cell>
size_t BytesOf(const Cell* cell) {
  size_t bytes = 0;
  for (; cell != nullptr; cell = cell->next) bytes += sizeof(*cell);
  return bytes;
}

}  // namespace

const std::array<double, DurationHistogram::kBounds>&
DurationHistogram::Bounds() {
  static constexpr std::array<double, kBounds> kSeconds = {
      0,   1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05,
      0.1, 0.2,  0.5,  1,    2,    5,    10,   30,   100};
  return kSeconds;
}

bool StartMetrics(const MetricsOptions& options) {
  if (recorder.load(std::memory_order_acquire) != nullptr) return false;
  auto made = std::make_unique<Recorder>(options);
  Recorder* none = nullptr;
  if (!recorder.compare_exchange_strong(none, made.get(),
                                        std::memory_order_acq_rel)) {
    return false;
  }
  internal::AddCallObserver(made.release());
  internal::ObserveLaterDeadlines([](const Context& parent) {
    recorder.load(std::memory_order_acquire)->OnLaterDeadline(parent);
  });
  return true;
}

Metrics ReadMetrics() {
  Metrics metrics;
  metrics.process = GetGrpcStats();
  Recorder* const all = recorder.load(std::memory_order_acquire);
  if (all == nullptr) return metrics;
  metrics.options = all->options();
  metrics.counted_for =
      absl::Nanoseconds(Clock::Real().SteadyNanos() - all->start());
  all->cells().methods().ForEach([&](const Method& method) {
    const ServerCell* const servers =
        method.servers.load(std::memory_order_acquire);
    AddCells(method.name, servers, metrics.servers);
    if (servers != nullptr) {
      metrics.servers[method.name].deaf_last = method.deaf.Read();
    }
    AddCells(method.name, method.clients.load(std::memory_order_acquire),
             metrics.clients);
  });
  return metrics;
}

MetricsMemory GetMetricsMemory() {
  MetricsMemory memory;
  memory.bytes_per_server_cell = sizeof(ServerCell);
  memory.bytes_per_client_cell = sizeof(ClientCell);
  Recorder* const all = recorder.load(std::memory_order_acquire);
  if (all == nullptr) return memory;
  memory.methods = all->cells().methods().size();
  memory.threads = all->cells().threads();
  all->cells().methods().ForEach([&memory](const Method& method) {
    memory.bytes += BytesOf(method.servers.load(std::memory_order_acquire)) +
                    BytesOf(method.clients.load(std::memory_order_acquire));
  });
  return memory;
}

}  // namespace tether
