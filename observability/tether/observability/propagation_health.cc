// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/propagation_health.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tether/end_reason.h"
#include "tether/observability/snapshot.h"

namespace tether {
namespace {

using v1::Finding;

// Probes and tools, whose callers need no deadline or trace.
bool IsInfrastructure(absl::string_view method) {
  return absl::StartsWith(method, "/grpc.health.") ||
         absl::StartsWith(method, "/grpc.reflection.") ||
         absl::StartsWith(method, "/tether.v1.Inspector/");
}

std::string CountOfRequests(int64_t count) {
  return count == 1 ? "1 request" : absl::StrCat(count, " requests");
}

std::string CountOfCalls(int64_t count) {
  return count == 1 ? "1 call" : absl::StrCat(count, " calls");
}

// In whole milliseconds, or seconds with one digit.
std::string Length(absl::Duration time) {
  return absl::FormatDuration(absl::Trunc(time, time < absl::Seconds(1)
                                                    ? absl::Milliseconds(1)
                                                    : absl::Milliseconds(100)));
}

// Operations of a handler that blocks fail only when core ends the call: a
// reserve (at most 50 ms by default) or answer_grace (100 ms) after the end.
constexpr absl::Duration kReleasedAfter = absl::Milliseconds(250);

// Requests that are deaf now, by method.
struct DeafNow {
  int64_t count = 0;
  absl::Duration longest;
  std::vector<std::string> trace_ids;
};

std::map<std::string, DeafNow> DeafRequestsIn(const InFlight& in_flight,
                                              absl::Duration deaf_after) {
  std::map<std::string, DeafNow> all;
  for (const InFlightRequest& request : in_flight.requests) {
    // The handler of a completed one has returned.
    if (request.ended_by == EndReason::kNone ||
        request.ended_by == EndReason::kCompleted ||
        request.ended_ago.value_or(absl::ZeroDuration()) <=
            std::max(deaf_after, kReleasedAfter)) {
      continue;
    }
    DeafNow& deaf = all[request.method];
    ++deaf.count;
    deaf.longest = std::max(deaf.longest, *request.ended_ago);
    if (!request.trace_id.empty()) deaf.trace_ids.push_back(request.trace_id);
  }
  return all;
}

// Writes the findings of one process.
class Doctor {
 public:
  Doctor(const Metrics& metrics, v1::PropagationHealth* health)
      : metrics_(metrics), health_(health) {}

  void Examine(const std::string& method, const ServerMetrics& server,
               const DeafNow& deaf_now);
  void Examine(const std::string& method, const ClientMetrics& client);
  void ExamineProcess();

 private:
  Finding& Add(Finding::Kind kind, Finding::Severity severity,
               std::string_view method, uint64_t count, uint64_t total,
               std::string what, std::string fix);

  void ExamineCallees(const std::string& method, const ServerMetrics& server);
  void ExamineDeaf(const std::string& method, const ServerMetrics& server,
                   const DeafNow& now);
  void ExamineArrivals(const std::string& method, const ServerMetrics& server);

  const Metrics& metrics_;
  v1::PropagationHealth* const health_;
};

Finding& Doctor::Add(Finding::Kind kind, Finding::Severity severity,
                     std::string_view method, uint64_t count, uint64_t total,
                     std::string what, std::string fix) {
  Finding& finding = *health_->add_findings();
  finding.set_kind(kind);
  finding.set_severity(severity);
  finding.set_method(CleanText(method));
  finding.set_count(static_cast<int64_t>(count));
  finding.set_total(static_cast<int64_t>(total));
  finding.set_what(std::move(what));
  finding.set_fix(std::move(fix));
  return finding;
}

void Doctor::ExamineCallees(const std::string& method,
                            const ServerMetrics& server) {
  for (const auto& [callee, count] : server.calls_without_context) {
    Finding& finding =
        Add(Finding::KIND_CONTEXT_NOT_HANDED_ON, Finding::SEVERITY_WARNING,
            method, count, server.total,
            absl::StrCat(CleanText(method), " made ",
                         CountOfCalls(static_cast<int64_t>(count)), " of ",
                         CleanText(callee),
                         " without the context of its request: they have no "
                         "deadline of it, and go on when the caller leaves."),
            "Make the call with the request's context: tether::ClientCall "
            "call(tether::ContextOf(*server_context)). If it must outlive the "
            "request, set CallOptions::detached.");
    finding.set_callee(CleanText(callee));
  }
}

void Doctor::ExamineDeaf(const std::string& method, const ServerMetrics& server,
                         const DeafNow& now) {
  const uint64_t count = server.deaf + static_cast<uint64_t>(now.count);
  if (count == 0) return;
  const absl::Duration longest = std::max(server.deaf_longest, now.longest);
  Finding& finding = Add(
      Finding::KIND_DEAF_HANDLER, Finding::SEVERITY_WARNING, method, count,
      server.total + static_cast<uint64_t>(now.count),
      absl::StrCat(CleanText(method), " worked on after the end of ",
                   CountOfRequests(static_cast<int64_t>(count)), ", for up to ",
                   Length(longest), now.count > 0 ? " and still does" : "",
                   "."),
      "Wait with ctx.WaitFor(), ask ctx.Done() in loops, and make calls with "
      "the request's context. Then the handler stops when nobody waits for "
      "it.");
  finding.set_longest_us(absl::ToInt64Microseconds(longest));
  for (const std::string& id : now.trace_ids) {
    if (finding.trace_ids_size() >= 8) return;
    finding.add_trace_ids(CleanText(id));
  }
  for (const DeafRequest& request : server.deaf_last) {
    if (finding.trace_ids_size() >= 8) return;
    if (request.trace_id.empty()) continue;
    finding.add_trace_ids(CleanText(request.trace_id));
  }
}

void Doctor::ExamineArrivals(const std::string& method,
                             const ServerMetrics& server) {
  if (server.without_deadline > 0) {
    const bool unlimited = server.unlimited > 0;
    Add(Finding::KIND_NO_DEADLINE,
        unlimited ? Finding::SEVERITY_WARNING : Finding::SEVERITY_INFO, method,
        server.without_deadline, server.total,
        absl::StrCat(server.without_deadline, " of ",
                     CountOfRequests(static_cast<int64_t>(server.total)),
                     " to ", CleanText(method), " came without a deadline",
                     unlimited ? ": nothing ends them if something hangs."
                               : "; the server's own limit ends them."),
        "Set a deadline in the first client, and hand the context on in each "
        "service between. Until then, set "
        "ServerOptions::time.default_timeout.");
  }
  if (server.without_trace > 0) {
    Add(Finding::KIND_NO_TRACE, Finding::SEVERITY_INFO, method,
        server.without_trace, server.total,
        absl::StrCat(server.without_trace, " of ",
                     CountOfRequests(static_cast<int64_t>(server.total)),
                     " to ", CleanText(method), " came without a trace."),
        "Start a trace in the first client (tether::NewTrace), or let "
        "OpenTelemetry do so.");
  }
}

void Doctor::Examine(const std::string& method, const ServerMetrics& server,
                     const DeafNow& deaf_now) {
  if (IsInfrastructure(method)) return;
  ExamineCallees(method, server);
  ExamineDeaf(method, server, deaf_now);
  ExamineArrivals(method, server);
  if (server.not_observed > 0) {
    Add(Finding::KIND_CONTEXT_NOT_OBSERVED, Finding::SEVERITY_WARNING, method,
        server.not_observed, server.total,
        absl::StrCat(CleanText(method), " ran for longer than ",
                     Length(metrics_.options.deaf_after), " in ",
                     CountOfRequests(static_cast<int64_t>(server.not_observed)),
                     " while nothing looked at the context."),
        "Make its calls and its waits with tether::ContextOf(*server_context), "
        "or ask ctx.Done() now and then.");
  }
  if (server.later_deadlines > 0) {
    Add(Finding::KIND_LATER_DEADLINE, Finding::SEVERITY_INFO, method,
        server.later_deadlines, server.total,
        absl::StrCat(CleanText(method), " asked ", server.later_deadlines,
                     " times for a later deadline than its request had. The "
                     "earlier one counts."),
        "Nothing, if the timeout is a maximum. Otherwise the callers give too "
        "little time.");
  }
}

void Doctor::Examine(const std::string& method, const ClientMetrics& client) {
  if (client.background_calls == 0 || IsInfrastructure(method)) return;
  Add(Finding::KIND_CALL_WITHOUT_CONTEXT, Finding::SEVERITY_INFO, method,
      client.background_calls, client.total,
      absl::StrCat(CountOfCalls(static_cast<int64_t>(client.background_calls)),
                   " of ", CleanText(method),
                   " belong to no request, on threads that serve none."),
      "Nothing, if it is background work. Otherwise hand the context to that "
      "thread: tether::Bind(ctx, f).");
}

void Doctor::ExamineProcess() {
  const int64_t count = metrics_.process.contexts_not_found;
  if (count == 0) return;
  Add(Finding::KIND_NOT_INSTALLED, Finding::SEVERITY_WARNING, "",
      static_cast<uint64_t>(count), 0,
      absl::StrCat("ContextOf() found no context ", count, " times."),
      "Call tether::InstallServer for each ServerBuilder, after all other "
      "SetInterceptorCreators, and ContextOf() only while the request is "
      "alive.");
}

void WriteMethods(const Metrics& metrics,
                  const std::map<std::string, DeafNow>& deaf_now,
                  v1::PropagationHealth& health) {
  std::map<std::string, v1::MethodHealth> methods;
  for (const auto& [name, server] : metrics.servers) {
    v1::MethodHealth& method = methods[name];
    method.set_requests(static_cast<int64_t>(server.total));
    method.set_without_deadline(static_cast<int64_t>(server.without_deadline));
    method.set_without_trace(static_cast<int64_t>(server.without_trace));
    method.set_deaf(static_cast<int64_t>(server.deaf));
    method.set_deaf_longest_us(absl::ToInt64Microseconds(server.deaf_longest));
    method.set_not_observed(static_cast<int64_t>(server.not_observed));
    uint64_t calls = 0;
    for (const auto& entry : server.calls_without_context) {
      calls += entry.second;
    }
    method.set_calls_without_context(static_cast<int64_t>(calls));
    method.set_later_deadlines(static_cast<int64_t>(server.later_deadlines));
  }
  for (const auto& [name, client] : metrics.clients) {
    v1::MethodHealth& method = methods[name];
    method.set_calls(static_cast<int64_t>(client.total));
    method.set_background_calls(static_cast<int64_t>(client.background_calls));
  }
  for (const auto& [name, deaf] : deaf_now) {
    v1::MethodHealth& method = methods[name];
    method.set_deaf(method.deaf() + deaf.count);
    method.set_deaf_longest_us(std::max(
        method.deaf_longest_us(), absl::ToInt64Microseconds(deaf.longest)));
  }
  for (auto& [name, method] : methods) {
    method.set_method(CleanText(name));
    *health.add_methods() = std::move(method);
  }
}

}  // namespace

v1::PropagationHealth PropagationHealthOf(const Metrics& metrics,
                                          const InFlight& in_flight) {
  v1::PropagationHealth health;
  health.set_process(CleanText(ProcessName()));
  health.set_pid(getpid());
  health.set_counted_us(absl::ToInt64Microseconds(metrics.counted_for));
  if (metrics.counted_for <= absl::ZeroDuration()) return health;

  auto deaf_now = DeafRequestsIn(in_flight, metrics.options.deaf_after);
  Doctor doctor(metrics, &health);
  for (const auto& [method, server] : metrics.servers) {
    doctor.Examine(method, server, deaf_now[method]);
  }
  for (const auto& [method, deaf] : deaf_now) {
    // Its first request still runs.
    if (metrics.servers.count(method) == 0) {
      doctor.Examine(method, ServerMetrics(), deaf);
    }
  }
  for (const auto& [method, client] : metrics.clients) {
    doctor.Examine(method, client);
  }
  doctor.ExamineProcess();
  // The numbers of the kinds are in the order of their urgency.
  const auto key = [](const Finding& finding) {
    return std::make_tuple(-finding.severity(), finding.kind(),
                           -finding.count());
  };
  std::stable_sort(
      health.mutable_findings()->begin(), health.mutable_findings()->end(),
      [&key](const Finding& a, const Finding& b) { return key(a) < key(b); });
  WriteMethods(metrics, deaf_now, health);
  return health;
}

v1::PropagationHealth GetPropagationHealth() {
  InspectOptions all;
  all.max_entries = 100'000;
  return PropagationHealthOf(ReadMetrics(), Inspect(all));
}

}  // namespace tether
