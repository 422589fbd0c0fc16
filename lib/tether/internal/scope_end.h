// SPDX-License-Identifier: Apache-2.0
//
// How scopes end: a whole tree at one moment. Internal. The invariants are in
// node.h.

#ifndef TETHER_INTERNAL_SCOPE_END_H_
#define TETHER_INTERNAL_SCOPE_END_H_

#include <cstdint>

#include "absl/status/status.h"
#include "tether/internal/deferred_callbacks.h"
#include "tether/internal/node.h"
#include "tether/internal/scope.h"

namespace tether::internal {

// Ends `scope` and all scopes below it, merges included, at one moment, and
// then runs their callbacks. No effect on a scope that has ended. When it
// returns, all of them are done, whichever thread ended them. The caller holds
// a reference.
//
// `how` is kCancelled or kDeadlineExceeded. If a near deadline has passed
// meanwhile, the deadline is the reason, since Done() has been true since then.
//
// Returns true if it ran callbacks, which may have destroyed the caller.
bool EndScope(Scope* scope, uint8_t how, const absl::Status& cause);

// EndScope, but the caller runs the callbacks.
[[nodiscard]] DeferredCallbacks EndScopeDeferringCallbacks(
    Scope* scope, uint8_t how, const absl::Status& cause);

// EndScope for a scope that no other thread has seen alive, and a reason that
// is older than the scope: it counts even if the scope's own deadline has
// passed too.
void EndAtBirth(Scope* scope, const Reason& reason);

// Unlinks an ended scope from its parents. Call it without any lock.
void UnlinkFromParents(Scope* scope);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_SCOPE_END_H_
