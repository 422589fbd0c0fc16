#include "tether/internal/scope.h"

#include <pthread.h>

#include <new>
#include <utility>

#include "tether/internal/exceptions.h"
#include "tether/internal/live_counts.h"
#include "tether/internal/mutex.h"
#include "tether/internal/publication.h"

namespace tether::internal {
namespace {

// Where RemoveObserver sleeps until a callback is over. One for the process: it
// is rare, and short.
struct CallbackWait {
  Mutex mutex;
  CondVar over;
};

// Never destroyed, and made without memory: destructors wait here.
CallbackWait& GetCallbackWait() {
  alignas(CallbackWait) static char storage[sizeof(CallbackWait)];
  static CallbackWait& wait = *new (storage) CallbackWait;
  return wait;
}

// fork: the child finds these whole, and its one thread in none of them. Made
// early, as the clock (clock.cc). Its condition variable may still count
// waiters of the parent's, so it is a new one.
[[maybe_unused]] const int fork_handled = [] {
  GetCallbackWait();
  (void)StatusOf(kCancelled);
  return pthread_atfork(
      []() ABSL_NO_THREAD_SAFETY_ANALYSIS { GetCallbackWait().mutex.lock(); },
      []() ABSL_NO_THREAD_SAFETY_ANALYSIS { GetCallbackWait().mutex.unlock(); },
      []() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        new (&GetCallbackWait().over) CondVar;
        GetCallbackWait().mutex.unlock();
      });
}();

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
}

// Requires the parent scope's lock.
void UnlinkChild(Scope* child) {
  *child->sibling_pprev = child->sibling_next;
  if (child->sibling_next != nullptr) {
    child->sibling_next->sibling_pprev = child->sibling_pprev;
  }
  child->sibling_pprev = nullptr;
}

// Requires the lock of the other parent's scope.
void UnlinkMerge(MergeScope* merge) {
  UnlinkObserver(&merge->hook);
  CountLive(Live::kCallback, -1);
}

// Moves the hooks of merges before all other observers. Requires scope->lock.
void MoveMergesFirst(Scope* scope) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (Observer* observer = scope->observers; observer != nullptr;) {
    Observer* next = observer->next;
    if (!observer->fn && observer->pprev != &scope->observers) {
      UnlinkObserver(observer);
      LinkObserver(scope, observer);
    }
    observer = next;
  }
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

// Calls link(), under the lock of `scope`, and returns true; false when `scope`
// is done.
template <typename Link>
bool Hang(Scope* scope, Link link) {
  uint8_t state;
  {
    SpinLockHolder lock(scope->lock);
    state = scope->state.load(std::memory_order_relaxed);
    if ((state & kDecided) == 0) {
      if (DeadlinePassed(scope, state)) return false;
      link();
    }
  }
  if ((state & kDecided) != 0) {
    AwaitPublished(scope);
    return false;
  }
  CountLive(Live::kCallback, 1);
  if ((state & kUnobserved) != 0) StartSource(scope);
  return true;
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

// Takes an ended scope off the lists of those above it. Without any lock.
void Detach(Scope* scope) {
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

// The link of OwedCallbacks.
Scope*& OwedNext(Scope* scope) {
  return scope->kind == NodeKind::kMerge
             ? static_cast<MergeScope*>(scope)->owed_next
             : scope->sibling_next;
}

// Ends `top` and all below it at one moment (invariant 5). Locks are held along
// the path from `top` down, so that nobody sees a descendant of an ended and
// unlocked scope undecided; the walk itself needs no stack.
class SubtreeEnder {
 public:
  SubtreeEnder(uint8_t how, const absl::Status& cause)
      : how_(how), cause_(cause) {}

  // Requires top->lock, releases it. Scopes below `top` that have callbacks,
  // and all merges, go to `owed`.
  void End(Scope* top, OwedCallbacks& owed) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    how_ = Decide(top, how_, cause_);
    Scope* scope = top;
    for (;;) {
      if (Scope* child = TakeBelow(scope)) {
        child->lock.lock();
        // By its own CancelFunc, which waits for our lock to unlink it; or, a
        // merge, from its other parent.
        if (child->ended()) {
          child->lock.unlock();
          continue;
        }
        if (child->kind == NodeKind::kMerge) {
          static_cast<MergeScope*>(child)->ended_by_other = from_merges_;
        }
        const uint8_t above =
            scope == top ? how_
                         : HowOf(scope->state.load(std::memory_order_relaxed));
        const uint8_t how = Decide(child, above, scope->cause);
        child->state.store(
            EndingAs(how, child->state.load(std::memory_order_relaxed)),
            std::memory_order_release);
        scope = child;
        continue;
      }
      if (scope == top) {
        has_observers_ = top->observers != nullptr;
        top->state.store(how_, std::memory_order_release);
        top->lock.unlock();
        return;
      }
      Scope* up = EndedFrom(scope);
      const bool merge = scope->kind == NodeKind::kMerge;
      if (merge || scope->observers != nullptr) {
        Ref(scope);
        owed.Add(scope);
        has_merges_ |= merge;
      }
      scope->lock.unlock();  // from here on it may be freed
      scope = up;
    }
  }

  // Whether `top` has callbacks.
  bool has_observers() const { return has_observers_; }
  // Whether there are merges in `owed`, to be detached.
  bool has_merges() const { return has_merges_; }

 private:
  // The next scope that hangs on `scope`, unlinked; null when there is none.
  Scope* TakeBelow(Scope* scope) ABSL_NO_THREAD_SAFETY_ANALYSIS {
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

  // Writes the cause, and returns how `scope` ends: as `how` and `cause` say,
  // or by its deadline, if that has passed and somebody may have seen it.
  uint8_t Decide(Scope* scope, uint8_t how, const absl::Status& cause) {
    if ((scope->state.load(std::memory_order_relaxed) & kNear) != 0 &&
        Passed(scope)) {
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

  // Time that has been read before can say "yes", but not "no": somebody may
  // have looked at the scope since then and have seen it done. A merge may be
  // on another clock.
  bool Passed(const Scope* scope) {
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
  bool from_merges_ = false;  // where TakeBelow took the last one from
};

// How MarkNearWith goes into a scope.
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

// Whether that was news to `scope`.
bool MarkOneNear(Scope* scope) {
  const uint8_t state = scope->state.load(std::memory_order_relaxed);
  if ((state & (kDecided | kNear)) != 0) return false;
  scope->state.store(state | kNear, std::memory_order_release);
  return true;
}

// Requires to be in `top`, and stays there.
template <typename Access>
size_t MarkNearWith(Scope* top) {
  size_t looked_at = 1;
  if (!MarkOneNear(top)) return looked_at;
  // Where we are: in `scope` and in all from it up to `top`, before `child`.
  Scope* scope = top;
  Scope* child = top->children;
  for (;;) {
    if (child != nullptr) {
      ++looked_at;
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
    if (scope == top) return looked_at;
    Scope* left = scope;
    child = left->sibling_next;
    scope = left->parent_scope();
    Access::Leave(left);
  }
}

}  // namespace

Nanos AddNanos(Nanos a, Nanos b) {
  if (a == kNever || b == kNever) return kNever;
  if (a == kLongPast || b == kLongPast) return kLongPast;
  Nanos sum;
  if (__builtin_add_overflow(a, b, &sum)) return a < 0 ? kLongPast : kNever;
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
  const uint8_t before = state.load(std::memory_order_relaxed);
  const bool near = (before & kNear) != 0;
  const TimerService::Armed armed = TimersOf(this).Arm(*this, deadline, near);
  // It has no children yet: those who come back here are near.
  if (armed.near && !near) {
    state.store(before | kNear, std::memory_order_release);
  }
  return armed.wake;
}

OwedCallbacks DeadlineScope::OnTimer(Nanos now) {
  if (deadline <= now) {
    return MarkEnded(this, kDeadlineExceeded, deadline_cause);
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

size_t MarkNear(Scope* top) { return MarkNearWith<UnderLocks>(top); }

void MarkNearAfterFork(Scope* top) {
  if (AfterFork::Enter(top)) {
    MarkNearWith<AfterFork>(top);
  } else {
    MarkOneNear(top);
  }
}

void Adopt(Scope* child) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  PrepareLiveCount();
  if (child->deadline_owner == child) TimersOf(child).Attend();
  Scope* parent = child->parent_scope();
  uint8_t parent_state = kLive;
  if (parent != nullptr) {
    parent->lock.lock();
    parent_state = parent->state.load(std::memory_order_relaxed);
    const bool decided = (parent_state & kDecided) != 0;
    if (decided || DeadlinePassed(parent, parent_state)) {
      parent->lock.unlock();
      if (decided) AwaitPublished(parent);
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
  OwedCallbacks owed = MarkEnded(scope, how, cause);
  return !owed.empty() && owed.Run();
}

OwedCallbacks MarkEnded(Scope* scope, uint8_t how, const absl::Status& cause)
    ABSL_NO_THREAD_SAFETY_ANALYSIS {
  OwedCallbacks owed;
  // What is published, whoever ends it is done with, or has a reference of its
  // own. What is only decided, it may still read until it unlocks.
  if (IsEnded(scope)) return owed;
  PrepareLiveCount();
  scope->lock.lock();
  if (scope->ended()) {
    scope->lock.unlock();
    AwaitPublished(scope);
    return owed;
  }
  SubtreeEnder ender(how, cause);
  ender.End(scope, owed);
  Detach(scope);
  if (ender.has_merges()) owed.DetachMerges();
  if (ender.has_observers()) {
    Ref(scope);
    owed.Add(scope);
  }
  return owed;
}

void OwedCallbacks::Add(Scope* scope) {
  if (first_ == nullptr) last_ = scope;
  OwedNext(scope) = first_;
  first_ = scope;
}

void OwedCallbacks::Append(OwedCallbacks other) {
  if (other.first_ == nullptr) return;
  (first_ == nullptr ? first_ : OwedNext(last_)) = other.first_;
  last_ = other.last_;
  other.first_ = nullptr;
}

void OwedCallbacks::DetachMerges() {
  for (Scope* scope = first_; scope != nullptr; scope = OwedNext(scope)) {
    if (scope->kind == NodeKind::kMerge) Detach(scope);
  }
}

bool OwedCallbacks::Run() {
  Scope* scope = std::exchange(first_, nullptr);
  if (scope == nullptr) return false;
  PrepareLiveCount();
  do {
    Scope* next = OwedNext(scope);
    RunObservers(scope);
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
  return Hang(scope, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    LinkObserver(scope, observer);
  });
}

bool LinkToOther(MergeScope* merge) {
  Scope* other = merge->other->scope;
  return Hang(other, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    LinkObserver(other, &merge->hook);
    other->has_merges = true;
  });
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
  TETHER_TRY { std::move(fn)(); }
  TETHER_CATCH(...) {
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
  return (state & kEnded) != 0 ||
         ((state & kEnding) != 0 && Published(scope)) ||
         DeadlinePassed(scope, state);
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
  if ((state & kDecided) == 0) {
    if ((state & kUnobserved) != 0) StartSource(scope);
    // Under the lock, as in EndScope: so the first to look at the clock after
    // the deadline decides, for ever.
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
        *new absl::Status(absl::CancelledError("context canceled"));
    static const absl::Status& exceeded = *new absl::Status(
        absl::DeadlineExceededError("context deadline exceeded"));
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
