// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/deadline_scope.h"

#include <utility>

#include "tether/internal/live_counts.h"
#include "tether/internal/publication.h"
#include "tether/internal/scope_end.h"
#include "tether/internal/timer_service.h"

namespace tether::internal {
namespace {

// How MarkNearWith enters and leaves a scope.
struct UnderLocks {
  static bool Enter(Scope* scope) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    scope->lock.lock();
    return true;
  }
  static void Leave(Scope* scope) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    scope->lock.unlock();
  }
};
struct AfterFork {
  static bool Enter(Scope* scope) { return !scope->lock.taken(); }
  static void Leave(Scope*) {}
};

// Returns false if the scope has ended or was near already.
bool MarkOneNear(Scope* scope) {
  const uint8_t state = scope->state.load(std::memory_order_relaxed);
  if ((state & (kDecided | kNear)) != 0) return false;
  scope->state.store(state | kNear, std::memory_order_release);
  return true;
}

// Requires that `top` is entered, and does not leave it.
template <typename Access>
size_t MarkNearWith(Scope* top) {
  size_t visited = 1;
  if (!MarkOneNear(top)) return visited;
  // The position of the walk: `scope` and all scopes from it up to `top` are
  // entered, and `child` comes next.
  Scope* scope = top;
  Scope* child = top->children;
  for (;;) {
    if (child != nullptr) {
      ++visited;
      const bool entered = Access::Enter(child);
      if (MarkOneNear(child) && entered) {
        scope = child;
        child = child->children;
        continue;
      }
      Scope* next = child->sibling_next;
      if (entered) Access::Leave(child);
      child = next;
      continue;
    }
    if (scope == top) return visited;
    Scope* left = scope;
    child = left->sibling_next;
    scope = left->parent_scope();
    Access::Leave(left);
  }
}

}  // namespace

void DeadlineScope::SetDeadline(Nanos end, Nanos now,
                                absl::Status cause_when_passed) {
  deadline = end;
  deadline_owner = this;
  deadline_cause = std::move(cause_when_passed);
  if (end <= AddNanos(now, kNearWindow)) {
    state.store(state.load(std::memory_order_relaxed) | kNear,
                std::memory_order_relaxed);
  }
}

bool DeadlineScope::ArmTimer() {
  if (deadline_owner != this) return false;
  const uint8_t before = state.load(std::memory_order_relaxed);
  const bool near = (before & kNear) != 0;
  const TimerService::Armed armed = TimersOf(this).Arm(*this, deadline, near);
  // No scope below has to come near too: if this one wasn't near, it is new or
  // has just been observed for the first time (invariant 7).
  if (armed.near && !near) {
    state.store(before | kNear, std::memory_order_release);
  }
  return armed.wake;
}

DeferredCallbacks DeadlineScope::OnTimer(Nanos now) {
  if (deadline <= now) {
    return EndScopeDeferringCallbacks(this, kDeadlineExceeded, deadline_cause);
  }
  ComeNear();
  return {};
}

void DeadlineScope::ComeNear() {
  PrepareLiveCount();
  bool wake;
  {
    SpinLockHolder hold(lock);
    if (ended()) return;
    MarkNear(this);
    wake = ArmTimer();
  }
  if (wake) TimersOf(this).Wake();
}

int64_t DeadlineScope::WallOffset() const {
  int64_t offset = wall_offset.load(std::memory_order_relaxed);
  if (offset == kUnknownOffset) {
    Clock& c = ClockOf(this);
    const int64_t computed = absl::ToUnixNanos(c.Now()) - c.SteadyNanos();
    if (wall_offset.compare_exchange_strong(offset, computed,
                                            std::memory_order_relaxed)) {
      offset = computed;
    }
  }
  return offset;
}

absl::Time DeadlineScope::WallDeadline() const {
  if (deadline == kLongPast) return absl::InfinitePast();
  // absl::Time saturates where int64_t would overflow.
  return absl::FromUnixNanos(WallOffset()) + absl::Nanoseconds(deadline);
}

void DeadlineSeenPassed(Scope* scope) {
  const auto mark = [](Scope* s) {
    {
      SpinLockHolder lock(s->lock);
      if (!s->ended()) {
        MarkNear(s);
        return;
      }
    }
    AwaitPublished(s);
  };
  // Done() is exact for a scope in one of these states.
  constexpr uint8_t kExact = kClockDecides | kEnded;
  if ((scope->state.load(std::memory_order_acquire) & kExact) != 0) return;
  // Start at the scope that owns the deadline, so that no ancestor of `scope`
  // with the same deadline seems to outlive it.
  mark(const_cast<DeadlineScope*>(scope->deadline_owner));
  if ((scope->state.load(std::memory_order_acquire) & kExact) == 0) mark(scope);
}

size_t MarkNear(Scope* top) { return MarkNearWith<UnderLocks>(top); }

void MarkNearAfterFork(Scope* top) {
  if (AfterFork::Enter(top)) {
    MarkNearWith<AfterFork>(top);
  } else {
    MarkOneNear(top);
  }
}

}  // namespace tether::internal
