// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/shed_budget.h"

#include <algorithm>
#include <functional>

namespace tether::internal {

ShedBudget::ShedBudget(double fraction)
    : fraction_(fraction > 0 ? static_cast<int64_t>(std::min(fraction, 1.0) *
                                                    static_cast<double>(kOne))
                             : 0) {}

void ShedBudget::Earn() {
  // Threads that race may save a little more than kMost, but never more than
  // they earned.
  const int64_t saved = saved_.load(std::memory_order_relaxed);
  if (saved < kMost) saved_.fetch_add(fraction_, std::memory_order_relaxed);
}

bool ShedBudget::Spend() {
  int64_t saved = saved_.load(std::memory_order_relaxed);
  while (saved >= kOne) {
    if (saved_.compare_exchange_weak(saved, saved - kOne,
                                     std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

ShedBudgets::ShedBudgets(double fraction) : others_(fraction) {
  for (size_t i = 0; i < kMost; ++i) entries_.emplace_back(fraction);
}

ShedBudget& ShedBudgets::For(std::string_view method) {
  const uint64_t hash = std::hash<std::string_view>()(method) | 1;
  for (size_t i = 0; i < kProbes; ++i) {
    Entry& entry = entries_[(hash / 2 + i) % kMost];
    uint64_t taken = entry.method.load(std::memory_order_relaxed);
    if (taken == hash ||
        (taken == 0 && (entry.method.compare_exchange_strong(
                            taken, hash, std::memory_order_relaxed) ||
                        taken == hash))) {
      return entry.budget;
    }
  }
  return others_;
}

}  // namespace tether::internal
