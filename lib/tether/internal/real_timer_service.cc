// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/real_timer_service.h"

#include <pthread.h>

#include <chrono>
#include <new>
#include <thread>
#include <utility>

namespace tether::internal {
namespace {

// 2^18 ns, a quarter of a millisecond: the wheel fires at most this late, and
// wake-ups are at least this far apart.
constexpr int kRealTickShift = 18;

// There are more threads than cores, and those that run at the same time should
// rarely share a shard.
constexpr size_t kShardsPerCore = 4;

// For the handlers of fork and exit, which take no arguments.
RealTimerService* the_service = nullptr;

}  // namespace

Nanos RealSteadyNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

RealTimerService::RealTimerService()
    : TimerService(kRealTickShift, RealSteadyNanos(), /*attended=*/false,
                   kShardsPerCore * std::thread::hardware_concurrency()) {
  the_service = this;
  pthread_atfork([] { the_service->BeforeFork(); },
                 [] { the_service->AfterForkInParent(); },
                 [] { the_service->AfterForkInChild(); });
}

void RealTimerService::TryToAttend() {
  MutexLock lock(mutex_);
  if (stopped_ || timekeeper_.started()) return;
  StopAtExit();
  if (timekeeper_.Start("tether-timer", [this] { KeepTime(); })) SetAttended();
}

void RealTimerService::Wake() {
  MutexLock lock(mutex_);
  woken_ = true;
  wake_.NotifyOne();
}

void RealTimerService::KeepTime() {
  for (;;) {
    DeferredCallbacks deferred;
    {
      MutexLock firing(firing_);
      deferred = FireDue(RealSteadyNanos());
    }
    if (!deferred.empty()) RunOnCallbackThread(std::move(deferred));
    MutexLock lock(mutex_);
    if (stopped_) return;
    const Nanos next = PlanSleep(RealSteadyNanos());
    if (!woken_) {
      if (next == kNever) {
        wake_.Wait(mutex_);
      } else {
        wake_.WaitUntil(mutex_, std::chrono::steady_clock::time_point(
                                    std::chrono::nanoseconds(next)));
      }
    }
    woken_ = false;
    if (stopped_) return;
  }
}

void RealTimerService::RunOnCallbackThread(DeferredCallbacks deferred) {
  {
    MutexLock lock(mutex_);
    if (callback_thread_.started() ||
        callback_thread_.Start("tether-callback", [this] { RunCallbacks(); })) {
      deferred_.Append(std::move(deferred));
      wake_callbacks_.NotifyOne();
      return;
    }
  }
  {
    MutexLock firing(firing_);
    deferred.Append(SetUnattended());
  }
  deferred.Run();
  MutexLock lock(mutex_);
  if (!stopped_) SetAttended();
}

void RealTimerService::RunCallbacks() {
  for (;;) {
    DeferredCallbacks deferred;
    {
      MutexLock lock(mutex_);
      while (deferred_.empty()) {
        if (no_more_callbacks_) return;
        wake_callbacks_.Wait(mutex_);
      }
      deferred = std::move(deferred_);
    }
    deferred.Run();
  }
}

void RealTimerService::StopAtExit() {
  struct Stopper {
    ~Stopper() { the_service->Stop(); }
  };
  static Stopper stopper;
  (void)stopper;
}

void RealTimerService::Stop() {
  // A callback may have called exit(): then the thread runs this itself.
  const auto finish = [](ServiceThread thread) {
    if (!thread.started()) return;
    if (thread.IsThisThread()) {
      thread.Detach();
    } else {
      thread.Join();
    }
  };
  ServiceThread thread;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    wake_.NotifyOne();
    thread = std::move(timekeeper_);
  }
  finish(std::move(thread));
  DeferredCallbacks deferred;
  {
    MutexLock firing(firing_);
    deferred = SetUnattended();
  }
  {
    MutexLock lock(mutex_);
    no_more_callbacks_ = true;
    wake_callbacks_.NotifyOne();
    thread = std::move(callback_thread_);
  }
  finish(std::move(thread));
  deferred.Run();
}

void RealTimerService::BeforeFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  firing_.lock();
  mutex_.lock();
  LockAll();
}

void RealTimerService::AfterForkInParent() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  UnlockAll();
  mutex_.unlock();
  firing_.unlock();
}

void RealTimerService::AfterForkInChild() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  AbandonAfterFork();
  timekeeper_.AbandonAfterFork();
  callback_thread_.AbandonAfterFork();
  deferred_.Abandon();
  woken_ = false;
  // The condition variables still count the parent's threads as waiters. They
  // would pass wake-ups to those threads and wait for them, so they are
  // abandoned rather than destroyed.
  new (&wake_) CondVar;
  new (&wake_callbacks_) CondVar;
  AfterForkInParent();
}

}  // namespace tether::internal
