// What a server hop notes of the calls that it makes for a request: the
// material of its budget report.

#ifndef TETHER_GRPC_INTERNAL_HOP_RECORD_H_
#define TETHER_GRPC_INTERNAL_HOP_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/internal/mutex.h"
#include "tether/v1/budget_report.pb.h"

namespace tether::internal {

// Lives in the request's context, where the calls that are made for it find it
// (kHop); so it may outlive the request. What a context holds is constant: what
// changes here is mutable, and locked. Times are of the steady clock, in
// microseconds.
//
// Bounded, whatever the handler does: it keeps 64 calls. When there are more,
// those that were over soonest are counted only; with as many under way, the
// new ones are. How long the hop was busy with calls it knows all the same.
//
// Thread safety: any thread.
class HopRecord {
 public:
  explicit HopRecord(int64_t arrival_us) : arrival_us_(arrival_us) {}

  // Into the context. Before anybody shares it.
  HopRecord(HopRecord&& other) noexcept : arrival_us_(other.arrival_us_) {}

  // Since the arrival.
  absl::Duration Elapsed() const;

  // A call begins. Names it for EndCall, which must come once. `method` is
  // "/package.Service/Name".
  uint64_t BeginCall(std::string_view method, int64_t now_us,
                     absl::Duration left) const;

  // It is over since `now_us`, which may be in the past. Takes from `call` all
  // but the names and the start.
  void EndCall(uint64_t id, int64_t now_us, v1::CallReport call) const;
  // The same for one that was answered OK, without a report.
  void EndGoodCall(uint64_t id, int64_t now_us) const;

  // Writes arrival to `now_us`, and the calls, into `report`. Those under way
  // count up to now, or to their deadline, as not answered.
  void Fill(int64_t now_us, v1::BudgetReport& report) const;

 private:
  static constexpr size_t kMostCalls = 64;

  struct Call {
    uint64_t id = 0;
    bool over = false;
    v1::CallReport report;
  };

  // Null where nothing is kept of it.
  Call* Ended(uint64_t id, int64_t now_us) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Makes room; false if all calls are under way.
  bool MakeRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t arrival_us_;
  mutable Mutex mutex_;
  mutable uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable std::vector<Call> calls_ ABSL_GUARDED_BY(mutex_);
  mutable int32_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
  // The time during which calls were under way, up to busy_since_us_, and how
  // many are since then.
  mutable int64_t busy_us_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable int64_t busy_since_us_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable int64_t latest_end_us_ ABSL_GUARDED_BY(mutex_) = 0;  // since then
  mutable int64_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
};

// The hop that a context works for.
inline constexpr Key<HopRecord> kHop{"hop"};

// Now, on the steady clock.
int64_t SteadyMicros();

// "/package.Service/Name" as "package.Service" and "Name"; what has no slashes
// is all service.
void SetNames(std::string_view method, v1::CallReport& call);
void SetNames(std::string_view method, v1::BudgetReport& report);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_HOP_RECORD_H_
