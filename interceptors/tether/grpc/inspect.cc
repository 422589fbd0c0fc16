// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/inspect.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "tether/clock.h"
#include "tether/end_reason.h"
#include "tether/grpc/internal/client_call_state.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/server_call.h"
#include "tether/grpc/internal/time.h"
#include "tether/internal/nanos.h"
#include "tether/internal/rpc_context.h"
#include "tether/propagation/log_fields.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

using internal::ClientCallRecord;
using internal::ClientCallState;
using internal::CountBetween;
using internal::Nanos;
using internal::ServerCall;
using Requests = std::vector<std::shared_ptr<ServerCall>>;
using Calls = std::vector<ClientCallRecord::UnderWay>;

// Fills a list by `collect`, under whose locks nothing may be allocated: it
// returns false when the list has no more room, and is called again with more.
// `expected`: how many there probably are.
template <typename List, typename Collect>
List Collected(int64_t expected, Collect collect) {
  List list;
  for (size_t room = static_cast<size_t>(expected) + 64;; room *= 2) {
    list.clear();
    list.reserve(room);
    if (collect(list)) return list;
  }
}

Requests AllRequests() {
  const int64_t expected = CountBetween(internal::RpcEvent::kServerCallMade,
                                        internal::RpcEvent::kServerCallGone);
  return Collected<Requests>(expected, [](Requests& list) {
    bool complete = true;
    ServerCall::Registry().ForEach([&](ServerCall* call) {
      complete = complete && list.size() < list.capacity();
      if (!complete) return;
      // Null if it is about to be destroyed. Not the last owner: the call is
      // removed before the interceptor drops its own reference.
      if (auto held = call->weak_from_this().lock()) {
        list.push_back(std::move(held));
      }
    });
    return complete;
  });
}

Calls AllCalls() {
  const int64_t expected = CountBetween(internal::RpcEvent::kClientCallMade,
                                        internal::RpcEvent::kClientCallGone);
  return Collected<Calls>(expected, [](Calls& list) {
    // Made before, so that the memory has been touched.
    list.resize(list.capacity());
    size_t count = 0;
    bool complete = true;
    ClientCallState::ForEach([&](const ClientCallState* state) {
      complete = complete && count < list.size();
      if (complete && state->record().CopyIfUnderWay(list[count])) ++count;
    });
    list.resize(count);
    return complete;
  });
}

// What ended a call's context, at `now`; kNone if nothing has.
EndReason EndOf(const Context& ctx, Nanos now) {
  if (internal::HasEnded(ctx)) return EndReasonOf(ctx);
  if (internal::RemainingAt(now, ctx) > 0) return EndReason::kNone;
  const EndReason reason = EndReasonIn(internal::CauseOfDeadline(ctx));
  return reason == EndReason::kNone ? EndReason::kOwnTimeout : reason;
}

InFlightCall Describe(const ClientCallRecord::UnderWay& call, Nanos now) {
  InFlightCall out;
  out.method.assign(call.method, call.method_size);
  out.target.assign(call.target, call.target_size);
  out.label.assign(call.label, call.label_size);
  if (const TraceContext* trace = TraceOf(call.ctx);
      trace != nullptr && trace->valid()) {
    out.trace_id = trace->TraceIdHex();
  }
  const Nanos age = std::max<Nanos>(0, now - call.start);
  out.age = absl::Nanoseconds(age);
  const Nanos own_left = internal::AddNanos(call.left, -age);
  out.time_left = internal::ToDuration(
      std::min(call.left == internal::kNever ? call.left : own_left,
               internal::RemainingAt(now, call.ctx)));
  out.ended_by = EndOf(call.ctx, now);
  return out;
}

struct LessTimeLeft {
  template <typename Entry>
  bool operator()(const Entry& a, const Entry& b) const {
    // Without a deadline, the oldest is the most interesting.
    return a.time_left != b.time_left ? a.time_left < b.time_left
                                      : a.age > b.age;
  }
};

template <typename Entry>
void SortAndCut(size_t max, std::vector<Entry>& entries) {
  if (entries.size() > max) {
    const auto end = entries.begin() + static_cast<std::ptrdiff_t>(max);
    std::nth_element(entries.begin(), end, entries.end(), LessTimeLeft());
    entries.erase(end, entries.end());
  }
  std::sort(entries.begin(), entries.end(), LessTimeLeft());
}

template <typename Entry>
bool IsWanted(const Entry& entry, const InspectOptions& options) {
  return (options.trace_id.empty() || entry.trace_id == options.trace_id) &&
         (options.method_contains.empty() ||
          entry.method.find(options.method_contains) != std::string::npos);
}

// The requests, whose ids go to `ids`.
std::vector<InFlightRequest> DescribeAll(const Requests& requests, Nanos now,
                                         std::vector<const void*>& ids) {
  std::vector<InFlightRequest> all;
  all.reserve(requests.size());
  ids.reserve(requests.size());
  for (const auto& request : requests) {
    std::optional<InFlightRequest> described = request->Describe(now);
    if (!described.has_value()) continue;
    all.push_back(*std::move(described));
    ids.push_back(request->id());
  }
  return all;
}

template <typename Entry>
void Select(const InspectOptions& options, std::vector<Entry>& entries) {
  entries.erase(std::remove_if(entries.begin(), entries.end(),
                               [&options](const Entry& entry) {
                                 return !IsWanted(entry, options);
                               }),
                entries.end());
  SortAndCut(options.max_entries, entries);
}

}  // namespace

InFlight Inspect(const InspectOptions& options) {
  // In this order: a call begins after its request. So its request is found,
  // too, unless that has ended meanwhile.
  const Calls calls = AllCalls();
  const Requests requests = AllRequests();
  const Nanos now = Clock::Real().SteadyNanos();

  InFlight result;
  std::vector<const void*> ids;
  result.requests = DescribeAll(requests, now, ids);
  absl::flat_hash_map<const void*, size_t> places;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] != nullptr) places.emplace(ids[i], i);
  }
  for (const ClientCallRecord::UnderWay& call : calls) {
    const auto place = places.find(MethodOf(call.ctx).data());
    (place != places.end() ? result.requests[place->second].waits_for
                           : result.other_calls)
        .push_back(Describe(call, now));
  }
  result.requests_in_flight = static_cast<int64_t>(result.requests.size());
  result.calls_in_flight = static_cast<int64_t>(calls.size());
  Select(options, result.requests);
  Select(options, result.other_calls);
  for (InFlightRequest& request : result.requests) {
    std::sort(request.waits_for.begin(), request.waits_for.end(),
              LessTimeLeft());
  }
  return result;
}

}  // namespace tether
