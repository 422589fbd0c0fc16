// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/rpc_context.h"

#include <atomic>
#include <utility>

#include "tether/clock.h"
#include "tether/internal/clock_of.h"
#include "tether/internal/deadline_scope.h"
#include "tether/internal/make_child.h"
#include "tether/internal/messages.h"
#include "tether/internal/publication.h"
#include "tether/internal/scope_end.h"

namespace tether::internal {

Nanos NowOf(const Context& ctx) {
  return ClockOf(ContextAccess::NodeOf(ctx)).SteadyNanos();
}

NewCancellable WithLazyCancel(Nanos now, const Context& parent,
                              absl::Duration timeout, absl::Status cause,
                              absl::Duration quiet,
                              absl::AnyInvocable<void() &&> start) {
  Node* node = ContextAccess::NodeOf(parent);
  const Nanos when = AddNanos(now, absl::ToInt64Nanoseconds(timeout));
  auto* scope = new LazyScope(node);
  if (when < scope->deadline) scope->SetDeadline(when, now, std::move(cause));
  if (quiet > absl::ZeroDuration()) {
    scope->quiet_until = AddNanos(now, absl::ToInt64Nanoseconds(quiet));
  }
  scope->start = std::move(start);
  scope->state.store(scope->state.load(std::memory_order_relaxed) | kUnobserved,
                     std::memory_order_relaxed);
  return LinkNewScope(scope);
}

void Expire(const Context& ctx, const absl::Status& cause) {
  Scope* scope = ContextAccess::NodeOf(ctx)->scope;
  if (scope != nullptr) EndScope(scope, kDeadlineExceeded, cause);
}

DeferredCallbacks EndDeferringCallbacks(const Context& ctx, bool deadline,
                                        const absl::Status& cause) {
  Scope* scope = ContextAccess::NodeOf(ctx)->scope;
  if (scope == nullptr) return {};
  return EndScopeDeferringCallbacks(
      scope, deadline ? kDeadlineExceeded : kCancelled, cause);
}

absl::Status CauseOfDeadline(const Context& ctx) {
  const Scope* scope = ContextAccess::NodeOf(ctx)->scope;
  if (scope == nullptr || scope->deadline_owner == nullptr) {
    return absl::OkStatus();
  }
  const absl::Status& cause = scope->deadline_owner->deadline_cause;
  return cause.ok() ? absl::DeadlineExceededError(kDeadlineExceededMessage)
                    : cause;
}

Nanos RemainingAt(Nanos now, const Context& ctx) {
  Node* node = ContextAccess::NodeOf(ctx);
  Scope* scope = node->scope;
  if (scope == nullptr || scope->deadline == kNever) return kNever;
  const Clock& clock = ClockOf(node);
  if (&clock != &Clock::Real()) now = clock.SteadyNanos();
  // Now is neither negative nor huge, so this doesn't overflow upwards.
  const Nanos left = AddNanos(scope->deadline, -now);
  if (left <= 0) DeadlineSeenPassed(scope);
  return left;
}

void ObserveLaterDeadlines(void (*observe)(const Context& parent)) {
  on_later_deadline.store(observe, std::memory_order_relaxed);
}

bool HasOwnDeadline(const Context& ctx) {
  const Scope* scope = ContextAccess::NodeOf(ctx)->scope;
  return scope != nullptr && scope->deadline_owner == scope;
}

bool WasObserved(const Context& ctx) {
  const Scope* scope = ContextAccess::NodeOf(ctx)->scope;
  return scope != nullptr && scope->kind == NodeKind::kLazy &&
         static_cast<const LazyScope*>(scope)->was_observed.load(
             std::memory_order_relaxed);
}

bool HasEnded(const Context& ctx) {
  const Scope* scope = ContextAccess::NodeOf(ctx)->scope;
  return scope != nullptr && IsEnded(scope);
}

}  // namespace tether::internal
