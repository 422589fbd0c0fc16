// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/timer_service.h"

#include <algorithm>

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

// Adds the timers of `list` to `*due`. Both are ordered by their times.
void MergeByTime(Timer* list, Timer** due) {
  while (list != nullptr) {
    while (*due != nullptr && (*due)->when <= list->when) due = &(*due)->next;
    Timer* rest = *due;
    *due = list;
    list = rest;
    due = &(*due)->next;
  }
}

// The least power of two that isn't less than `shards`, but at most kMaxShards.
size_t ShardsFor(size_t shards) {
  size_t power = 1;
  while (power < std::min(shards, kMaxShards)) power *= 2;
  return power;
}

}  // namespace

TimerService::TimerService(int tick_shift, Nanos start, bool attended,
                           size_t shards)
    : attended_(attended) {
  shards_.resize(ShardsFor(shards));
  for (auto& shard : shards_) {
    shard = std::make_unique<Shard>(tick_shift, start);
  }
}

TimerService::~TimerService() = default;

TimerService::Armed TimerService::Arm(Timer& timer, Nanos deadline, bool near) {
  CountLive(Live::kTimer, 1);
  // A timer that is armed again stays in its shard, so that `shard` is constant
  // from then on. Until then it is guarded by the scope's lock, like `state`.
  if (timer.shard == Timer::kNoShard) {
    timer.shard = static_cast<uint16_t>(ThreadNumber() & (shards_.size() - 1));
  }
  Shard& shard = *shards_[timer.shard];
  bool attended;
  Nanos when;
  {
    SpinLockHolder lock(shard.lock);
    attended = attended_.load(std::memory_order_relaxed);
    near = near || !attended;
    when = near ? deadline : deadline - kNearWindow;
    timer.generation = shard.generation;
    shard.wheel.Add(timer, when);
  }
  return {/*wake=*/attended && MustWakeFor(when), near};
}

// PlanSleep sets the time to kNever, then visits each shard under its lock,
// then sets the time of the first event. So if it visited the shard before the
// timer was there, this thread finds kNever or what was set later.
bool TimerService::MustWakeFor(Nanos when) {
  Nanos until = sleeping_until_.load(std::memory_order_relaxed);
  while (when < until) {
    if (sleeping_until_.compare_exchange_weak(until, when,
                                              std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void TimerService::Disarm(Timer& timer) {
  if (timer.shard == Timer::kNoShard) return;  // never armed
  {
    Shard& shard = *shards_[timer.shard];
    SpinLockHolder lock(shard.lock);
    if (!timer.armed()) return;
    if (timer.generation == shard.generation) {
      shard.wheel.Remove(timer);
    } else {
      timer.pprev = nullptr;
    }
  }
  CountLive(Live::kTimer, -1);
}

Timer* TimerService::TakeDue(Nanos now) {
  Timer* due = nullptr;
  for (const auto& shard : shards_) {
    Timer* expired;
    {
      SpinLockHolder lock(shard->lock);
      expired = shard->wheel.TakeExpired(now);
      // Under the lock: a thread that ends such a scope waits for it in Disarm,
      // so the scope can't be freed before we have our reference.
      for (Timer* t = expired; t != nullptr; t = t->next) Ref(ScopeOf(t));
    }
    MergeByTime(expired, &due);
  }
  return due;
}

void TimerService::RunDue(Nanos now) {
  Timer* due = TakeDue(now);
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
  Timer* due = TakeDue(now);
  while (due != nullptr) {
    DeadlineScope* scope = ScopeOf(due);
    due = due->next;
    CountLive(Live::kTimer, -1);
    deferred.Append(scope->OnTimer(now));
    Release(scope, deferred);
  }
  return deferred;
}

// A timer that is armed at the same time either finds attended_ false, or is in
// its shard when that is visited.
DeferredCallbacks TimerService::SetUnattended() {
  DeferredCallbacks deferred;
  attended_.store(false, std::memory_order_relaxed);
  for (const auto& shard : shards_) {
    Timer* armed;
    {
      SpinLockHolder lock(shard->lock);
      armed = shard->wheel.TakeAll();
      for (Timer* t = armed; t != nullptr; t = t->next) Ref(ScopeOf(t));
    }
    while (armed != nullptr) {
      DeadlineScope* scope = ScopeOf(armed);
      armed = armed->next;
      CountLive(Live::kTimer, -1);
      scope->ComeNear();
      Release(scope, deferred);
    }
  }
  return deferred;
}

// A thread that still finds attended_ false wakes nobody. Its timer is in its
// shard when PlanSleep, which comes later, visits that.
void TimerService::SetAttended() {
  attended_.store(true, std::memory_order_relaxed);
}

void TimerService::LockAll() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (const auto& shard : shards_) shard->lock.lock();
}

void TimerService::UnlockAll() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (const auto& shard : shards_) shard->lock.unlock();
}

void TimerService::AbandonAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (const auto& shard : shards_) {
    Timer* timer = shard->wheel.TakeAll();
    while (timer != nullptr) {
      Timer* next = timer->next;
      timer->next = nullptr;
      // The timer looks armed, so that it is counted until it is disarmed.
      timer->pprev = &timer->next;
      MarkNearAfterFork(ScopeOf(timer));
      timer = next;
    }
    ++shard->generation;
  }
  sleeping_until_.store(kNever, std::memory_order_relaxed);
  attended_.store(false, std::memory_order_relaxed);
}

Nanos TimerService::NextEvent() {
  Nanos next = kNever;
  for (const auto& shard : shards_) {
    SpinLockHolder lock(shard->lock);
    next = std::min(next, shard->wheel.NextEvent());
  }
  return next;
}

size_t TimerService::armed() {
  size_t armed = 0;
  for (const auto& shard : shards_) {
    SpinLockHolder lock(shard->lock);
    armed += shard->wheel.size();
  }
  return armed;
}

Nanos TimerService::PlanSleep(Nanos now) {
  const Nanos before =
      sleeping_until_.exchange(kNever, std::memory_order_relaxed);
  const Nanos next = NextEvent();
  Nanos planned = before <= now ? next : std::min(before, next);
  // A thread that armed a timer meanwhile found kNever, so it wakes this one.
  sleeping_until_.store(planned, std::memory_order_relaxed);
  return planned;
}

}  // namespace tether::internal
