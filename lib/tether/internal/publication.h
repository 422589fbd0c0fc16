// SPDX-License-Identifier: Apache-2.0
//
// When the end of a scope becomes visible: a whole tree ends at one moment, as
// invariant 5 of node.h says. Internal.

#ifndef TETHER_INTERNAL_PUBLICATION_H_
#define TETHER_INTERNAL_PUBLICATION_H_

#include <cstdint>

#include "tether/internal/node.h"
#include "tether/internal/scope.h"

namespace tether::internal {

// How a decided scope has ended, or will have ended once that is published.
inline uint8_t HowOf(uint8_t state) {
  return static_cast<uint8_t>((state & kEnded) | ((state & kEnding) >> 2));
}

// The state of a scope that will have ended as `how` says once that is
// published. `state` is its present state. The scope is no longer unobserved,
// since its source must not be started; but it compares the clock as before.
inline uint8_t EndingAs(uint8_t how, uint8_t state) {
  const uint8_t near = (state & kClockDecides) != 0 ? kNear : kLive;
  return static_cast<uint8_t>(near | (how << 2));
}

// True if `scope`, which was kEnding, has ended. It ends when a scope above it
// has ended. A merge has two scopes above it, and two threads may be ending
// them. The first to finish ends the merge, whichever thread decided how. Call
// it without any lock.
//
// Wait-free, unless more than a few dozen merges above are kEnding: then it
// waits until the end is published.
bool Published(const Scope* scope);

// True if the end of `scope` is published. A deadline that has passed does not
// count. Otherwise like Published.
inline bool IsEnded(const Scope* scope) {
  const uint8_t state = scope->state.load(std::memory_order_acquire);
  return (state & kEnded) != 0 || ((state & kEnding) != 0 && Published(scope));
}

// The scope from which the end of a decided scope came, unless it began with
// the scope itself.
inline Scope* SourceOfEnd(const Scope* scope) {
  if (scope->kind == NodeKind::kMerge) {
    const auto* merge = static_cast<const MergeScope*>(scope);
    if (merge->ended_by_other) return merge->other->scope;
  }
  return scope->parent_scope();
}

// Returns once the end of a decided scope is published. It waits for the thread
// that ends the scope, so no scope's lock may be held.
void AwaitPublished(const Scope* scope);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_PUBLICATION_H_
