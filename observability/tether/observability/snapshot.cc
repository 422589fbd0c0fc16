// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/snapshot.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace tether {
namespace {

constexpr size_t kDefaultEntries = 1000;
constexpr size_t kMostEntries = 10'000;
constexpr size_t kMostCallsOfARequest = 100;
// Below gRPC's default limit for messages, 4 MiB.
constexpr size_t kMostBytes = size_t{3} << 20;

int64_t Micros(absl::Duration time) { return absl::ToInt64Microseconds(time); }

void Write(const InFlightCall& call, v1::InFlightCall& message) {
  message.set_method(CleanText(call.method));
  message.set_target(CleanText(call.target));
  message.set_label(CleanText(call.label));
  message.set_trace_id(CleanText(call.trace_id));
  message.set_age_us(Micros(call.age));
  if (call.time_left != absl::InfiniteDuration()) {
    message.set_time_left_us(Micros(call.time_left));
  }
  // The numbers are the same.
  message.set_ended_by(static_cast<v1::EndReason>(call.ended_by));
}

void Write(const InFlightRequest& request, v1::InFlightRequest& message) {
  message.set_method(CleanText(request.method));
  message.set_peer(CleanText(request.peer));
  message.set_trace_id(CleanText(request.trace_id));
  message.set_request_id(CleanText(request.request_id));
  message.set_style(static_cast<v1::ApiStyle>(request.style));
  message.set_age_us(Micros(request.age));
  if (request.time_left != absl::InfiniteDuration()) {
    message.set_time_left_us(Micros(request.time_left));
  }
  message.set_deadline_owner(
      static_cast<v1::DeadlineOwner>(request.deadline_owner));
  message.set_ended_by(static_cast<v1::EndReason>(request.ended_by));
  if (request.ended_ago.has_value()) {
    message.set_ended_ago_us(Micros(*request.ended_ago));
  }
  message.set_observed(request.observed);
  message.set_waits_for_total(static_cast<int64_t>(request.waits_for.size()));
  for (const InFlightCall& call : request.waits_for) {
    if (message.waits_for_size() >= static_cast<int>(kMostCallsOfARequest)) {
      return;
    }
    Write(call, *message.add_waits_for());
  }
}

}  // namespace

std::string CleanText(std::string_view text, size_t max_size) {
  constexpr std::string_view kMore = "...";
  std::string clean;
  clean.reserve(std::min(text.size(), max_size));
  const bool is_cut = text.size() > max_size;
  const size_t kept =
      is_cut ? max_size - std::min(max_size, kMore.size()) : text.size();
  for (const char c : text.substr(0, kept)) {
    clean += c >= 0x20 && c <= 0x7e ? c : '?';
  }
  if (is_cut) clean += kMore.substr(0, max_size);
  return clean;
}

std::string ProcessName() { return program_invocation_short_name; }

v1::Snapshot ToSnapshot(const InFlight& in_flight) {
  v1::Snapshot snapshot;
  snapshot.set_process(CleanText(ProcessName()));
  snapshot.set_pid(getpid());
  snapshot.set_requests_in_flight(in_flight.requests_in_flight);
  snapshot.set_calls_in_flight(in_flight.calls_in_flight);
  size_t bytes = 0;
  for (const InFlightRequest& request : in_flight.requests) {
    if (bytes > kMostBytes) break;
    Write(request, *snapshot.add_requests());
    bytes += snapshot.requests(snapshot.requests_size() - 1).ByteSizeLong();
  }
  for (const InFlightCall& call : in_flight.other_calls) {
    if (bytes > kMostBytes) break;
    Write(call, *snapshot.add_other_calls());
    bytes +=
        snapshot.other_calls(snapshot.other_calls_size() - 1).ByteSizeLong();
  }
  return snapshot;
}

v1::Snapshot TakeSnapshot(const v1::ListRequest& request) {
  InspectOptions options;
  options.method_contains = request.method_contains();
  options.trace_id = request.trace_id();
  options.max_entries =
      request.max_entries() <= 0
          ? kDefaultEntries
          : std::min(static_cast<size_t>(request.max_entries()), kMostEntries);
  return ToSnapshot(Inspect(options));
}

}  // namespace tether
