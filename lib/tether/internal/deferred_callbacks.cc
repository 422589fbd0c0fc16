// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/deferred_callbacks.h"

#include "tether/internal/live_counts.h"
#include "tether/internal/scope.h"
#include "tether/internal/scope_end.h"

namespace tether::internal {
namespace {

// The link of the list.
Scope*& DeferredNext(Scope* scope) {
  return scope->kind == NodeKind::kMerge
             ? static_cast<MergeScope*>(scope)->deferred_next
             : scope->sibling_next;
}

}  // namespace

void DeferredCallbacks::Add(Scope* scope) {
  if (first_ == nullptr) last_ = scope;
  DeferredNext(scope) = first_;
  first_ = scope;
}

void DeferredCallbacks::Append(DeferredCallbacks other) {
  if (other.first_ == nullptr) return;
  (first_ == nullptr ? first_ : DeferredNext(last_)) = other.first_;
  last_ = other.last_;
  other.first_ = nullptr;
}

void DeferredCallbacks::UnlinkMerges() {
  for (Scope* scope = first_; scope != nullptr; scope = DeferredNext(scope)) {
    if (scope->kind == NodeKind::kMerge) UnlinkFromParents(scope);
  }
}

bool DeferredCallbacks::Run() {
  Scope* scope = std::exchange(first_, nullptr);
  if (scope == nullptr) return false;
  PrepareLiveCount();
  do {
    Scope* next = DeferredNext(scope);
    RunObservers(scope);
    Unref(scope);
    scope = next;
  } while (scope != nullptr);
  return true;
}

}  // namespace tether::internal
