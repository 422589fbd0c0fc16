#include "tether/internal/scope.h"

#include <limits>
#include <utility>

#include "tether/internal/live_counts.h"
#include "tether/internal/mutex.h"

namespace tether::internal {
namespace {

// Where RemoveObserver sleeps until a callback is over. One for the process: it
// is rare, and short.
struct CallbackWait {
  Mutex mutex;
  CondVar over;
};

CallbackWait& GetCallbackWait() {
  static CallbackWait& wait = *new CallbackWait;
  return wait;
}

std::atomic<int64_t> callback_exceptions{0};

void LinkObserver(Scope* scope, Observer* observer)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(scope->lock) {
  observer->next = scope->observers;
  observer->pprev = &scope->observers;
  if (observer->next != nullptr) observer->next->pprev = &observer->next;
  scope->observers = observer;
}

void UnlinkObserver(Observer* observer) {
  *observer->pprev = observer->next;
  if (observer->next != nullptr) observer->next->pprev = observer->pprev;
  observer->next = nullptr;
  observer->pprev = nullptr;
}

// Requires the parent scope's lock.
void LinkChild(Scope* parent, Scope* child) {
  child->sibling_next = parent->children;
  child->sibling_pprev = &parent->children;
  if (child->sibling_next != nullptr) {
    child->sibling_next->sibling_pprev = &child->sibling_next;
  }
  parent->children = child;
  child->linked = true;
}

// Requires the parent scope's lock.
void UnlinkChild(Scope* child) {
  *child->sibling_pprev = child->sibling_next;
  if (child->sibling_next != nullptr) {
    child->sibling_next->sibling_pprev = child->sibling_pprev;
  }
  child->linked = false;
}

// Starts the source of a LazyScope, once.
void StartSource(Scope* scope) {
  absl::AnyInvocable<void() &&> start;
  {
    SpinLockHolder lock(scope->lock);
    const uint8_t state = scope->state.load(std::memory_order_relaxed);
    if ((state & kUnobserved) == 0) return;
    scope->state.store(state & ~kUnobserved, std::memory_order_release);
    start = std::move(static_cast<LazyScope*>(scope)->start);
  }
  if (start) RunCallback(std::move(start));
}

bool DeadlinePassed(const Scope* scope, uint8_t state) {
  return (state & kNear) != 0 &&
         scope->deadline <= ClockOf(scope).SteadyNanos();
}

// Runs the callbacks of an ended scope. Only the thread that ended it does.
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
    // Moved here, since the callback may destroy its own Registration.
    RunCallback(std::move(observer->fn));
    lock.lock();
    firing.current = nullptr;
    if (firing.awaited) {
      firing.awaited = false;
      lock.unlock();
      CallbackWait& wait = GetCallbackWait();
      {
        // Whoever set `awaited` did so under this mutex: after this it is
        // asleep, or has seen `current` change.
        MutexLock wait_lock(wait.mutex);
      }
      wait.over.NotifyAll();
      lock.lock();
    }
  }
  scope->firing = nullptr;
  lock.unlock();
}

// What an ended scope owes to others, outside of all locks.
void Settle(Scope* scope) {
  RunObservers(scope);
  if (scope->kind == NodeKind::kMerge) {
    auto* merge = static_cast<MergeScope*>(scope);
    Scope* other = merge->other->scope;
    if (other != nullptr) RemoveObserver(other, &merge->hook);
    if (merge->hook.fn) merge->hook.fn = nullptr;  // drops its reference to us
  }
}

// Marks `top` and all below it as ended. Locks are held along the path from
// `top` down, so that nobody sees a descendant of an ended and unlocked scope
// alive; the walk itself needs no stack.
class SubtreeEnder {
 public:
  SubtreeEnder(uint8_t how, const absl::Status& cause)
      : how_(how), cause_(cause) {}

  // Requires top->lock, releases it. What is owed to others below `top` goes to
  // `owed`.
  void End(Scope* top, OwedCallbacks& owed) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    Mark(top);
    Scope* scope = top;
    for (;;) {
      if (Scope* child = scope->children) {
        UnlinkChild(child);
        child->lock.lock();
        if (child->ended()) {  // by its own CancelFunc, which waits for our
                               // lock to unlink it
          child->lock.unlock();
          continue;
        }
        Mark(child);
        scope = child;
        continue;
      }
      Scope* up = nullptr;
      if (scope != top) {
        up = scope->parent_scope();
        if (scope->observers != nullptr || scope->kind == NodeKind::kMerge) {
          Ref(scope);
          owed.Add(scope);
        }
      }
      scope->lock.unlock();  // from here on it may be freed
      if (up == nullptr) return;
      scope = up;
    }
  }

 private:
  void Mark(Scope* scope) {
    uint8_t how = how_;
    const absl::Status* cause = &cause_;
    if ((scope->state.load(std::memory_order_relaxed) & kNear) != 0 &&
        Passed(scope)) {
      how = kDeadlineExceeded;
      cause = &scope->deadline_owner->deadline_cause;
    }
    scope->cause = *cause;
    scope->state.store(how, std::memory_order_release);
    if (scope->kind >= NodeKind::kDeadline) {
      TimersOf(scope).Disarm(*static_cast<DeadlineScope*>(scope));
    }
  }

  // Time that has been read before can say "yes", but not "no": somebody may
  // have looked at the scope since then and have seen it done.
  bool Passed(const Scope* scope) {
    if (scope->deadline > now_) now_ = ClockOf(scope).SteadyNanos();
    return scope->deadline <= now_;
  }

  const uint8_t how_;
  const absl::Status& cause_;
  Nanos now_ = std::numeric_limits<Nanos>::min();
};

// Tells `top` and all below it to compare the clock from now on. Requires
// top->lock, and keeps it.
void MarkNear(Scope* top) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const auto mark = [](Scope* scope) {
    const uint8_t state = scope->state.load(std::memory_order_relaxed);
    if ((state & kEnded) == 0) {
      scope->state.store(state | kNear, std::memory_order_release);
    }
  };
  mark(top);
  Scope* scope = top;
  for (;;) {
    if (Scope* child = scope->children) {
      child->lock.lock();
      mark(child);
      scope = child;
      continue;
    }
    for (;;) {
      if (scope == top) return;
      Scope* up = scope->parent_scope();
      Scope* next = scope->sibling_next;
      scope->lock.unlock();
      if (next != nullptr) {
        next->lock.lock();
        mark(next);
        scope = next;
        break;
      }
      scope = up;
    }
  }
}

}  // namespace

Nanos AddNanos(Nanos a, Nanos b) {
  if (a == kNever || b == kNever) return kNever;
  Nanos sum;
  if (__builtin_add_overflow(a, b, &sum)) {
    return a < 0 ? std::numeric_limits<Nanos>::min() : kNever;
  }
  return sum;
}

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
  const bool near = (state.load(std::memory_order_relaxed) & kNear) != 0;
  return TimersOf(this).Arm(*this, near ? deadline : deadline - kNearWindow);
}

void DeadlineScope::OnTimer(Nanos now) {
  if (deadline <= now) {
    EndScope(this, kDeadlineExceeded, deadline_cause);
    return;
  }
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
  // absl::Time saturates where int64_t would overflow.
  return absl::FromUnixNanos(WallOffset()) + absl::Nanoseconds(deadline);
}

void Adopt(Scope* child) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  PrepareLiveCount();
  Scope* parent = child->parent_scope();
  uint8_t parent_state = kLive;
  if (parent != nullptr) {
    parent->lock.lock();
    parent_state = parent->state.load(std::memory_order_relaxed);
    if ((parent_state & kEnded) != 0 || DeadlinePassed(parent, parent_state)) {
      parent->lock.unlock();
      return EndAtBirth(child, ReasonOf(parent));
    }
  }
  // A merge may be ended by its other parent meanwhile. Any other scope is
  // known to this thread alone, and to those who wait for the parent's lock.
  const bool shared = child->kind == NodeKind::kMerge;
  bool wake = false;
  if (shared) child->lock.lock();
  if (!child->ended()) {
    if ((parent_state & kNear) != 0) {
      child->state.store(child->state.load(std::memory_order_relaxed) | kNear,
                         std::memory_order_release);
    }
    if (parent != nullptr) LinkChild(parent, child);
    if (child->kind >= NodeKind::kDeadline) {
      wake = static_cast<DeadlineScope*>(child)->ArmTimer();
    }
  }
  if (shared) child->lock.unlock();
  if (parent != nullptr) parent->lock.unlock();
  if (wake) TimersOf(child).Wake();
  if ((parent_state & kUnobserved) != 0) StartSource(parent);
}

bool EndScope(Scope* scope, uint8_t how, const absl::Status& cause) {
  return MarkEnded(scope, how, cause).Run();
}

OwedCallbacks MarkEnded(Scope* scope, uint8_t how, const absl::Status& cause)
    ABSL_NO_THREAD_SAFETY_ANALYSIS {
  PrepareLiveCount();
  OwedCallbacks owed;
  scope->lock.lock();
  // Not without the lock: whoever ends us from above may still be at work below
  // us, and reads us until it unlocks.
  if (scope->ended()) {
    scope->lock.unlock();
    return owed;
  }
  const bool settle =
      scope->observers != nullptr || scope->kind == NodeKind::kMerge;
  SubtreeEnder ender(how, cause);
  ender.End(scope, owed);
  if (Scope* parent = scope->parent_scope()) {
    SpinLockHolder lock(parent->lock);
    if (scope->linked) UnlinkChild(scope);
  }
  if (settle) {
    Ref(scope);
    owed.Add(scope);
  }
  return owed;
}

void OwedCallbacks::Add(Scope* scope) {
  scope->sibling_next = first_;
  first_ = scope;
}

bool OwedCallbacks::Run() {
  Scope* scope = std::exchange(first_, nullptr);
  if (scope == nullptr) return false;
  PrepareLiveCount();
  do {
    Scope* next = scope->sibling_next;
    Settle(scope);
    Unref(scope);
    scope = next;
  } while (scope != nullptr);
  return true;
}

void EndAtBirth(Scope* scope, const Reason& reason) {
  {
    SpinLockHolder lock(scope->lock);
    scope->state.store(scope->state.load(std::memory_order_relaxed) & ~kNear,
                       std::memory_order_release);
  }
  EndScope(scope, reason.how, reason.cause);
}

bool AddObserver(Scope* scope, Observer* observer) {
  bool unobserved;
  {
    SpinLockHolder lock(scope->lock);
    const uint8_t state = scope->state.load(std::memory_order_relaxed);
    if ((state & kEnded) != 0 || DeadlinePassed(scope, state)) return false;
    unobserved = (state & kUnobserved) != 0;
    LinkObserver(scope, observer);
  }
  CountLive(Live::kCallback, 1);
  if (unobserved) StartSource(scope);
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

void RunCallback(absl::AnyInvocable<void() &&> fn) noexcept {
  try {
    std::move(fn)();
  } catch (...) {
    callback_exceptions.fetch_add(1, std::memory_order_relaxed);
  }
}

int64_t CallbackExceptions() {
  return callback_exceptions.load(std::memory_order_relaxed);
}

bool DoneSlow(Scope* scope) {
  uint8_t state = scope->state.load(std::memory_order_acquire);
  if ((state & kUnobserved) != 0) {
    StartSource(scope);
    state = scope->state.load(std::memory_order_acquire);
  }
  return (state & kEnded) != 0 || DeadlinePassed(scope, state);
}

void DeadlineSeenPassed(Scope* scope) {
  const auto mark = [](Scope* s) {
    SpinLockHolder lock(s->lock);
    if (!s->ended()) MarkNear(s);
  };
  constexpr uint8_t kTold = kNear | kEnded;
  if ((scope->state.load(std::memory_order_acquire) & kTold) != 0) return;
  // From the scope whose deadline it is, so that no ancestor of `scope` with
  // the same deadline seems to outlive it.
  mark(const_cast<DeadlineScope*>(scope->deadline_owner));
  if ((scope->state.load(std::memory_order_acquire) & kTold) == 0) mark(scope);
}

Reason ReasonOf(Scope* scope) {
  uint8_t state = scope->state.load(std::memory_order_acquire);
  if (state == kLive) return {kLive, {}};
  if ((state & kEnded) == 0) {
    if ((state & kUnobserved) != 0) StartSource(scope);
    // Under the lock, as in EndScope: so the first to look at the clock after
    // the deadline decides, for ever.
    SpinLockHolder lock(scope->lock);
    state = scope->state.load(std::memory_order_acquire);
    if ((state & kEnded) == 0) {
      if (!DeadlinePassed(scope, state)) return {kLive, {}};
      return {kDeadlineExceeded, scope->deadline_owner->deadline_cause};
    }
  }
  return {static_cast<uint8_t>(state & kEnded), scope->cause};
}

const absl::Status& StatusOf(uint8_t how) {
  static const absl::Status& ok = *new absl::Status;
  static const absl::Status& canceled =
      *new absl::Status(absl::CancelledError("context canceled"));
  static const absl::Status& exceeded = *new absl::Status(
      absl::DeadlineExceededError("context deadline exceeded"));
  if ((how & kCanceled) != 0) return canceled;
  if ((how & kDeadlineExceeded) != 0) return exceeded;
  return ok;
}

}  // namespace tether::internal
