#include "tether/internal/timer_service.h"

#include "tether/internal/live_counts.h"
#include "tether/internal/scope.h"

namespace tether::internal {

bool TimerService::Arm(Timer& timer, Nanos when) {
  CountLive(Live::kTimer, 1);
  SpinLockHolder lock(lock_);
  wheel_.Add(timer, when);
  if (when >= sleeping_until_) return false;
  sleeping_until_ = when;  // the next ones wake nobody for a later time
  return true;
}

void TimerService::Disarm(Timer& timer) {
  {
    SpinLockHolder lock(lock_);
    if (!timer.armed()) return;
    wheel_.Remove(timer);
  }
  CountLive(Live::kTimer, -1);
}

void TimerService::RunDue(Nanos now) {
  Timer* expired;
  {
    SpinLockHolder lock(lock_);
    expired = wheel_.TakeExpired(now);
    // Under the lock: a scope that is being ended waits for it in Disarm, and
    // so can't be freed before we hold it.
    for (Timer* t = expired; t != nullptr; t = t->next) {
      Ref(static_cast<DeadlineScope*>(t));
    }
  }
  while (expired != nullptr) {
    DeadlineScope* scope = static_cast<DeadlineScope*>(expired);
    expired = expired->next;
    CountLive(Live::kTimer, -1);
    scope->OnTimer(now);
    Unref(scope);
  }
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
