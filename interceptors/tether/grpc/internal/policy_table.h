// SPDX-License-Identifier: Apache-2.0
//
// Finds the times that apply to a method.

#ifndef TETHER_GRPC_INTERNAL_POLICY_TABLE_H_
#define TETHER_GRPC_INTERNAL_POLICY_TABLE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "tether/grpc/policy.h"

namespace tether::internal {

// A TimePolicy whose unset fields have been filled in.
struct TimeLimits {
  absl::Duration max_timeout = absl::InfiniteDuration();
  absl::Duration default_timeout = absl::InfiniteDuration();
  absl::Duration min_budget = absl::ZeroDuration();
};

// Immutable. Thread safety: any thread.
class PolicyTable {
 public:
  PolicyTable(const TimePolicy& server,
              const std::vector<MethodPolicy>& methods);

  // `method` is "/package.Service/Method", or whatever else a peer sent. The
  // reference is valid as long as this object.
  const TimeLimits& For(std::string_view method) const;

 private:
  // The limits of methods that have no entry of their own.
  const TimeLimits& ForServiceOf(std::string_view method) const;

  TimeLimits all_;
  TimeLimits probes_;  // health checks and reflection: all_ without min_budget
  absl::flat_hash_map<std::string, TimeLimits> methods_;
  absl::flat_hash_map<std::string, TimeLimits> services_;  // "/package.Service"
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_POLICY_TABLE_H_
