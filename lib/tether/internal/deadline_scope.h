// SPDX-License-Identifier: Apache-2.0
//
// Scopes with a deadline, and how a deadline becomes near. Internal. The
// invariants are in node.h.

#ifndef TETHER_INTERNAL_DEADLINE_SCOPE_H_
#define TETHER_INTERNAL_DEADLINE_SCOPE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/internal/clock_of.h"
#include "tether/internal/deferred_callbacks.h"
#include "tether/internal/nanos.h"
#include "tether/internal/node.h"
#include "tether/internal/timer_wheel.h"

namespace tether::internal {

// A scope that can have a deadline of its own, earlier than its parent's. The
// Timer is guarded by the clock's timer service.
struct DeadlineScope : Scope, Timer {
  DeadlineScope(NodeKind node_kind, Node* parent_node)
      : Scope(node_kind, parent_node) {}

  // Sets the deadline. Call it before LinkToParent.
  void SetDeadline(Nanos end, Nanos now, absl::Status cause_when_passed);

  // Arms the timer if the deadline is this scope's own. Requires that no one
  // can end the scope meanwhile: the caller holds its lock or, for a new scope,
  // its parent's. Unless the scope is near, it has no children. Requires a call
  // of TimerService::EnsureAttended before any lock was taken. If it returns
  // true, the caller must call TimerService::Wake once it holds no lock.
  [[nodiscard]] bool ArmTimer();

  // The timer fired: the deadline came near or passed. The caller holds a
  // reference. Runs no user code.
  [[nodiscard]] DeferredCallbacks OnTimer(Nanos now);

  // Marks this scope and all scopes below it near, and arms the timer for the
  // deadline itself. Requires that the timer is not armed, and that the caller
  // holds a reference.
  void ComeNear();

  // Wall time minus steady time. It is fixed at birth or by the first call, so
  // that Deadline() never changes.
  int64_t WallOffset() const;
  absl::Time WallDeadline() const;

  static constexpr int64_t kUnknownOffset = kNever;
  mutable std::atomic<int64_t> wall_offset{kUnknownOffset};
  absl::Status deadline_cause;  // constant after SetDeadline
};

// True if the deadline of `scope`, whose state is `state`, has passed. Reads
// the clock only if the scope is near or unobserved.
inline bool DeadlinePassed(const Scope* scope, uint8_t state) {
  return (state & kClockDecides) != 0 &&
         scope->deadline <= ClockOf(scope).SteadyNanos();
}

// Records that a thread has seen the deadline of `scope` pass: from now on
// Done() returns true, even if the timer thread is late.
void DeadlineSeenPassed(Scope* scope);

// Marks `top` and all scopes below it near, so that they compare the clock from
// now on. Requires top->lock, and keeps it. Stops at scopes that are near
// already (invariant 6 of node.h); so a chain of n deadlines that come near one
// after the other takes O(n) steps in all. Returns the number of scopes that
// were visited.
size_t MarkNear(Scope* top);

// MarkNear for the child of a fork. The child has no other threads, and locks
// that were held at the fork stay held. A scope with such a lock is marked, but
// the scopes below it are not.
void MarkNearAfterFork(Scope* top);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_DEADLINE_SCOPE_H_
