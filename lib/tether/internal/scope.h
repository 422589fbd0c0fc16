// SPDX-License-Identifier: Apache-2.0
//
// The kinds of scopes, how they are linked to their parents, and what they
// answer while they live. Internal. The invariants are in node.h.

#ifndef TETHER_INTERNAL_SCOPE_H_
#define TETHER_INTERNAL_SCOPE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "tether/internal/clock_of.h"
#include "tether/internal/deadline_scope.h"
#include "tether/internal/nanos.h"
#include "tether/internal/node.h"
#include "tether/internal/observer.h"

namespace tether::internal {

// A scope that also ends when a scope of another chain ends. From birth until
// one of the two ends, `hook` is among the observers of that other scope.
struct MergeScope : DeadlineScope {
  struct Hook : Observer {
    explicit Hook(MergeScope* its_merge) : merge(its_merge) {}
    MergeScope* const merge;
  };

  MergeScope(Node* parent_node, Node* other_node)
      : DeadlineScope(NodeKind::kMerge, parent_node), other(Ref(other_node)) {}
  ~MergeScope() { Unref(other); }

  Node* const other;  // owned
  Hook hook{this};
  // The link of DeferredCallbacks. Merges need one of their own, since they may
  // still be linked to their parent by sibling_next.
  Scope* deferred_next = nullptr;
  // True if the end came from `other`. Constant once the merge has ended.
  bool ended_by_other = false;
};

// A scope that costs little until it is first observed: only then is its timer
// armed, and the source started that reports its end. It has room for the
// values that come with a request, so that they need no memory of their own.
struct LazyScope : DeadlineScope {
  explicit LazyScope(Node* parent_node)
      : DeadlineScope(NodeKind::kLazy, parent_node) {}

  // True if a question whether this scope has ended can be answered by the
  // clock: it is too early to start the source. Requires kUnobserved.
  bool IsAliveAndQuiet() const {
    if (quiet_until == kLongPast) return false;
    const Nanos now = ClockOf(this).SteadyNanos();
    return now < quiet_until && now < deadline;
  }

  Nanos quiet_until = kLongPast;  // constant once linked
  // Guarded by lock. Null once started, or if there is no source.
  absl::AnyInvocable<void() &&> start;

  // See TakeRoom. The whole scope is a little smaller than the largest block
  // that glibc's malloc keeps for each thread.
  static constexpr size_t kRoom = 672;
  std::atomic<uint32_t> room_taken{0};
  // Whether it has ever been observed; unlike kUnobserved, also once it has
  // ended.
  std::atomic<bool> was_observed{false};
  alignas(std::max_align_t) unsigned char room[kRoom];
};
static_assert(sizeof(LazyScope) <= 1024, "see kRoom");

// Arms the timer of a LazyScope and starts its source, once. Does neither if
// the deadline, if it is the scope's own, has passed: the scope then stays
// kUnobserved. Call it without any lock.
void StartSource(Scope* scope);

inline bool IsUnobserved(const Scope* scope) {
  return (scope->state.load(std::memory_order_acquire) & kUnobserved) != 0;
}

// Links a new scope below its parent scope and, unless it is lazy, arms its
// timer. If the parent is done, it ends the new scope for the same reason
// instead. The caller holds a reference.
void LinkToParent(Scope* child);

// Why a scope has ended. `how` is kLive if it is not done.
struct Reason {
  uint8_t how;
  absl::Status cause;  // OK if there is none beyond `how`
};
Reason ReasonOf(Scope* scope);

// Err() for a ScopeState: OK, CANCELLED or DEADLINE_EXCEEDED. The message is
// empty if there is no memory for it.
absl::Status StatusOf(uint8_t how) noexcept;

// Both require the parent scope's lock.
inline void LinkChild(Scope* parent, Scope* child) {
  child->sibling_next = parent->children;
  child->sibling_pprev = &parent->children;
  if (child->sibling_next != nullptr) {
    child->sibling_next->sibling_pprev = &child->sibling_next;
  }
  parent->children = child;
}
inline void UnlinkChild(Scope* child) {
  *child->sibling_pprev = child->sibling_next;
  if (child->sibling_next != nullptr) {
    child->sibling_next->sibling_pprev = child->sibling_pprev;
  }
  child->sibling_pprev = nullptr;
}

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_SCOPE_H_
