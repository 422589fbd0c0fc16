// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/internal/metric_visits.h"

#include <grpcpp/support/status.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "tether/end_reason.h"
#include "tether/grpc/inspect.h"

namespace tether::internal {
namespace {

constexpr std::string_view kOther = "other";
constexpr size_t kMostCallees = 20;

template <typename Figures>
using ByMethod = std::map<std::string, Figures>;

// Codes that gRPC doesn't define come from strangers.
std::string CodeLabel(grpc::StatusCode code) {
  const std::string name =
      absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
  return name.empty() ? "UNKNOWN" : name;
}

std::string ReasonLabel(EndReason reason) {
  const std::string_view name = EndReasonName(reason);
  if (name.empty()) return "none";
  return absl::StrReplaceAll({name.data(), name.size()}, {{" ", "_"}});
}

template <typename Figures>
void VisitOutcomes(const ByMethod<Figures>& methods, const MetricSink& sink) {
  for (const auto& [method, figures] : methods) {
    // Several codes and reasons may have the same label.
    std::map<std::pair<std::string, std::string>, uint64_t> sums;
    for (const OutcomeCount& outcome : figures.outcomes) {
      sums[{CodeLabel(outcome.code), ReasonLabel(outcome.reason)}] +=
          outcome.count;
    }
    for (const auto& [labels, count] : sums) {
      sink.value({{"method", MethodLabel(method)},
                  {"code", labels.first},
                  {"reason", labels.second}},
                 static_cast<double>(count));
    }
  }
}

// Counts by method. Methods of which nothing is in flight have zero, so that no
// set of labels comes and goes. A method without figures of its own is "other",
// also while its first request is in flight: strangers may choose its name.
class InFlightCounts {
 public:
  template <typename Figures>
  explicit InFlightCounts(const ByMethod<Figures>& methods) {
    AddOthers(0);
    for (const auto& [method, figures] : methods) counts_[method] = 0;
  }

  void Add(const std::string& method) {
    const auto it = counts_.find(method);
    if (it != counts_.end()) {
      ++it->second;
    } else {
      AddOthers(1);
    }
  }
  void AddOthers(int64_t count) { counts_[std::string(kOther)] += count; }

  void Visit(const MetricSink& sink) const {
    for (const auto& [method, count] : counts_) {
      sink.value({{"method", MethodLabel(method)}}, static_cast<double>(count));
    }
  }

 private:
  std::map<std::string, int64_t> counts_;
};

}  // namespace

std::string MethodLabel(std::string_view method) {
  return absl::CHexEscape({method.data(), method.size()});
}

void VisitServerOutcomes(const MetricValues& values, const MetricSink& sink) {
  VisitOutcomes(values.metrics.servers, sink);
}

void VisitClientOutcomes(const MetricValues& values, const MetricSink& sink) {
  VisitOutcomes(values.metrics.clients, sink);
}

void VisitChangedDeadlines(const MetricValues& values, const MetricSink& sink) {
  for (const auto& [method, server] : values.metrics.servers) {
    const std::string label = MethodLabel(method);
    sink.value({{"method", label}, {"by", "default_timeout"}},
               static_cast<double>(server.default_timeouts));
    sink.value({{"method", label}, {"by", "max_timeout"}},
               static_cast<double>(server.max_timeouts));
  }
}

void VisitLongestDeaf(const MetricValues& values, const MetricSink& sink) {
  for (const auto& [method, server] : values.metrics.servers) {
    sink.value({{"method", MethodLabel(method)}},
               absl::ToDoubleSeconds(server.deaf_longest));
  }
}

// The callees that come first in the alphabet have labels of their own. Callees
// are only added, so one that counts as "other" stays there, and the sum of
// "other" never falls.
void VisitCallsWithoutContext(const MetricValues& values,
                              const MetricSink& sink) {
  for (const auto& [method, server] : values.metrics.servers) {
    const std::string label = MethodLabel(method);
    uint64_t others = 0;
    size_t named = 0;
    for (const auto& [callee, count] : server.calls_without_context) {
      if (callee == kOther || named == kMostCallees) {
        others += count;
        continue;
      }
      ++named;
      sink.value({{"method", label}, {"callee", MethodLabel(callee)}},
                 static_cast<double>(count));
    }
    if (others == 0) continue;
    sink.value({{"method", label}, {"callee", std::string(kOther)}},
               static_cast<double>(others));
  }
}

void VisitRequestsInFlight(const MetricValues& values, const MetricSink& sink) {
  const InFlight& now = values.in_flight;
  InFlightCounts counts(values.metrics.servers);
  for (const InFlightRequest& request : now.requests) {
    counts.Add(request.method);
  }
  if (now.requests.size() >= kMostInFlight) {
    const auto listed = static_cast<int64_t>(now.requests.size());
    counts.AddOthers(std::max<int64_t>(now.requests_in_flight - listed, 0));
  }
  counts.Visit(sink);
}

void VisitEndedInFlight(const MetricValues& values, const MetricSink& sink) {
  InFlightCounts counts(values.metrics.servers);
  for (const InFlightRequest& request : values.in_flight.requests) {
    if (request.ended_by != EndReason::kNone &&
        request.ended_by != EndReason::kCompleted) {
      counts.Add(request.method);
    }
  }
  counts.Visit(sink);
}

void VisitCallsInFlight(const MetricValues& values, const MetricSink& sink) {
  const InFlight& now = values.in_flight;
  InFlightCounts counts(values.metrics.clients);
  int64_t listed = 0;
  const auto add = [&](const std::vector<InFlightCall>& calls) {
    for (const InFlightCall& call : calls) counts.Add(call.method);
    listed += static_cast<int64_t>(calls.size());
  };
  for (const InFlightRequest& request : now.requests) add(request.waits_for);
  add(now.other_calls);
  if (now.requests.size() >= kMostInFlight ||
      now.other_calls.size() >= kMostInFlight) {
    counts.AddOthers(std::max<int64_t>(now.calls_in_flight - listed, 0));
  }
  counts.Visit(sink);
}

void VisitDroppedHeaders(const MetricValues& values, const MetricSink& sink) {
  const GrpcStats& stats = values.metrics.process;
  sink.value({{"kind", "oversized"}}, static_cast<double>(stats.oversized));
  sink.value({{"kind", "packed"}}, static_cast<double>(stats.bad_packed));
  sink.value({{"kind", "report"}}, static_cast<double>(stats.bad_reports));
  sink.value({{"kind", "timeout"}}, static_cast<double>(stats.bad_timeouts));
}

void VisitExceptions(const MetricValues& values, const MetricSink& sink) {
  sink.value({{"from", "callback"}},
             static_cast<double>(values.contexts.callback_exceptions));
  sink.value({{"from", "hook"}},
             static_cast<double>(values.metrics.process.exceptions));
}

void VisitCountedFor(const MetricValues& values, const MetricSink& sink) {
  sink.value({}, absl::ToDoubleSeconds(values.metrics.counted_for));
}

}  // namespace tether::internal
