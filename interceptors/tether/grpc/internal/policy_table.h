// Which policy holds for a request, and whether it may be turned away.

#ifndef TETHER_GRPC_INTERNAL_POLICY_TABLE_H_
#define TETHER_GRPC_INTERNAL_POLICY_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "tether/grpc/policy.h"

namespace tether::internal {

// Constant: any thread.
class PolicyTable {
 public:
  PolicyTable(TimePolicy all, const std::vector<MethodPolicy>& methods);

  // `method` is "/package.Service/Method", or anything else that a peer sent.
  // The reference is valid as long as this is.
  const TimePolicy& For(std::string_view method) const;

 private:
  TimePolicy all_;
  // For health checks and reflection: all_ without min_budget.
  TimePolicy probes_;
  absl::flat_hash_map<std::string, TimePolicy> methods_;
  absl::flat_hash_map<std::string, TimePolicy> services_;  // "/package.Service"
};

// Sees to it that, of the requests to a method, no more than a share is turned
// away: when all callers are slow, turning all of them away helps nobody, and a
// clock or a policy gone wrong would stop the service.
//
// Each request earns `fraction` of a refusal, of which 10 at most can be saved
// up. Any thread; no lock.
class ShedBudget {
 public:
  // `fraction` is clamped to 0..1.
  explicit ShedBudget(double fraction);

  // A request has come.
  void Earn();

  // Whether one may be turned away now.
  bool Spend();

 private:
  static constexpr int64_t kOne = 1 << 20;  // one refusal
  static constexpr int64_t kMost = 10 * kOne;

  const int64_t fraction_;  // of kOne
  std::atomic<int64_t> saved_{0};
};

// One ShedBudget for each method, so that the many requests to one don't pay
// for turning away all of the few to another. Methods are what peers send: of
// more than a few hundred, those that came last share one. Any thread; no lock.
class ShedBudgets {
 public:
  explicit ShedBudgets(double fraction);

  ShedBudget& For(std::string_view method);

 private:
  static constexpr size_t kMost = 512;
  static constexpr size_t kProbes = 8;

  struct Entry {
    explicit Entry(double fraction) : budget(fraction) {}
    std::atomic<uint64_t> method{0};  // its hash; 0: free
    ShedBudget budget;
  };

  std::deque<Entry> entries_;  // kMost, which can't be moved
  ShedBudget others_;
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_POLICY_TABLE_H_
