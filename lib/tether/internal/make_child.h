// SPDX-License-Identifier: Apache-2.0
//
// How children of contexts are made. Internal.

#ifndef TETHER_INTERNAL_MAKE_CHILD_H_
#define TETHER_INTERNAL_MAKE_CHILD_H_

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "tether/context.h"
#include "tether/internal/nanos.h"
#include "tether/internal/node.h"
#include "tether/internal/scope.h"

namespace tether::internal {

// Links a new scope to its parent, and returns it as a context. Takes over the
// two references that the scope is born with.
inline NewCancellable LinkNewScope(Scope* scope) {
  LinkToParent(scope);
  return ContextAccess::MakeCancellable(scope);
}

// The effective deadline of a context.
inline Nanos DeadlineOf(const Node* node) {
  return node->scope == nullptr ? kNever : node->scope->deadline;
}

// Called when a child of `parent` asks for a later deadline than `parent` has,
// which has no effect. Null: nobody wants to know. Set once, by
// ObserveLaterDeadlines.
extern std::atomic<void (*)(const Context& parent)> on_later_deadline;

// A child that ends at `when`, on the steady clock, which says `now`.
// `wall_offset` is DeadlineScope::WallOffset(), or kUnknownOffset.
NewCancellable WithSteadyDeadline(const Context& parent, Nanos when, Nanos now,
                                  int64_t wall_offset, absl::Status cause);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_MAKE_CHILD_H_
