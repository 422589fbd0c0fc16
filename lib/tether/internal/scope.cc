// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/scope.h"

#include <new>
#include <utility>

#include "tether/internal/exceptions.h"
#include "tether/internal/live_counts.h"
#include "tether/internal/messages.h"
#include "tether/internal/publication.h"
#include "tether/internal/scope_end.h"
#include "tether/internal/timer_service.h"

namespace tether::internal {
namespace {

// Makes the two statuses before main(). If they were made on demand, a thread
// could be making them while the process forks; the child would then wait for
// that forever.
[[maybe_unused]] const bool statuses_made = [] {
  return StatusOf(kCancelled).ok();
}();

// True if the timer of the new scope `child` is armed at once.
bool IsArmedAtBirth(const Scope* child) {
  return child->deadline_owner == child && child->kind != NodeKind::kLazy;
}

// Links `child`, unless it has ended, and arms its timer, unless it is lazy.
// Returns true if the caller must call TimerService::Wake. Requires the
// parent's lock; and the child's lock if other threads can reach it.
bool LinkAndArm(Scope* parent, uint8_t parent_state, Scope* child) {
  if (child->ended()) return false;
  if ((parent_state & kNear) != 0) {
    child->state.store(child->state.load(std::memory_order_relaxed) | kNear,
                       std::memory_order_release);
  }
  if (parent != nullptr) LinkChild(parent, child);
  return IsArmedAtBirth(child) &&
         static_cast<DeadlineScope*>(child)->ArmTimer();
}

}  // namespace

void StartSource(Scope* scope) {
  auto* lazy = static_cast<LazyScope*>(scope);
  const bool has_timer = lazy->deadline_owner == lazy;
  if (has_timer) {
    PrepareLiveCount();
    TimersOf(lazy).EnsureAttended();
  }
  bool wake = false;
  absl::AnyInvocable<void() &&> start;
  {
    SpinLockHolder lock(lazy->lock);
    uint8_t state = lazy->state.load(std::memory_order_relaxed);
    if ((state & kUnobserved) == 0) return;
    lazy->was_observed.store(true, std::memory_order_relaxed);
    if (has_timer) {
      const Nanos now = ClockOf(lazy).SteadyNanos();
      if (lazy->deadline <= now) return;
      if (lazy->deadline <= AddNanos(now, kNearWindow)) {
        lazy->state.store(state | kNear, std::memory_order_relaxed);
      }
      wake = lazy->ArmTimer();
    }
    // Last, so that a thread that finds the scope observed finds it near, or
    // armed on an attended timer service.
    state = lazy->state.load(std::memory_order_relaxed);
    lazy->state.store(state & ~kUnobserved, std::memory_order_release);
    start = std::move(lazy->start);
  }
  if (wake) TimersOf(lazy).Wake();
  if (start) RunCallback(std::move(start));
}

void LinkToParent(Scope* child) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  PrepareLiveCount();
  if (IsArmedAtBirth(child)) TimersOf(child).EnsureAttended();
  Scope* parent = child->parent_scope();
  uint8_t parent_state = kLive;
  if (parent != nullptr) {
    if (IsUnobserved(parent)) StartSource(parent);
    parent->lock.lock();
    parent_state = parent->state.load(std::memory_order_relaxed);
    const bool decided = (parent_state & kDecided) != 0;
    if (decided || DeadlinePassed(parent, parent_state)) {
      parent->lock.unlock();
      if (decided) AwaitPublished(parent);
      return EndAtBirth(child, ReasonOf(parent));
    }
  }
  // Another thread may be ending a merge from its other parent. Any other new
  // scope is known to this thread alone, and to threads that wait for the
  // parent's lock.
  const bool shared = child->kind == NodeKind::kMerge;
  if (shared) child->lock.lock();
  const bool wake = LinkAndArm(parent, parent_state, child);
  if (shared) child->lock.unlock();
  if (parent != nullptr) parent->lock.unlock();
  if (wake) TimersOf(child).Wake();
}

bool DoneSlow(Scope* scope) {
  uint8_t state = scope->state.load(std::memory_order_acquire);
  if ((state & kUnobserved) != 0) {
    if (static_cast<LazyScope*>(scope)->IsAliveAndQuiet()) return false;
    StartSource(scope);
    state = scope->state.load(std::memory_order_acquire);
  }
  return (state & kEnded) != 0 ||
         ((state & kEnding) != 0 && Published(scope)) ||
         DeadlinePassed(scope, state);
}

Reason ReasonOf(Scope* scope) {
  uint8_t state = scope->state.load(std::memory_order_acquire);
  if (state == kLive) return {kLive, {}};
  if ((state & kDecided) == 0) {
    if ((state & kUnobserved) != 0) {
      if (static_cast<LazyScope*>(scope)->IsAliveAndQuiet()) return {kLive, {}};
      StartSource(scope);
    }
    // Under the lock, as in EndScope: the first thread that reads the clock
    // after the deadline decides the reason, forever.
    SpinLockHolder lock(scope->lock);
    state = scope->state.load(std::memory_order_acquire);
    if ((state & kDecided) == 0) {
      if (!DeadlinePassed(scope, state)) return {kLive, {}};
      return {kDeadlineExceeded, scope->deadline_owner->deadline_cause};
    }
  }
  if ((state & kEnding) != 0 && !Published(scope) &&
      !DeadlinePassed(scope, state)) {
    return {kLive, {}};  // as Done() says
  }
  return {HowOf(state), scope->cause};
}

absl::Status StatusOf(uint8_t how) noexcept {
  if ((how & kEnded) == 0) return absl::OkStatus();
  TETHER_TRY {
    static const absl::Status& cancelled =
        *new absl::Status(absl::CancelledError(kCanceledMessage));
    static const absl::Status& exceeded = *new absl::Status(
        absl::DeadlineExceededError(kDeadlineExceededMessage));
    return (how & kCancelled) != 0 ? cancelled : exceeded;
  }
  TETHER_CATCH(const std::bad_alloc&) {
    return absl::Status((how & kCancelled) != 0
                            ? absl::StatusCode::kCancelled
                            : absl::StatusCode::kDeadlineExceeded,
                        "");
  }
}

}  // namespace tether::internal
