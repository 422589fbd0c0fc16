// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/internal/metric_cells.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/live_counts.h"

namespace tether::internal {
namespace {

// DurationHistogram::Bounds() in nanoseconds.
constexpr std::array<Nanos, DurationHistogram::kBounds> kBoundNanos = {
    0,
    100'000,
    200'000,
    500'000,
    1'000'000,
    2'000'000,
    5'000'000,
    10'000'000,
    20'000'000,
    50'000'000,
    100'000'000,
    200'000'000,
    500'000'000,
    1'000'000'000,
    2'000'000'000,
    5'000'000'000,
    10'000'000'000,
    30'000'000'000,
    100'000'000'000};

template <typename Cell>
Cell* MakeCell(std::atomic<Cell*>& list, bool shared) {
  auto* const made = new Cell;
  made->shared = shared;
  made->next = list.load(std::memory_order_relaxed);
  while (!list.compare_exchange_weak(
      made->next, made, std::memory_order_release, std::memory_order_relaxed)) {
  }
  return made;
}

Method* FindIn(Method* first, const Method* end, std::string_view name) {
  for (Method* method = first; method != end; method = method->next) {
    if (method->name == name) return method;
  }
  return nullptr;
}

}  // namespace

void Counter::RaiseTo(uint64_t n, bool shared) {
  uint64_t now = value_.load(std::memory_order_relaxed);
  while (now < n) {
    if (!shared) return value_.store(n, std::memory_order_relaxed);
    if (value_.compare_exchange_weak(now, n, std::memory_order_relaxed)) return;
  }
}

void Sum::Add(double n, bool shared) {
  double now = value_.load(std::memory_order_relaxed);
  if (!shared) return value_.store(now + n, std::memory_order_relaxed);
  while (
      !value_.compare_exchange_weak(now, now + n, std::memory_order_relaxed)) {
  }
}

void HistogramCell::Observe(Nanos time, bool shared) {
  time = std::max<Nanos>(0, time);
  const auto bound =
      std::lower_bound(kBoundNanos.begin(), kBoundNanos.end(), time);
  buckets[static_cast<size_t>(bound - kBoundNanos.begin())].Add(1, shared);
  sum.Add(static_cast<double>(time), shared);
}

void HistogramCell::AddTo(DurationHistogram& histogram) const {
  for (size_t i = 0; i < buckets.size(); ++i) {
    const uint64_t count = buckets[i].get();
    histogram.buckets[i] += count;
    histogram.count += count;
  }
  histogram.sum_seconds += sum.get() / 1e9;
}

void OutcomeCells::Count(grpc::StatusCode code, EndReason reason, bool shared) {
  // gRPC accepts any number from an application.
  auto number = static_cast<size_t>(code);
  if (number >= kCodes) number = static_cast<size_t>(grpc::StatusCode::UNKNOWN);
  const size_t why = std::min(static_cast<size_t>(reason), kReasons - 1);
  counts[number * kReasons + why].Add(1, shared, std::memory_order_release);
}

uint64_t OutcomeCells::AddTo(Totals& totals) const {
  uint64_t added = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const uint64_t count = counts[i].get(std::memory_order_acquire);
    totals[i] += count;
    added += count;
  }
  return added;
}

std::vector<OutcomeCount> OutcomeCells::List(const Totals& totals) {
  std::vector<OutcomeCount> list;
  for (size_t i = 0; i < totals.size(); ++i) {
    if (totals[i] == 0) continue;
    list.push_back({static_cast<grpc::StatusCode>(i / kReasons),
                    static_cast<EndReason>(i % kReasons), totals[i]});
  }
  return list;
}

void ServerCell::CountCallee(const Method* callee) {
  for (size_t i = 0; i + 1 < kCallees; ++i) {
    const Method* known = callees[i].method.load(std::memory_order_relaxed);
    // Fails if another thread of a shared cell was faster.
    if (known == nullptr && callees[i].method.compare_exchange_strong(
                                known, callee, std::memory_order_release)) {
      known = callee;
    }
    // With release: who finds the count finds the method.
    if (known == callee) {
      return callees[i].count.Add(1, shared, std::memory_order_release);
    }
  }
  callees[kCallees - 1].count.Add(1, shared);
}

void DeafLog::Add(std::string_view trace_id, Nanos worked_after_end) {
  if (busy_.exchange(true, std::memory_order_acquire)) return;
  Entry& entry = entries_[count_++ % kKept];
  entry.size =
      static_cast<uint8_t>(std::min(trace_id.size(), sizeof(entry.trace_id)));
  std::memcpy(entry.trace_id, trace_id.data(), entry.size);
  entry.worked_after_end = worked_after_end;
  busy_.store(false, std::memory_order_release);
}

std::vector<DeafRequest> DeafLog::Read() const {
  if (busy_.exchange(true, std::memory_order_acquire)) return {};
  const std::array<Entry, kKept> entries = entries_;
  const size_t count = count_;
  busy_.store(false, std::memory_order_release);
  std::vector<DeafRequest> read;
  for (size_t i = 0; i < std::min(count, kKept); ++i) {
    const Entry& entry = entries[(count - 1 - i) % kKept];
    read.push_back({std::string(entry.trace_id, entry.size),
                    absl::Nanoseconds(entry.worked_after_end)});
  }
  return read;
}

std::atomic<Method*>& Methods::BucketOf(std::string_view name) {
  return buckets_[std::hash<std::string_view>()(name) % buckets_.size()];
}

Method* Methods::AddUnlessThere(std::atomic<Method*>& bucket, Method* first,
                                Method* made) {
  made->next = first;
  while (!bucket.compare_exchange_weak(made->next, made,
                                       std::memory_order_acq_rel)) {
    // Others have been added before `first`.
    if (Method* there = FindIn(made->next, first, made->name)) return there;
    first = made->next;
  }
  return made;
}

Method* Methods::Get(std::string_view name, bool may_add) noexcept {
  if (name.size() > kLongestName || name == other_.name) return &other_;
  std::atomic<Method*>& bucket = BucketOf(name);
  Method* const first = bucket.load(std::memory_order_acquire);
  if (Method* found = FindIn(first, nullptr, name)) return found;
  if (!may_add) return &other_;
  // Threads that add methods at the same time may exceed the limit by a few.
  if (size_.load(std::memory_order_acquire) >= max_) {
    // One of them may have added this name since.
    Method* const now = bucket.load(std::memory_order_acquire);
    Method* const found = FindIn(now, first, name);
    return found != nullptr ? found : &other_;
  }
  TETHER_TRY {
    auto made = std::make_unique<Method>(name);
    Method* const there = AddUnlessThere(bucket, first, made.get());
    if (there != made.get()) return there;
    size_.fetch_add(1, std::memory_order_release);
    return made.release();
  }
  TETHER_CATCH(...) { return &other_; }
}

MetricCells::Thread* MetricCells::ThisThread() {
  const size_t number = ThreadNumber();
  if (number == 0 || number >= kChunks * kChunk) return nullptr;
  std::atomic<Chunk*>& slot = chunks_[number / kChunk];
  Chunk* chunk = slot.load(std::memory_order_acquire);
  if (chunk == nullptr) {
    auto made = std::make_unique<Chunk>();
    if (slot.compare_exchange_strong(chunk, made.get(),
                                     std::memory_order_acq_rel)) {
      chunk = made.release();
    }
  }
  std::atomic<Thread*>& mine = (*chunk)[number % kChunk];
  // Only threads with this number use it, one after the other.
  Thread* thread = mine.load(std::memory_order_relaxed);
  if (thread == nullptr) {
    thread = new Thread;
    mine.store(thread, std::memory_order_relaxed);
    threads_.fetch_add(1, std::memory_order_relaxed);
  }
  return thread;
}

template <typename Cell>
Cell& MetricCells::Shared(std::atomic<Cell*>& list,
                          std::atomic<Cell*>& shared) {
  Cell* cell = shared.load(std::memory_order_acquire);
  if (cell != nullptr) return *cell;
  // If several threads get here, all but one of their cells stay unused.
  Cell* const made = MakeCell(list, /*shared=*/true);
  return shared.compare_exchange_strong(cell, made, std::memory_order_acq_rel)
             ? *made
             : *cell;
}

template <typename Cell>
Cell& MetricCells::Find(std::string_view name, bool may_add,
                        CellsByName<Cell>& cells,
                        std::atomic<Cell*> Method::*list) {
  const auto found = cells.find(name);
  if (found != cells.end()) return *found->second;
  // Peers may choose names. So the key is the method's, which may be "other".
  Method* const method = methods_.Get(name, may_add);
  const auto known = cells.find(method->name);
  if (known != cells.end()) return *known->second;
  cells.reserve(cells.size() + 1);  // so that nothing throws after the cell
  Cell* const made = MakeCell(method->*list, /*shared=*/false);
  cells.emplace(method->name, made);
  return *made;
}

ServerCell& MetricCells::Server(std::string_view method, bool may_add) {
  Thread* const thread = ThisThread();
  return thread == nullptr
             ? Shared(methods_.other()->servers, shared_server_)
             : Find(method, may_add, thread->servers, &Method::servers);
}

ClientCell& MetricCells::Client(std::string_view method) {
  Thread* const thread = ThisThread();
  return thread == nullptr ? Shared(methods_.other()->clients, shared_client_)
                           : Find(method, /*may_add=*/true, thread->clients,
                                  &Method::clients);
}

}  // namespace tether::internal
