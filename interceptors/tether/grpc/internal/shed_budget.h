// SPDX-License-Identifier: Apache-2.0
//
// Limits how many requests a server turns away.

#ifndef TETHER_GRPC_INTERNAL_SHED_BUDGET_H_
#define TETHER_GRPC_INTERNAL_SHED_BUDGET_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>

namespace tether::internal {

// Limits the requests that are turned away to a fraction of all requests. When
// all callers are slow, turning all of them away helps no one; and a wrong
// clock or policy must not stop the service.
//
// Each request earns `fraction` of a refusal. At most 10 refusals can be saved
// up.
//
// Thread safety: any thread; no lock.
class ShedBudget {
 public:
  // `fraction` is clamped to 0..1.
  explicit ShedBudget(double fraction);

  // Call this for each request.
  void Earn();

  // True if one request may be turned away now.
  [[nodiscard]] bool Spend();

 private:
  static constexpr int64_t kOne = 1 << 20;  // one refusal
  static constexpr int64_t kMost = 10 * kOne;

  const int64_t fraction_;  // of kOne
  std::atomic<int64_t> saved_{0};
};

// One ShedBudget for each method, so that many good requests to one method
// don't pay for turning away all of the few requests to another. Peers choose
// the names of methods, so the number of budgets is bounded: beyond a few
// hundred, the methods that came last share one.
//
// Thread safety: any thread; no lock.
class ShedBudgets {
 public:
  explicit ShedBudgets(double fraction);

  ShedBudget& For(std::string_view method);

 private:
  static constexpr size_t kMost = 512;
  static constexpr size_t kProbes = 8;

  struct Entry {
    explicit Entry(double fraction) : budget(fraction) {}
    std::atomic<uint64_t> method{0};  // the hash of its name; 0 while free
    ShedBudget budget;
  };

  std::deque<Entry> entries_;  // kMost of them; an Entry can't be moved
  ShedBudget others_;
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_SHED_BUDGET_H_
