#include "tether/grpc/internal/policy_table.h"

#include <algorithm>
#include <functional>

#include "absl/strings/string_view.h"

namespace tether::internal {
namespace {

// What Abseil's tables can look up, where it has a string_view of its own.
absl::string_view Key(std::string_view s) { return {s.data(), s.size()}; }

// What a load balancer or an operator asks, with short deadlines by habit: that
// such a question has little time left says nothing of the service's work.
bool IsProbe(std::string_view method) {
  for (const std::string_view service :
       {"/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/",
        "/grpc.reflection.v1alpha.ServerReflection/"}) {
    if (method.substr(0, service.size()) == service) return true;
  }
  return false;
}

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
  probes_ = all_;
  probes_.min_budget = absl::ZeroDuration();
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
  return IsProbe(method) ? probes_ : all_;
}

ShedBudget::ShedBudget(double fraction)
    : fraction_(fraction > 0 ? static_cast<int64_t>(std::min(fraction, 1.0) *
                                                    static_cast<double>(kOne))
                             : 0) {}

void ShedBudget::Earn() {
  // Some savings may get lost between threads; a refusal less does no harm.
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
