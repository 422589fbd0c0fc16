// SPDX-License-Identifier: Apache-2.0
//
// What a sidecar counts, besides what Correlator::Stats counts: for which calls
// a request was found.

#ifndef TETHER_SIDECAR_COUNTERS_H_
#define TETHER_SIDECAR_COUNTERS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "tether/internal/mutex.h"

namespace tether::sidecar {

enum class Count {
  kRequests,        // that came in for the app
  kCalls,           // that the app made
  kDeadOnArrival,   // requests whose time was over: the app isn't called
  kOverLimit,       // requests and calls beyond max_in_flight
  kNotCorrelated,   // calls of methods with correlate: off
  kCut,             // calls that were ended because their request ended
  kAppUnreachable,  // requests that didn't reach the app
  kLast = kAppUnreachable,
};
inline constexpr size_t kCountKinds = static_cast<size_t>(Count::kLast) + 1;

// A copy, or a sum.
struct CounterValues {
  std::array<int64_t, kCountKinds> values{};
  int64_t operator[](Count count) const {
    return values[static_cast<size_t>(count)];
  }
};

// The counters of one queue. Add: one thread at a time. AddTo: any thread.
class Counters {
 public:
  void Add(Count count) {
    auto& value = values_[static_cast<size_t>(count)];
    value.store(value.load(std::memory_order_relaxed) + 1,
                std::memory_order_relaxed);
  }
  void AddTo(CounterValues& sum) const {
    for (size_t i = 0; i < kCountKinds; ++i) {
      sum.values[i] += values_[i].load(std::memory_order_relaxed);
    }
  }

 private:
  std::array<std::atomic<int64_t>, kCountKinds> values_{};
};

// Counts by method. The names come from the wire, so their number is bounded:
// those beyond it count as "other".
//
// Thread safety: any thread. A lock, since what it counts is rare.
class MethodCounts {
 public:
  static constexpr size_t kMostMethods = 256;

  void Add(std::string_view method) {
    MutexLock lock(mutex_);
    auto it = counts_.find(method);
    if (it == counts_.end()) {
      const bool fits = counts_.size() < kMostMethods;
      it = counts_.try_emplace(fits ? std::string(method) : "other").first;
    }
    ++it->second;
  }
  std::map<std::string, int64_t, std::less<>> Get() const {
    MutexLock lock(mutex_);
    return counts_;
  }

 private:
  using Mutex = internal::Mutex;
  using MutexLock = internal::MutexLock;

  mutable Mutex mutex_;
  std::map<std::string, int64_t, std::less<>> counts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_COUNTERS_H_
