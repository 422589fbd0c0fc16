// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/hop_record.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "tether/budget/report.h"
#include "tether/grpc/internal/method_names.h"
#include "tether/grpc/internal/time.h"

namespace tether::internal {
namespace {

// Room for so many calls is made at once.
constexpr size_t kUsualCalls = 4;

}  // namespace

uint64_t HopRecord::BeginCall(std::string_view method, int64_t now_us,
                              Nanos left, std::string_view label) const {
  Call call;
  call.method = std::string(method);
  call.label = std::string(label);
  call.start_us = std::max<int64_t>(0, now_us - arrival_us_);
  if (left != kNever) call.time_left_us = std::max<Nanos>(0, left) / 1000;
  MutexLock lock(mutex_);
  if (under_way_++ == 0) busy_since_us_ = latest_end_us_ = now_us;
  call.id = ++last_id_;
  if (calls_.size() >= kMostCalls && !MakeRoom()) {
    ++left_out_;
  } else {
    if (calls_.empty()) calls_.reserve(kUsualCalls);
    calls_.push_back(std::move(call));
  }
  return last_id_;
}

bool HopRecord::MakeRoom() const {
  auto shortest = calls_.end();
  for (auto it = calls_.begin(); it != calls_.end(); ++it) {
    if (it->over &&
        (shortest == calls_.end() || it->duration_us < shortest->duration_us)) {
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
  it->duration_us = std::max<int64_t>(0, now_us - arrival_us_ - it->start_us);
  return &*it;
}

void HopRecord::EndGoodCall(uint64_t id, int64_t now_us) const {
  MutexLock lock(mutex_);
  MarkEnded(id, now_us);
}

void HopRecord::EndCall(uint64_t id, int64_t now_us,
                        v1::CallReport call) const {
  auto rest = std::make_unique<v1::CallReport>(std::move(call));
  MutexLock lock(mutex_);
  if (Call* kept = MarkEnded(id, now_us)) kept->rest = std::move(rest);
}

void HopRecord::Write(const Call& call, int64_t duration_us,
                      v1::CallReport& message) {
  if (call.rest != nullptr) {
    message = *call.rest;
  } else if (call.over) {
    message.set_answered(true);
    message.set_reason(v1::END_REASON_COMPLETED);
  }
  message.clear_method();
  SetNames(call.method, message);
  message.set_label(call.label);
  message.set_start_us(call.start_us);
  message.set_duration_us(duration_us);
  if (call.time_left_us >= 0) message.set_time_left_us(call.time_left_us);
}

void HopRecord::Fill(int64_t now_us, v1::BudgetReport& report) const {
  const int64_t total = std::max<int64_t>(0, now_us - arrival_us_);
  report.set_total_us(total);
  MutexLock lock(mutex_);
  for (const Call& call : calls_) {
    int64_t duration = call.duration_us;
    if (!call.over) {
      duration = std::max<int64_t>(0, total - call.start_us);
      if (call.time_left_us >= 0) {
        duration = std::min(duration, call.time_left_us);
      }
    }
    Write(call, duration, *report.add_calls());
  }
  if (left_out_ == 0) return;
  report.set_calls_left_out(left_out_);
  int64_t busy = busy_us_;
  if (under_way_ > 0) busy += std::max<int64_t>(0, now_us - busy_since_us_);
  report.set_self_us(std::clamp<int64_t>(total - busy, 0, SelfTimeUs(report)));
}

}  // namespace tether::internal
