// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/hop_record.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "tether/budget/report.h"
#include "tether/grpc/internal/method_names.h"
#include "tether/grpc/internal/time.h"

namespace tether::internal {
absl::Duration HopRecord::Elapsed() const {
  return absl::Microseconds(SteadyMicros() - arrival_us_);
}

uint64_t HopRecord::BeginCall(std::string_view method, int64_t now_us,
                              absl::Duration left,
                              std::string_view label) const {
  Call call;
  SetNames(method, call.report);
  if (!label.empty()) call.report.set_label(std::string(label));
  call.report.set_start_us(std::max<int64_t>(0, now_us - arrival_us_));
  if (left != absl::InfiniteDuration()) {
    call.report.set_time_left_us(
        std::max<int64_t>(0, absl::ToInt64Microseconds(left)));
  }
  MutexLock lock(mutex_);
  if (under_way_++ == 0) busy_since_us_ = latest_end_us_ = now_us;
  call.id = ++last_id_;
  if (calls_.size() >= kMostCalls && !MakeRoom()) {
    ++left_out_;
  } else {
    calls_.push_back(std::move(call));
  }
  return last_id_;
}

bool HopRecord::MakeRoom() const {
  auto shortest = calls_.end();
  for (auto it = calls_.begin(); it != calls_.end(); ++it) {
    if (it->over &&
        (shortest == calls_.end() ||
         it->report.duration_us() < shortest->report.duration_us())) {
      shortest = it;
    }
  }
  // Keep calls under way, because the oldest of them may be the one that hangs.
  if (shortest == calls_.end()) return false;
  ++left_out_;
  calls_.erase(shortest);
  return true;
}

HopRecord::Call* HopRecord::MarkEnded(uint64_t id, int64_t now_us) const {
  if (id == 0) return nullptr;  // the call never began
  // Usually the call is the last one.
  const auto it = std::find_if(calls_.rbegin(), calls_.rend(),
                               [id](const Call& c) { return c.id == id; });
  if (it != calls_.rend() && it->over) return nullptr;
  // Ends may be recorded out of order.
  latest_end_us_ = std::max(latest_end_us_, now_us);
  if (--under_way_ == 0) busy_us_ += latest_end_us_ - busy_since_us_;
  if (it == calls_.rend()) return nullptr;
  it->over = true;
  it->report.set_duration_us(
      std::max<int64_t>(0, now_us - arrival_us_ - it->report.start_us()));
  return &*it;
}

void HopRecord::EndGoodCall(uint64_t id, int64_t now_us) const {
  MutexLock lock(mutex_);
  Call* kept = MarkEnded(id, now_us);
  if (kept == nullptr) return;
  kept->report.set_answered(true);
  kept->report.set_reason(v1::END_REASON_COMPLETED);
}

void HopRecord::EndCall(uint64_t id, int64_t now_us,
                        v1::CallReport call) const {
  MutexLock lock(mutex_);
  Call* entry = MarkEnded(id, now_us);
  if (entry == nullptr) return;
  v1::CallReport& kept = entry->report;
  call.set_start_us(kept.start_us());
  call.set_duration_us(kept.duration_us());
  *call.mutable_service() = std::move(*kept.mutable_service());
  *call.mutable_method() = std::move(*kept.mutable_method());
  *call.mutable_label() = std::move(*kept.mutable_label());
  if (kept.has_time_left_us()) call.set_time_left_us(kept.time_left_us());
  kept = std::move(call);
}

void HopRecord::Fill(int64_t now_us, v1::BudgetReport& report) const {
  const int64_t total = std::max<int64_t>(0, now_us - arrival_us_);
  report.set_total_us(total);
  MutexLock lock(mutex_);
  for (const Call& call : calls_) {
    v1::CallReport& copy = *report.add_calls();
    copy = call.report;
    if (!call.over) {
      copy.set_duration_us(std::max<int64_t>(0, total - copy.start_us()));
      if (copy.has_time_left_us()) {
        copy.set_duration_us(std::min(copy.duration_us(), copy.time_left_us()));
      }
    }
  }
  if (left_out_ == 0) return;
  report.set_calls_left_out(left_out_);
  int64_t busy = busy_us_;
  if (under_way_ > 0) busy += std::max<int64_t>(0, now_us - busy_since_us_);
  report.set_self_us(std::clamp<int64_t>(total - busy, 0, SelfTimeUs(report)));
}

}  // namespace tether::internal
