// SPDX-License-Identifier: Apache-2.0

#include "sidecar/correlator.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "tether/internal/live_counts.h"
#include "tether/internal/nanos.h"
#include "tether/propagation/internal/hex.h"

namespace tether::sidecar {
namespace {

// Small tables have one, so that the bound of tombstones is exact.
size_t ShardsFor(size_t max_entries) { return max_entries < 1024 ? 1 : 16; }

internal::Nanos LifeOf(absl::Duration life) {
  if (life == absl::InfiniteDuration()) return internal::kNever;
  return std::max<internal::Nanos>(absl::ToInt64Nanoseconds(life), 0);
}

std::optional<std::array<uint8_t, 16>> TraceKeyOf(std::string_view trace_id) {
  std::array<uint8_t, 16> key;
  if (trace_id.size() != 32 ||
      !internal::ParseLowerHex<16>(trace_id.data(), key.data()) ||
      internal::IsZeroId(key)) {
    return std::nullopt;
  }
  return key;
}

bool IsRequestId(std::string_view text) {
  return !text.empty() && text.size() <= Correlator::kMaxRequestIdBytes;
}

absl::string_view View(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

}  // namespace

Correlator::Correlator(const HopIds& ids, Options options)
    : ids_(ids),
      clock_(*options.clock),
      max_entries_(options.max_entries),
      by_id_(0, ShardsFor(max_entries_), max_entries_,
             LifeOf(options.tombstone_life)),
      by_trace_(1, ShardsFor(max_entries_), max_entries_,
                LifeOf(options.tombstone_life)),
      by_request_id_(2, ShardsFor(max_entries_), max_entries_,
                     LifeOf(options.tombstone_life)) {}

Correlator::~Correlator() = default;

std::shared_ptr<Request> Correlator::Begin(const HopId& id,
                                           std::string_view trace_id,
                                           std::string_view request_id,
                                           const Context& ctx) {
  if (alive_.fetch_add(1, std::memory_order_relaxed) >= max_entries_) {
    alive_.fetch_sub(1, std::memory_order_relaxed);
    Add(kOverflowed);
    return nullptr;
  }
  auto request = std::make_shared<Request>(id, ctx);
  const internal::Nanos now = Now();
  by_id_.Add(id, request, now);
  if (const auto trace = TraceKeyOf(trace_id)) {
    by_trace_.Add(*trace, request, now);
  }
  if (IsRequestId(request_id)) {
    by_request_id_.Add(View(request_id), request, now);
  }
  return request;
}

void Correlator::End(const std::shared_ptr<Request>& request,
                     RequestEnd otherwise, absl::Status status) {
  if (request == nullptr ||
      request->closed_.exchange(true, std::memory_order_acq_rel)) {
    return;
  }
  if (request->End(otherwise) == RequestEnd::kCompleted) {
    status = absl::OkStatus();
  } else if (status.ok()) {
    status = request->status();
  }
  const internal::Nanos now = Now();
  by_id_.End(*request, status, now);
  by_trace_.End(*request, status, now);
  by_request_id_.End(*request, status, now);
  alive_.fetch_sub(1, std::memory_order_relaxed);
}

Correlator::Match Correlator::Find(const RequestNames& names) {
  Match match;
  const internal::Nanos now = Now();
  if (!names.ids.empty()) {
    FindIds(names.ids, now, match);
    CountMatch(match);
    return match;
  }
  Candidates candidates;
  const auto trace = TraceKeyOf(names.trace_id);
  if (trace.has_value() && by_trace_.Find(*trace, now, candidates)) {
    Judge(candidates, By::kTrace, match);
  } else if (IsRequestId(names.request_id) &&
             by_request_id_.Find(View(names.request_id), now, candidates)) {
    Judge(candidates, By::kRequestId, match);
  }
  CountMatch(match);
  return match;
}

void Correlator::FindIds(absl::Span<const HopId> ids, internal::Nanos now,
                         Match& match) {
  // Headers repeat ids: baggage and tracestate have the same one.
  absl::InlinedVector<HopId, 2> seen;
  Candidates candidates;
  bool any = false;
  for (const HopId& id : ids) {
    if (std::find(seen.begin(), seen.end(), id) != seen.end()) continue;
    if (seen.size() == kMaxCandidates) {
      candidates.too_many = true;
      break;
    }
    seen.push_back(id);
    if (!ids_.IsOurs(id)) continue;
    match.expired = true;
    any |= by_id_.Find(id, now, candidates);
  }
  match.foreign = !match.expired;
  if (!any && !candidates.too_many) return;
  match.expired = match.foreign = false;
  Judge(candidates, By::kId, match);
}

void Correlator::Judge(Candidates& candidates, By by, Match& match) {
  match.by = by;
  if (candidates.too_many) {
    match.too_many = true;
    return;
  }
  for (std::shared_ptr<Request>& request : candidates.requests) {
    const std::optional<RequestEnd> end = request->ended();
    if (!end.has_value()) {
      match.requests.push_back(std::move(request));
    } else if (*end == RequestEnd::kCompleted) {
      candidates.completed = true;
    } else {
      // It has ended later than those with a tombstone.
      candidates.status = request->status();
    }
  }
  if (!match.requests.empty()) {
    match.kind = Match::Kind::kAlive;
  } else if (candidates.completed) {
    match.kind = Match::Kind::kLate;
  } else {
    match.kind = Match::Kind::kRefused;
    match.status = std::move(candidates.status);
  }
}

void Correlator::Add(Count count) {
  Cell& cell = cells_[internal::ThreadNumber() % cells_.size()];
  cell.counts[count].fetch_add(1, std::memory_order_relaxed);
}

int64_t Correlator::Sum(Count count) const {
  int64_t sum = 0;
  for (const Cell& cell : cells_) {
    sum += cell.counts[count].load(std::memory_order_relaxed);
  }
  return sum;
}

void Correlator::CountMatch(const Match& match) {
  switch (match.kind) {
    case Match::Kind::kAlive:
      Add(match.by == By::kId      ? kById
          : match.by == By::kTrace ? kByTrace
                                   : kByRequestId);
      return;
    case Match::Kind::kLate:
      return Add(kLate);
    case Match::Kind::kRefused:
      return Add(kRefused);
    case Match::Kind::kNone:
      break;
  }
  Add(kNone);
  if (match.foreign) Add(kForeign);
  if (match.expired) Add(kExpired);
  if (match.too_many) Add(kTooMany);
}

Correlator::Stats Correlator::stats() {
  Stats stats;
  stats.alive = static_cast<int64_t>(alive_.load(std::memory_order_relaxed));
  stats.tombstones = static_cast<int64_t>(by_id_.CountTombstones(Now()));
  stats.overflowed = Sum(kOverflowed);
  stats.by_id = Sum(kById);
  stats.by_trace = Sum(kByTrace);
  stats.by_request_id = Sum(kByRequestId);
  stats.late = Sum(kLate);
  stats.refused = Sum(kRefused);
  stats.none = Sum(kNone);
  stats.foreign = Sum(kForeign);
  stats.expired = Sum(kExpired);
  stats.too_many_candidates = Sum(kTooMany);
  return stats;
}

}  // namespace tether::sidecar
