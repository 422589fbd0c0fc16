// SPDX-License-Identifier: Apache-2.0
//
// Records the calls that a server hop makes for a request, for its budget
// report.

#ifndef TETHER_GRPC_INTERNAL_HOP_RECORD_H_
#define TETHER_GRPC_INTERNAL_HOP_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/internal/mutex.h"
#include "tether/internal/nanos.h"
#include "tether/v1/budget_report.pb.h"

namespace tether::internal {

// The request's context holds the record (kHop), and the calls that are made
// for the request find it there. So it may outlive the request. Values of a
// context are constant; so the members that change are mutable and locked.
// Times are microseconds of the steady clock.
//
// The size is bounded: it keeps 64 calls. If there are more, the shortest ended
// calls are only counted; if all 64 are under way, new calls are only counted.
// The time during which the hop was busy with calls is exact in any case.
//
// Thread safety: any thread.
class HopRecord {
 public:
  explicit HopRecord(int64_t arrival_us) : arrival_us_(arrival_us) {}

  // Used to move the record into the context, before it is shared.
  HopRecord(HopRecord&& other) noexcept : arrival_us_(other.arrival_us_) {}

  // A call begins. Returns its id for EndCall or EndGoodCall, one of which must
  // be called once. `method` is "/package.Service/Name". `label` is that of
  // the call's report. `left`: kNever if the call has no deadline.
  uint64_t BeginCall(std::string_view method, int64_t now_us, Nanos left,
                     std::string_view label = "") const;

  // The call ended at `now_us`, which may be in the past. Takes everything from
  // `call` except its names, its label, its start and its duration.
  void EndCall(uint64_t id, int64_t now_us, v1::CallReport call) const;
  // Like EndCall, for a call that was answered OK without a report.
  void EndGoodCall(uint64_t id, int64_t now_us) const;

  // Writes the time from the arrival to `now_us`, and the calls, into `report`.
  // Calls under way count until now or until their deadline, as not answered.
  void Fill(int64_t now_us, v1::BudgetReport& report) const;

 private:
  static constexpr size_t kMostCalls = 64;

  // Plain data: most calls succeed, and most reports are never sent. Only Fill
  // makes messages.
  struct Call {
    uint64_t id = 0;
    bool over = false;
    int64_t start_us = 0;
    int64_t duration_us = 0;
    int64_t time_left_us = -1;  // -1: no deadline
    std::string method;
    std::string label;
    // The rest, if the call didn't end by EndGoodCall.
    std::unique_ptr<v1::CallReport> rest;
  };

  // Writes `call`, which has lasted for `duration_us`, into `message`.
  static void Write(const Call& call, int64_t duration_us,
                    v1::CallReport& message);

  // Marks the call as ended. Null if the call isn't kept.
  Call* MarkEnded(uint64_t id, int64_t now_us) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Drops an ended call; false if all calls are under way.
  bool MakeRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t arrival_us_;
  mutable Mutex mutex_;
  mutable uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable std::vector<Call> calls_ ABSL_GUARDED_BY(mutex_);
  mutable int32_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
  // The time during which calls were under way, until busy_since_us_; and the
  // number of calls under way since then.
  mutable int64_t busy_us_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable int64_t busy_since_us_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable int64_t latest_end_us_ ABSL_GUARDED_BY(mutex_) = 0;  // since then
  mutable int64_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
};

// The record of the hop that a context works for.
inline constexpr Key<HopRecord> kHop{"hop"};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_HOP_RECORD_H_
