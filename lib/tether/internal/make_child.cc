// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/make_child.h"

#include <atomic>
#include <utility>

namespace tether::internal {

std::atomic<void (*)(const Context&)> on_later_deadline{nullptr};

NewCancellable WithSteadyDeadline(const Context& parent, Nanos when, Nanos now,
                                  int64_t wall_offset, absl::Status cause) {
  Node* node = ContextAccess::NodeOf(parent);
  // If the parent has the same deadline, both end at that moment, and the
  // child's own cause is as true as the parent's. As in Go.
  const Nanos above = DeadlineOf(node);
  if (when > above && when != kNever) {
    auto* const observe = on_later_deadline.load(std::memory_order_relaxed);
    if (observe != nullptr) observe(parent);
  }
  if (when == kNever || when > above || (when == above && cause.ok())) {
    return WithCancel(parent);
  }
  auto* scope = new DeadlineScope(NodeKind::kDeadline, node);
  scope->SetDeadline(when, now, std::move(cause));
  scope->wall_offset.store(wall_offset, std::memory_order_relaxed);
  return LinkNewScope(scope);
}

}  // namespace tether::internal
