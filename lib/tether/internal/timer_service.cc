// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/timer_service.h"

#include "tether/internal/deadline_scope.h"
#include "tether/internal/live_counts.h"

namespace tether::internal {
namespace {

DeadlineScope* ScopeOf(Timer* timer) {
  return static_cast<DeadlineScope*>(timer);
}

// Drops a reference to `scope`. If it is the last one, adds it to `deferred`
// instead, so that no user's destructor runs here.
void Release(DeadlineScope* scope, DeferredCallbacks& deferred) {
  // If it is the last reference, the scope has ended, and no other thread can
  // be using its sibling_next.
  if (!UnrefUnlessLast(scope)) deferred.Add(scope);
}

}  // namespace

TimerService::Armed TimerService::Arm(Timer& timer, Nanos deadline, bool near) {
  CountLive(Live::kTimer, 1);
  SpinLockHolder lock(lock_);
  const bool attended = attended_.load(std::memory_order_relaxed);
  near = near || !attended;
  const Nanos when = near ? deadline : deadline - kNearWindow;
  timer.generation = generation_;
  wheel_.Add(timer, when);
  if (!attended || when >= sleeping_until_) return {/*wake=*/false, near};
  sleeping_until_ = when;  // so later timers don't wake the thread again
  return {/*wake=*/true, near};
}

void TimerService::Disarm(Timer& timer) {
  {
    SpinLockHolder lock(lock_);
    if (!timer.armed()) return;
    if (timer.generation == generation_) {
      wheel_.Remove(timer);
    } else {
      timer.pprev = nullptr;
    }
  }
  CountLive(Live::kTimer, -1);
}

void TimerService::RefAll(Timer* timers) {
  for (Timer* t = timers; t != nullptr; t = t->next) Ref(ScopeOf(t));
}

void TimerService::RunDue(Nanos now) {
  Timer* due;
  {
    SpinLockHolder lock(lock_);
    due = wheel_.TakeExpired(now);
    // Under the lock: a thread that ends such a scope waits for it in Disarm,
    // so the scope can't be freed before we have our reference.
    RefAll(due);
  }
  while (due != nullptr) {
    DeadlineScope* scope = ScopeOf(due);
    due = due->next;
    CountLive(Live::kTimer, -1);
    scope->OnTimer(now).Run();
    Unref(scope);
  }
}

DeferredCallbacks TimerService::FireDue(Nanos now) {
  DeferredCallbacks deferred;
  Timer* due;
  {
    SpinLockHolder lock(lock_);
    due = wheel_.TakeExpired(now);
    RefAll(due);  // as in RunDue
  }
  while (due != nullptr) {
    DeadlineScope* scope = ScopeOf(due);
    due = due->next;
    CountLive(Live::kTimer, -1);
    deferred.Append(scope->OnTimer(now));
    Release(scope, deferred);
  }
  return deferred;
}

DeferredCallbacks TimerService::SetUnattended() {
  DeferredCallbacks deferred;
  Timer* armed;
  {
    SpinLockHolder lock(lock_);
    attended_.store(false, std::memory_order_relaxed);
    armed = wheel_.TakeAll();
    RefAll(armed);
  }
  while (armed != nullptr) {
    DeadlineScope* scope = ScopeOf(armed);
    armed = armed->next;
    CountLive(Live::kTimer, -1);
    scope->ComeNear();
    Release(scope, deferred);
  }
  return deferred;
}

void TimerService::SetAttended() {
  SpinLockHolder lock(lock_);
  attended_.store(true, std::memory_order_relaxed);
}

void TimerService::AbandonAfterFork() {
  Timer* timer = wheel_.TakeAll();
  while (timer != nullptr) {
    Timer* next = timer->next;
    timer->next = nullptr;
    // The timer looks armed, so that it is counted until it is disarmed.
    timer->pprev = &timer->next;
    MarkNearAfterFork(ScopeOf(timer));
    timer = next;
  }
  ++generation_;
  sleeping_until_ = kNever;
  attended_.store(false, std::memory_order_relaxed);
}

Nanos TimerService::NextEvent() {
  SpinLockHolder lock(lock_);
  return wheel_.NextEvent();
}

size_t TimerService::armed() {
  SpinLockHolder lock(lock_);
  return wheel_.size();
}

Nanos TimerService::PlanSleep(Nanos now) {
  SpinLockHolder lock(lock_);
  const Nanos next = wheel_.NextEvent();
  if (sleeping_until_ <= now || sleeping_until_ > next) sleeping_until_ = next;
  return sleeping_until_;
}

}  // namespace tether::internal
