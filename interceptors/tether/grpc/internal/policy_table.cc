#include "tether/grpc/internal/policy_table.h"

#include <algorithm>

#include "absl/strings/string_view.h"

namespace tether::internal {
namespace {

// What Abseil's tables can look up, where it has a string_view of its own.
absl::string_view Key(std::string_view s) { return {s.data(), s.size()}; }

}  // namespace

PolicyTable::PolicyTable(TimePolicy all,
                         const std::vector<MethodPolicy>& methods)
    : all_(all) {
  bool first_for_all = true;
  for (const MethodPolicy& entry : methods) {
    const std::string_view pattern = entry.pattern;
    if (pattern == "*") {
      if (first_for_all) all_ = entry.policy;
      first_for_all = false;
    } else if (pattern.size() > 2 &&
               pattern.substr(pattern.size() - 2) == "/*") {
      services_.emplace(pattern.substr(0, pattern.size() - 2), entry.policy);
    } else {
      methods_.emplace(pattern, entry.policy);
    }
  }
}

const TimePolicy& PolicyTable::For(std::string_view method) const {
  if (!methods_.empty()) {
    if (auto it = methods_.find(Key(method)); it != methods_.end()) {
      return it->second;
    }
  }
  if (!services_.empty()) {
    const size_t slash = method.rfind('/');
    if (slash != std::string_view::npos) {
      if (auto it = services_.find(Key(method.substr(0, slash)));
          it != services_.end()) {
        return it->second;
      }
    }
  }
  return all_;
}

ShedBudget::ShedBudget(double share)
    : share_(share > 0 ? static_cast<int64_t>(std::min(share, 1.0) *
                                              static_cast<double>(kOne))
                       : 0) {}

void ShedBudget::Earn() {
  // Some savings may get lost between threads; a refusal less does no harm.
  const int64_t saved = saved_.load(std::memory_order_relaxed);
  if (saved < kMost) saved_.fetch_add(share_, std::memory_order_relaxed);
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

}  // namespace tether::internal
