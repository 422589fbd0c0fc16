// SPDX-License-Identifier: Apache-2.0
//
// A model of contexts that is slow and obvious: the end of each context, its
// deadline and its values, as context.h promises them.

#ifndef TETHER_FUZZ_CONTEXT_MODEL_H_
#define TETHER_FUZZ_CONTEXT_MODEL_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tether::fuzz {

inline constexpr int kKeys = 4;
inline constexpr int kManyChains = 100;
inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// Saturates.
inline int64_t AddNanos(int64_t now, absl::Duration step) {
  const int64_t nanos = absl::ToInt64Nanoseconds(step);
  // A time too far in the past to be represented stays that, at any time.
  if (nanos == std::numeric_limits<int64_t>::min()) return nanos;
  const absl::Duration sum = absl::Nanoseconds(now) + absl::Nanoseconds(nanos);
  if (sum >= absl::Nanoseconds(kNever)) return kNever;
  return absl::ToInt64Nanoseconds(sum);
}

enum class End { kLive, kCancelled, kDeadline };

struct Model {
  int parent = -1;
  int other = -1;  // the second parent of a merge
  bool detached = false;
  int chains = 1;  // paths to the root: each merge adds those of `other`
  int64_t deadline = kNever;
  absl::Status deadline_cause;
  End end = End::kLive;
  absl::Status cause;
  std::array<std::optional<int>, kKeys> values;
};

inline absl::Status ErrOf(End end) {
  switch (end) {
    case End::kLive:
      return absl::OkStatus();
    case End::kCancelled:
      return absl::CancelledError("context canceled");
    case End::kDeadline:
      return absl::DeadlineExceededError("context deadline exceeded");
  }
  return absl::OkStatus();
}

class Models {
 public:
  Models() : all_(1) {}  // the first is the root

  const Model& at(int id) const { return all_[id]; }

  int Add(int parent) {
    Model model = all_[parent];  // with its values, deadline and end
    model.parent = parent;
    model.other = -1;
    model.detached = false;
    all_.push_back(model);
    return static_cast<int>(all_.size()) - 1;
  }

  int AddDeadline(int parent, int64_t now, int64_t when, absl::Status cause) {
    const int id = Add(parent);
    // With its parent's deadline, it ends for its own cause, if it has one.
    if (when == all_[id].deadline && !cause.ok()) {
      all_[id].deadline_cause = std::move(cause);
    } else {
      LowerDeadline(id, when, std::move(cause));
    }
    Pass(now);
    return id;
  }

  int AddDetached(int parent) {
    const int id = Add(parent);
    Model fresh;
    fresh.values = all_[id].values;
    fresh.chains = all_[id].chains;
    fresh.parent = parent;
    fresh.detached = true;
    all_[id] = fresh;
    return id;
  }

  int AddMerge(int primary, int other, int64_t now) {
    const int id = Add(primary);
    all_[id].other = other;
    all_[id].chains =
        std::min(kManyChains, all_[id].chains + all_[other].chains);
    LowerDeadline(id, all_[other].deadline, all_[other].deadline_cause);
    if (all_[id].end == End::kLive && all_[other].end != End::kLive) {
      all_[id].end = all_[other].end;
      all_[id].cause = all_[other].cause;
    }
    Pass(now);
    return id;
  }

  void SetValue(int id, int key, int value) { all_[id].values[key] = value; }

  // Moves the time to `now`: passed deadlines end their contexts.
  void Pass(int64_t now) {
    for (Model& m : all_) {
      if (m.end == End::kLive && m.deadline <= now) {
        m.end = End::kDeadline;
        m.cause = m.deadline_cause;
      }
    }
  }

  // The models that end with `id`, itself included.
  std::vector<bool> Below(int id) const {
    std::vector<bool> below(all_.size());
    below[id] = true;
    for (size_t i = id + 1; i < all_.size(); ++i) {
      const Model& m = all_[i];
      below[i] = (m.parent >= 0 && !m.detached && below[m.parent]) ||
                 (m.other >= 0 && below[m.other]);
    }
    return below;
  }

  void Cancel(int id, const absl::Status& cause) {
    if (all_[id].end != End::kLive) return;
    const std::vector<bool> below = Below(id);
    for (size_t i = 0; i < all_.size(); ++i) {
      if (!below[i] || all_[i].end != End::kLive) continue;
      all_[i].end = End::kCancelled;
      all_[i].cause = cause;
    }
  }

 private:
  void LowerDeadline(int id, int64_t when, absl::Status cause) {
    if (when >= all_[id].deadline) return;
    all_[id].deadline = when;
    all_[id].deadline_cause = std::move(cause);
  }

  std::vector<Model> all_;
};

}  // namespace tether::fuzz

#endif  // TETHER_FUZZ_CONTEXT_MODEL_H_
