// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/observer.h"

#include <pthread.h>

#include <atomic>
#include <new>
#include <utility>

#include "tether/internal/exceptions.h"
#include "tether/internal/live_counts.h"
#include "tether/internal/mutex.h"
#include "tether/internal/publication.h"
#include "tether/internal/scope.h"

namespace tether::internal {
namespace {

// RemoveObserver sleeps here until a callback is over. The process has only
// one, since such waits are rare and short.
struct CallbackWait {
  Mutex mutex;
  CondVar over;
};

// Never destroyed and never allocated: destructors wait here.
CallbackWait& GetCallbackWait() {
  alignas(CallbackWait) static char storage[sizeof(CallbackWait)];
  static CallbackWait& wait = *new (storage) CallbackWait;
  return wait;
}

// After a fork, the child finds the wait constructed and unlocked. The child's
// condition variable could still count waiters of the parent process, so the
// child makes a new one.
[[maybe_unused]] const int fork_handled = [] {
  GetCallbackWait();
  return pthread_atfork(
      []() ABSL_NO_THREAD_SAFETY_ANALYSIS { GetCallbackWait().mutex.lock(); },
      []() ABSL_NO_THREAD_SAFETY_ANALYSIS { GetCallbackWait().mutex.unlock(); },
      []() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        new (&GetCallbackWait().over) CondVar;
        GetCallbackWait().mutex.unlock();
      });
}();

std::atomic<int64_t> callback_exceptions{0};

// Wakes the threads that wait in RemoveObserver.
void NotifyCallbackOver() {
  CallbackWait& wait = GetCallbackWait();
  {
    // The waiter sets `awaited` under this mutex. Once we have held it, the
    // waiter is asleep or has seen `current` change.
    MutexLock lock(wait.mutex);
  }
  wait.over.NotifyAll();
}

}  // namespace

bool AddObserver(Scope* scope, Observer* observer) {
  if (IsUnobserved(scope)) StartSource(scope);
  uint8_t state;
  {
    SpinLockHolder lock(scope->lock);
    state = scope->state.load(std::memory_order_relaxed);
    if ((state & kDecided) == 0) {
      if (DeadlinePassed(scope, state)) return false;
      LinkObserver(scope, observer);
      if (!observer->fn) scope->has_merges = true;
    }
  }
  if ((state & kDecided) != 0) {
    AwaitPublished(scope);
    return false;
  }
  CountLive(Live::kCallback, 1);
  return true;
}

bool RemoveObserver(Scope* scope, Observer* observer) {
  PrepareLiveCount();
  {
    SpinLockHolder lock(scope->lock);
    if (observer->pprev != nullptr) {
      UnlinkObserver(observer);
      CountLive(Live::kCallback, -1);
      return true;
    }
    if (scope->firing == nullptr || scope->firing->current != observer ||
        scope->firing->thread == std::this_thread::get_id()) {
      return false;
    }
  }
  CallbackWait& wait = GetCallbackWait();
  MutexLock wait_lock(wait.mutex);
  for (;;) {
    {
      SpinLockHolder lock(scope->lock);
      if (scope->firing == nullptr || scope->firing->current != observer) {
        return false;
      }
      scope->firing->awaited = true;
    }
    wait.over.Wait(wait.mutex);
  }
}

void RunObservers(Scope* scope) {
  Firing firing;
  SpinLock& lock = scope->lock;
  lock.lock();
  scope->firing = &firing;
  while (Observer* observer = scope->observers) {
    UnlinkObserver(observer);
    firing.current = observer;
    lock.unlock();
    CountLive(Live::kCallback, -1);
    // `fn` is moved out, since the callback may destroy its own Registration.
    RunCallback(std::move(observer->fn));
    lock.lock();
    firing.current = nullptr;
    if (firing.awaited) {
      firing.awaited = false;
      lock.unlock();
      NotifyCallbackOver();
      lock.lock();
    }
  }
  scope->firing = nullptr;
  lock.unlock();
}

void RunCallback(absl::AnyInvocable<void() &&> fn) noexcept {
  TETHER_TRY { std::move(fn)(); }
  TETHER_CATCH(...) {
    callback_exceptions.fetch_add(1, std::memory_order_relaxed);
  }
}

int64_t CallbackExceptions() {
  return callback_exceptions.load(std::memory_order_relaxed);
}

}  // namespace tether::internal
