// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/policy_table.h"

#include "absl/strings/string_view.h"

namespace tether::internal {
namespace {

constexpr std::string_view kAnyMethod = "/*";

// The key type of Abseil's tables, which have their own string_view in some
// builds.
absl::string_view Key(std::string_view s) { return {s.data(), s.size()}; }

// Load balancers and operators probe with short deadlines by habit, so a short
// deadline of a probe says nothing about the service's work.
bool IsProbe(std::string_view method) {
  // Other methods cost one comparison.
  constexpr std::string_view kCommon = "/grpc.";
  if (method.substr(0, kCommon.size()) != kCommon) return false;
  for (const std::string_view service :
       {"/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/",
        "/grpc.reflection.v1alpha.ServerReflection/"}) {
    if (method.substr(0, service.size()) == service) return true;
  }
  return false;
}

bool NamesService(std::string_view pattern) {
  return pattern.size() > kAnyMethod.size() &&
         pattern.substr(pattern.size() - kAnyMethod.size()) == kAnyMethod;
}

// `policy` where it is set, otherwise `less_specific`.
TimeLimits Merge(const TimePolicy& policy, const TimeLimits& less_specific) {
  TimeLimits limits;
  limits.max_timeout = policy.max_timeout.value_or(less_specific.max_timeout);
  limits.default_timeout =
      policy.default_timeout.value_or(less_specific.default_timeout);
  limits.min_budget = policy.min_budget.value_or(less_specific.min_budget);
  return limits;
}

}  // namespace

// The least specific patterns first, because the others build on them.
PolicyTable::PolicyTable(const TimePolicy& server,
                         const std::vector<MethodPolicy>& methods)
    : all_(Merge(server, TimeLimits())) {
  for (const MethodPolicy& entry : methods) {
    if (entry.pattern != "*") continue;
    all_ = Merge(entry.time, all_);
    break;
  }
  probes_ = all_;
  probes_.min_budget = absl::ZeroDuration();
  for (const MethodPolicy& entry : methods) {
    if (!NamesService(entry.pattern)) continue;
    services_.emplace(
        entry.pattern.substr(0, entry.pattern.size() - kAnyMethod.size()),
        Merge(entry.time, IsProbe(entry.pattern) ? probes_ : all_));
  }
  for (const MethodPolicy& entry : methods) {
    if (entry.pattern == "*" || NamesService(entry.pattern)) continue;
    methods_.emplace(entry.pattern,
                     Merge(entry.time, ForServiceOf(entry.pattern)));
  }
}

const TimeLimits& PolicyTable::For(std::string_view method) const {
  if (!methods_.empty()) {
    const auto it = methods_.find(Key(method));
    if (it != methods_.end()) return it->second;
  }
  return ForServiceOf(method);
}

const TimeLimits& PolicyTable::ForServiceOf(std::string_view method) const {
  if (!services_.empty()) {
    const size_t slash = method.rfind('/');
    if (slash != std::string_view::npos) {
      const auto it = services_.find(Key(method.substr(0, slash)));
      if (it != services_.end()) return it->second;
    }
  }
  return IsProbe(method) ? probes_ : all_;
}

}  // namespace tether::internal
