// When the end of a scope is there for everybody to see: a whole tree ends at
// one moment. Internal. Invariant 5 of node.h says how.

#ifndef TETHER_INTERNAL_PUBLICATION_H_
#define TETHER_INTERNAL_PUBLICATION_H_

#include <cstdint>

#include "tether/internal/node.h"
#include "tether/internal/scope.h"

namespace tether::internal {

// How a decided scope has ended, or will have.
inline uint8_t HowOf(uint8_t state) {
  return static_cast<uint8_t>((state & kEnded) | ((state & kEnding) >> 2));
}

// The state of a scope that ends, as `how` says, once that is published.
// `state` is the one that it has.
inline uint8_t EndingAs(uint8_t how, uint8_t state) {
  return static_cast<uint8_t>((state & kNear) | (how << 2));
}

// Whether `scope`, which was seen kEnding, has ended: one of those above it
// has. A merge has two, and two threads may be ending them: whichever is first
// ends it, whoever decided how. No lock may be held.
//
// Wait-free, but where more than a few dozen merges on the way are in that
// state: then it waits for the end that is under way.
bool Published(const Scope* scope);

// Whether `scope` has ended, as everybody can see; that its deadline has passed
// doesn't count. As Published.
inline bool IsEnded(const Scope* scope) {
  const uint8_t state = scope->state.load(std::memory_order_acquire);
  return (state & kEnded) != 0 || ((state & kEnding) != 0 && Published(scope));
}

// Where the end of a decided scope came from, unless that began with itself.
inline Scope* EndedFrom(const Scope* scope) {
  if (scope->kind == NodeKind::kMerge) {
    const auto* merge = static_cast<const MergeScope*>(scope);
    if (merge->ended_by_other) return merge->other->scope;
  }
  return scope->parent_scope();
}

// Returns once everybody can see the end of a scope that is decided. It waits
// for the thread that is at work there, so no scope's lock may be held.
void AwaitPublished(const Scope* scope);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_PUBLICATION_H_
