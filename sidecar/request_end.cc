// SPDX-License-Identifier: Apache-2.0

#include "sidecar/request_end.h"

#include <algorithm>
#include <utility>

namespace tether::sidecar {

absl::Time LatestDeadline(const Requests& requests) {
  if (requests.empty()) return absl::InfiniteFuture();
  absl::Time latest = absl::InfinitePast();
  for (const std::shared_ptr<Request>& request : requests) {
    latest = std::max(latest, request->context().Deadline());
  }
  return latest;
}

absl::Duration RemainingOfLatest(const Requests& requests) {
  if (requests.empty()) return absl::InfiniteDuration();
  absl::Duration most = -absl::InfiniteDuration();
  for (const std::shared_ptr<Request>& request : requests) {
    most = std::max(most, request->context().Remaining());
  }
  return most;
}

CutWhenAllEnd::CutWhenAllEnd(Requests requests, Callback callback)
    : requests_(std::move(requests)),
      callback_(std::move(callback)),
      alive_(requests_.size()) {
  if (requests_.empty()) return;
  others_.reserve(requests_.size() - 1);
  for (size_t i = 1; i < requests_.size(); ++i) {
    Request& request = *requests_[i];
    others_.push_back(std::make_unique<Registration>(
        request.context(), [this, &request] { OnEnd(request); }));
  }
  Request& request = *requests_[0];
  first_.emplace(request.context(), [this, &request] { OnEnd(request); });
}

void CutWhenAllEnd::OnEnd(const Request& request) {
  const RequestEnd end = request.ended().value_or(RequestEnd::kCompleted);
  if (end == RequestEnd::kCompleted) {
    completed_.store(true, std::memory_order_relaxed);
  }
  // The last one sees what the others have stored.
  if (alive_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (completed_.load(std::memory_order_relaxed)) return;
  std::move(callback_)(end, request.status());
}

}  // namespace tether::sidecar
