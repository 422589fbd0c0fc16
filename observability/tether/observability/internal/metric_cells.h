// SPDX-License-Identifier: Apache-2.0
//
// Where metrics.h counts: a cell for each method and thread.
//
// Invariants:
//  1. Methods, cells and thread tables are made on demand and never freed. They
//     are linked by atomic pushes. So nothing here takes a lock, and a process
//     may fork at any time.
//  2. Only the thread whose ThreadNumber() a table has writes that table and
//  its
//     cells, with plain stores. Threads that end leave their number, and so
//     the table, to later ones (live_counts.h orders the two). Threads without
//     a number (0) share a cell of "other", which is changed atomically.
//  3. Counts never fall. The count of outcomes is stored last, with release:
//  who
//     finds an outcome counted finds everything of that RPC counted.

#ifndef TETHER_OBSERVABILITY_INTERNAL_METRIC_CELLS_H_
#define TETHER_OBSERVABILITY_INTERNAL_METRIC_CELLS_H_

#include <grpcpp/support/status.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "tether/end_reason.h"
#include "tether/internal/nanos.h"
#include "tether/observability/metrics.h"

namespace tether::internal {

// A number that one thread adds to; or any, if `shared`.
class Counter {
 public:
  void Add(uint64_t n, bool shared,
           std::memory_order order = std::memory_order_relaxed) {
    if (shared) {
      value_.fetch_add(n, order);
    } else {
      value_.store(value_.load(std::memory_order_relaxed) + n, order);
    }
  }
  // The number becomes `n`, if it is smaller.
  void RaiseTo(uint64_t n, bool shared);

  uint64_t get(std::memory_order order = std::memory_order_relaxed) const {
    return value_.load(order);
  }

 private:
  std::atomic<uint64_t> value_{0};
};

// A sum that one thread adds to; or any, if `shared`. It never overflows, and
// never falls.
class Sum {
 public:
  void Add(double n, bool shared);
  double get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

struct HistogramCell {
  std::array<Counter, DurationHistogram::kBounds + 1> buckets;
  Sum sum;  // in nanoseconds

  // Negative times count as zero.
  void Observe(Nanos time, bool shared);
  void AddTo(DurationHistogram& histogram) const;
};

// Outcomes by code and reason.
struct OutcomeCells {
  static constexpr size_t kCodes = 17;
  static constexpr size_t kReasons = 10;
  using Totals = std::array<uint64_t, kCodes * kReasons>;

  std::array<Counter, kCodes * kReasons> counts;

  void Count(grpc::StatusCode code, EndReason reason, bool shared);
  // Returns the sum of what it adds.
  uint64_t AddTo(Totals& totals) const;
  static std::vector<OutcomeCount> List(const Totals& totals);
};

struct Method;

// Two cache lines, since processors fetch them in pairs.
struct alignas(128) ServerCell {
  // Methods that handlers called without their context. The last one has no
  // method: it counts all others.
  struct Callee {
    std::atomic<const Method*> method{nullptr};
    Counter count;
  };
  static constexpr size_t kCallees = 8;

  bool shared = false;         // constant
  ServerCell* next = nullptr;  // of the method; constant

  OutcomeCells outcomes;
  Counter without_deadline;
  Counter unlimited;
  Counter without_trace;
  Counter default_timeouts;
  Counter max_timeouts;
  Counter shed;
  Counter watches;
  Counter deaf;
  Counter deaf_longest;  // in nanoseconds
  Counter not_observed;
  Counter later_deadlines;
  HistogramCell time_left_on_arrival;
  HistogramCell service_time;
  HistogramCell time_left_at_end;
  HistogramCell worked_after_end;
  std::array<Callee, kCallees> callees;

  void CountCallee(const Method* callee);
};

struct alignas(128) ClientCell {
  bool shared = false;         // constant
  ClientCell* next = nullptr;  // of the method; constant

  OutcomeCells outcomes;
  Counter not_sent;
  Counter without_deadline;
  Counter background_calls;
  HistogramCell duration;
  HistogramCell time_left;
  HistogramCell grpc_timeout_drift;
};

// The last requests that were deaf. Both functions give up if another thread is
// inside. So nobody waits, also not for a thread that a fork has left behind.
class DeafLog {
 public:
  static constexpr size_t kKept = 8;

  void Add(std::string_view trace_id, Nanos worked_after_end);
  // The latest first.
  std::vector<DeafRequest> Read() const;

 private:
  struct Entry {
    char trace_id[32];
    uint8_t size;
    Nanos worked_after_end;
  };
  mutable std::atomic<bool> busy_{false};
  size_t count_ = 0;  // of all that were added
  std::array<Entry, kKept> entries_ = {};
};

// One served or called method.
struct Method {
  explicit Method(std::string_view method_name) : name(method_name) {}

  const std::string name;
  std::atomic<ServerCell*> servers{nullptr};
  std::atomic<ClientCell*> clients{nullptr};
  DeafLog deaf;
  Method* next = nullptr;  // in its bucket; constant
};

// All methods with figures of their own, and "other".
class Methods {
 public:
  static constexpr size_t kLongestName = 200;

  explicit Methods(size_t max) : max_(max) {}

  // The method of this name, which is made if there is none and `may_add`;
  // "other" if it isn't, or it is one too many, or its name is too long, or
  // there is no memory.
  Method* Get(std::string_view name, bool may_add = true) noexcept;
  Method* other() { return &other_; }

  // Calls `visit` with each.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const auto& bucket : buckets_) {
      for (const Method* method = bucket.load(std::memory_order_acquire);
           method != nullptr; method = method->next) {
        visit(*method);
      }
    }
    visit(other_);
  }
  // Without "other".
  size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  std::atomic<Method*>& BucketOf(std::string_view name);
  // Adds `made`, unless another thread has added its name since `first` was the
  // first of the bucket. Returns the one that is there.
  static Method* AddUnlessThere(std::atomic<Method*>& bucket, Method* first,
                                Method* made);

  const size_t max_;
  std::atomic<size_t> size_{0};
  Method other_{"other"};
  std::array<std::atomic<Method*>, 1024> buckets_ = {};
};

// The cells of all threads.
class MetricCells {
 public:
  explicit MetricCells(size_t max_methods) : methods_(max_methods) {}

  // This thread's cell of the method, or of "other" (Methods::Get). May throw
  // std::bad_alloc; then nothing has changed.
  ServerCell& Server(std::string_view method, bool may_add = true);
  ClientCell& Client(std::string_view method);

  Methods& methods() { return methods_; }
  // That have ever counted, at different times as one.
  size_t threads() const { return threads_.load(std::memory_order_relaxed); }

 private:
  // The keys are names of Methods.
  template <typename Cell>
  using CellsByName = absl::flat_hash_map<std::string_view, Cell*>;

  struct Thread {
    CellsByName<ServerCell> servers;
    CellsByName<ClientCell> clients;
  };
  static constexpr size_t kChunk = 1024;
  static constexpr size_t kChunks = 64;
  using Chunk = std::array<std::atomic<Thread*>, kChunk>;

  // Null if this thread has no number, or one that is too high.
  Thread* ThisThread();
  template <typename Cell>
  static Cell& Shared(std::atomic<Cell*>& list, std::atomic<Cell*>& shared);
  // The cell of `name` in `cells`, which is made and added to `list` of its
  // method if there is none.
  template <typename Cell>
  Cell& Find(std::string_view name, bool may_add, CellsByName<Cell>& cells,
             std::atomic<Cell*> Method::*list);

  Methods methods_;
  std::atomic<size_t> threads_{0};
  std::array<std::atomic<Chunk*>, kChunks> chunks_ = {};
  std::atomic<ServerCell*> shared_server_{nullptr};
  std::atomic<ClientCell*> shared_client_{nullptr};
};

}  // namespace tether::internal

#endif  // TETHER_OBSERVABILITY_INTERNAL_METRIC_CELLS_H_
