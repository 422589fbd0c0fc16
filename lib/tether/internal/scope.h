// How scopes are born, observed and ended. Internal. The invariants are in
// node.h.

#ifndef TETHER_INTERNAL_SCOPE_H_
#define TETHER_INTERNAL_SCOPE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/clock.h"
#include "tether/export.h"
#include "tether/internal/node.h"
#include "tether/internal/owed_callbacks.h"
#include "tether/internal/timer_service.h"

namespace tether::internal {

// A callback that waits for the end of a scope, in the user's Registration; or
// the hook of a merge, whose fn is null.
struct Observer {
  Observer* next = nullptr;    // guarded by the scope's lock
  Observer** pprev = nullptr;  // guarded by the scope's lock; null: not linked
  absl::AnyInvocable<void() &&> fn;
};

// What the thread that runs a scope's callbacks is at. On that thread's stack;
// guarded by the scope's lock.
struct Firing {
  const std::thread::id thread = std::this_thread::get_id();
  const Observer* current = nullptr;
  bool awaited = false;  // somebody in RemoveObserver waits for `current`
};

// A scope that can have a deadline of its own, earlier than its parent's. The
// Timer is guarded by the clock's service.
struct DeadlineScope : Scope, Timer {
  DeadlineScope(NodeKind node_kind, Node* parent_node)
      : Scope(node_kind, parent_node) {}

  // Sets the deadline. Before Adopt.
  void SetDeadline(Nanos end, Nanos now, absl::Status cause_when_passed);

  // Arms the timer if the deadline is this scope's own. Requires that nobody
  // can end it meanwhile (its lock; or, for a new one, its parent's), and
  // TimerService::Attend before any lock. Returns whether the caller has to
  // call TimerService::Wake once it holds no lock.
  [[nodiscard]] bool ArmTimer();

  // The timer fired: the deadline came near or passed. The caller holds a
  // reference. No code of a user runs.
  [[nodiscard]] OwedCallbacks OnTimer(Nanos now);

  // Makes this and all below it near, and arms the timer, which isn't armed,
  // for the deadline itself. The caller holds a reference.
  void ComeNear();

  // Wall time minus steady time; fixed at birth or by the first who asks, so
  // that Deadline() never changes.
  int64_t WallOffset() const;
  absl::Time WallDeadline() const;

  static constexpr int64_t kUnknownOffset = kNever;
  mutable std::atomic<int64_t> wall_offset{kUnknownOffset};
  absl::Status deadline_cause;  // constant after SetDeadline
};

// Also ends when a scope of another chain does, among whose observers `hook` is
// from birth until one of the two ends.
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
  // In OwedCallbacks, since the merge may be linked to its parent meanwhile.
  Scope* owed_next = nullptr;
  // Whether the end came from `other`. Constant once it has ended.
  bool ended_by_other = false;
};

// Learns of its end from elsewhere, by way of something costly that is started
// when first somebody observes the scope.
struct LazyScope : DeadlineScope {
  explicit LazyScope(Node* parent_node)
      : DeadlineScope(NodeKind::kLazy, parent_node) {}

  absl::AnyInvocable<void() &&> start;  // guarded by lock; null once started
};

struct ClockAccess {
  static TimerService& Timers(Clock& clock) { return clock.timers(); }
  static Node* Root(Clock& clock) { return &clock.root_; }
};

inline Clock& ClockOf(const Node* node) {
  return node->clock != nullptr ? *node->clock : Clock::Real();
}
inline TimerService& TimersOf(const Node* node) {
  return ClockAccess::Timers(ClockOf(node));
}

// Saturating; kNever and kLongPast absorb.
TETHER_EXPORT Nanos AddNanos(Nanos a, Nanos b);

// The deadline of `scope` has passed, as somebody just saw: Done() says so from
// now on, even where the timer thread is late to notice.
void DeadlineSeenPassed(Scope* scope);

// Tells `top` and all below it to compare the clock from now on. Requires
// top->lock, and keeps it. Goes no further down where it finds a scope near
// already (invariant 6 of node.h), so that a chain of n deadlines that come
// near one after the other takes O(n) steps in all. Returns the number of
// scopes that it looked at.
size_t MarkNear(Scope* top);

// The same in the child of a fork, where no other thread is, and locks that
// were held stay so: those scopes are marked, but not what is below them.
void MarkNearAfterFork(Scope* top);

// The reason at this moment: how == kLive means not done.
struct Reason {
  uint8_t how;
  absl::Status cause;  // OK: as `how` says
};
Reason ReasonOf(Scope* scope);

// Links a new merge to its other parent, and returns true; false when that is
// done. Before Adopt. The caller holds a reference.
bool LinkToOther(MergeScope* merge);

// Links a new scope below its parent scope and arms its timer; if the parent is
// done, ends it for the same reason. The caller holds a reference.
void Adopt(Scope* child);

// Ends `scope` and all below it, merges included, at one moment, unless it has
// ended, and then runs their callbacks.
// When it returns, all of them are done, whoever ended them. The caller holds a
// reference. `how` is kCancelled or kDeadlineExceeded; near a deadline that has
// passed meanwhile, the deadline is the reason, since Done() has been saying
// so. Returns whether it ran callbacks, which may have destroyed the caller.
bool EndScope(Scope* scope, uint8_t how, const absl::Status& cause);

// EndScope, but whoever gets the result runs the callbacks.
[[nodiscard]] OwedCallbacks MarkEnded(Scope* scope, uint8_t how,
                                      const absl::Status& cause);

// EndScope for a scope that nobody has seen alive, and a reason that was there
// before it: that its own deadline has passed as well doesn't count.
void EndAtBirth(Scope* scope, const Reason& reason);

// Links `observer`, whose fn is set, and returns true; false when the scope is
// done: the caller runs it.
bool AddObserver(Scope* scope, Observer* observer);

// Returns true when it prevented the call. Otherwise the call is over when this
// returns, unless it is made from within that call.
bool RemoveObserver(Scope* scope, Observer* observer);

// Runs a callback of the user's: what it throws is swallowed and counted
// (CallbackExceptions).
void RunCallback(absl::AnyInvocable<void() &&> fn) noexcept;
int64_t CallbackExceptions();

// Err() for a ScopeState: OK, CANCELLED or DEADLINE_EXCEEDED; without its words
// where there is no memory for them.
absl::Status StatusOf(uint8_t how) noexcept;

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_SCOPE_H_
