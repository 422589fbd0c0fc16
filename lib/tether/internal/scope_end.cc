// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/scope_end.h"

#include "tether/internal/live_counts.h"
#include "tether/internal/publication.h"
#include "tether/internal/timer_service.h"

namespace tether::internal {
namespace {

// Requires the lock of the other parent's scope.
void UnlinkMerge(MergeScope* merge) {
  UnlinkObserver(&merge->hook);
  CountLive(Live::kCallback, -1);
}

// Moves the hooks of merges before all other observers. Requires scope->lock.
void MoveMergesFirst(Scope* scope) {
  for (Observer* observer = scope->observers; observer != nullptr;) {
    Observer* next = observer->next;
    if (!observer->fn && observer->pprev != &scope->observers) {
      UnlinkObserver(observer);
      LinkObserver(scope, observer);
    }
    observer = next;
  }
}

// Ends `top` and all scopes below it at one moment (invariant 5). It holds the
// locks along the path from `top` down, so that nobody sees an undecided
// descendant of an ended and unlocked scope. The walk itself needs no stack.
class SubtreeEnder {
 public:
  SubtreeEnder(uint8_t how, const absl::Status& cause)
      : how_(how), cause_(cause) {}

  // Requires top->lock, and releases it. Adds to `deferred` the scopes below
  // `top` that have callbacks, and all merges.
  void End(Scope* top,
           DeferredCallbacks& deferred) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    how_ = DecideReason(top, how_, cause_);
    Scope* scope = top;
    for (;;) {
      if (Scope* child = TakeDependent(scope)) {
        const uint8_t how =
            scope == top ? how_
                         : HowOf(scope->state.load(std::memory_order_relaxed));
        if (Enter(child, how, scope->cause)) scope = child;
      } else if (scope != top) {
        scope = Leave(scope, deferred);
      } else {
        break;
      }
    }
    has_observers_ = top->observers != nullptr;
    top->state.store(how_, std::memory_order_release);
    top->lock.unlock();
  }

  // True if `top` has callbacks.
  bool has_observers() const { return has_observers_; }
  // True if `deferred` contains merges, which are still to be unlinked.
  bool has_merges() const { return has_merges_; }

 private:
  // Unlinks and returns the next scope that ends with `scope`: a child or a
  // merge. Returns null when there are no more.
  Scope* TakeDependent(Scope* scope) {
    from_merges_ = scope->children == nullptr;
    if (!from_merges_) {
      Scope* child = scope->children;
      UnlinkChild(child);
      return child;
    }
    if (scope->has_merges) {
      MoveMergesFirst(scope);
      scope->has_merges = false;
    }
    Observer* first = scope->observers;
    if (first == nullptr || first->fn) return nullptr;
    MergeScope* merge = static_cast<MergeScope::Hook*>(first)->merge;
    UnlinkMerge(merge);
    return merge;
  }

  // Locks `child` and makes it kEnding. Returns false, without the lock, if it
  // has ended: by its own CancelFunc, which waits for a lock of ours to unlink
  // it; or, a merge, from its other parent.
  bool Enter(Scope* child, uint8_t how,
             const absl::Status& cause) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    child->lock.lock();
    if (child->ended()) {
      child->lock.unlock();
      return false;
    }
    if (child->kind == NodeKind::kMerge) {
      static_cast<MergeScope*>(child)->ended_by_other = from_merges_;
    }
    how = DecideReason(child, how, cause);
    child->state.store(
        EndingAs(how, child->state.load(std::memory_order_relaxed)),
        std::memory_order_release);
    return true;
  }

  // Unlocks `scope`, below which nothing is left, and returns the scope above
  // it on the path.
  Scope* Leave(Scope* scope,
               DeferredCallbacks& deferred) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    Scope* above = SourceOfEnd(scope);
    const bool merge = scope->kind == NodeKind::kMerge;
    if (merge || scope->observers != nullptr) {
      Ref(scope);
      deferred.Add(scope);
      has_merges_ |= merge;
    }
    scope->lock.unlock();  // from here on it may be freed
    return above;
  }

  // Writes the cause, and returns how `scope` ends: as `how` and `cause` say,
  // or by its deadline, if that has passed and another thread may have seen it.
  uint8_t DecideReason(Scope* scope, uint8_t how, const absl::Status& cause) {
    const uint8_t state = scope->state.load(std::memory_order_relaxed);
    if ((state & kClockDecides) != 0 && Passed(scope)) {
      how = kDeadlineExceeded;
      scope->cause = scope->deadline_owner->deadline_cause;
    } else {
      scope->cause = cause;
    }
    if (scope->deadline_owner == scope) {
      TimersOf(scope).Disarm(*static_cast<DeadlineScope*>(scope));
    }
    return how;
  }

  // A time that was read earlier can prove that the deadline has passed, but
  // not that it hasn't: another thread may have seen the scope done since then.
  // A merge may be on another clock.
  bool Passed(const Scope* scope) {
    if (scope->deadline == kNever) return false;
    if (scope->clock != clock_ || scope->deadline > now_) {
      clock_ = scope->clock;
      now_ = ClockOf(scope).SteadyNanos();
    }
    return scope->deadline <= now_;
  }

  uint8_t how_;
  const absl::Status& cause_;
  const Clock* clock_ = nullptr;
  Nanos now_ = kLongPast;
  bool has_observers_ = false;
  bool has_merges_ = false;
  bool from_merges_ = false;  // where TakeDependent took the last scope from
};

}  // namespace

bool EndScope(Scope* scope, uint8_t how, const absl::Status& cause) {
  DeferredCallbacks deferred = EndScopeDeferringCallbacks(scope, how, cause);
  return !deferred.empty() && deferred.Run();
}

DeferredCallbacks EndScopeDeferringCallbacks(Scope* scope, uint8_t how,
                                             const absl::Status& cause)
    ABSL_NO_THREAD_SAFETY_ANALYSIS {
  DeferredCallbacks deferred;
  // Once the end is published, the thread that ended the scope no longer uses
  // it, or has a reference of its own. While the end is only decided, that
  // thread may use the scope until it unlocks it.
  if (IsEnded(scope)) return deferred;
  PrepareLiveCount();
  scope->lock.lock();
  if (scope->ended()) {
    scope->lock.unlock();
    AwaitPublished(scope);
    return deferred;
  }
  SubtreeEnder ender(how, cause);
  ender.End(scope, deferred);
  UnlinkFromParents(scope);
  if (ender.has_merges()) deferred.UnlinkMerges();
  if (ender.has_observers()) {
    Ref(scope);
    deferred.Add(scope);
  }
  return deferred;
}

void EndAtBirth(Scope* scope, const Reason& reason) {
  {
    SpinLockHolder lock(scope->lock);
    scope->state.store(
        scope->state.load(std::memory_order_relaxed) & ~kClockDecides,
        std::memory_order_release);
  }
  EndScope(scope, reason.how, reason.cause);
}

void UnlinkFromParents(Scope* scope) {
  if (Scope* parent = scope->parent_scope()) {
    SpinLockHolder lock(parent->lock);
    if (scope->sibling_pprev != nullptr) UnlinkChild(scope);
  }
  if (scope->kind != NodeKind::kMerge) return;
  auto* merge = static_cast<MergeScope*>(scope);
  if (Scope* other = merge->other->scope) {
    SpinLockHolder lock(other->lock);
    if (merge->hook.pprev != nullptr) UnlinkMerge(merge);
  }
}

}  // namespace tether::internal
