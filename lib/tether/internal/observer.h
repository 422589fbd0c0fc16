// SPDX-License-Identifier: Apache-2.0
//
// The callbacks of scopes: registered, unregistered and run. Internal.

#ifndef TETHER_INTERNAL_OBSERVER_H_
#define TETHER_INTERNAL_OBSERVER_H_

#include <cstdint>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "tether/export.h"
#include "tether/internal/node.h"

namespace tether::internal {

// A callback that waits for the end of a scope, inside the user's Registration;
// or the hook of a merge, which has no `fn`.
struct Observer {
  Observer* next = nullptr;    // guarded by the scope's lock
  Observer** pprev = nullptr;  // guarded by the scope's lock; null: not linked
  absl::AnyInvocable<void() &&> fn;
};

// Which callback of a scope is running, and on which thread. It lies on the
// stack of that thread and is guarded by the scope's lock.
struct Firing {
  const std::thread::id thread = std::this_thread::get_id();
  const Observer* current = nullptr;
  bool awaited = false;  // a RemoveObserver waits for `current` to return
};

// Links `observer` to `scope` and returns true. Returns false if the scope is
// done; the caller then runs `fn` itself. For the hook of a merge, the caller
// holds a reference to the merge, which is not linked to its parent yet.
bool AddObserver(Scope* scope, Observer* observer);

// Unlinks `observer`. Returns true if this prevented the call. Otherwise the
// call is over when this returns, unless this is called from within it.
bool RemoveObserver(Scope* scope, Observer* observer);

// Runs the callbacks of an ended scope. Call it once, without any lock.
void RunObservers(Scope* scope);

// Runs a user's callback. An exception is swallowed and counted.
void RunCallback(absl::AnyInvocable<void() &&> fn) noexcept;

// How many exceptions RunCallback has swallowed in this process.
TETHER_EXPORT int64_t CallbackExceptions();

// Both require the scope's lock.
inline void LinkObserver(Scope* scope, Observer* observer) {
  observer->next = scope->observers;
  observer->pprev = &scope->observers;
  if (observer->next != nullptr) observer->next->pprev = &observer->next;
  scope->observers = observer;
}
inline void UnlinkObserver(Observer* observer) {
  *observer->pprev = observer->next;
  if (observer->next != nullptr) observer->next->pprev = observer->pprev;
  observer->next = nullptr;
  observer->pprev = nullptr;
}

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_OBSERVER_H_
