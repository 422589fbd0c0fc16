#include "tether/internal/owed_callbacks.h"

#include "tether/internal/live_counts.h"
#include "tether/internal/scope.h"
#include "tether/internal/scope_end.h"

namespace tether::internal {
namespace {

// The link of the list.
Scope*& OwedNext(Scope* scope) {
  return scope->kind == NodeKind::kMerge
             ? static_cast<MergeScope*>(scope)->owed_next
             : scope->sibling_next;
}

}  // namespace

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

void OwedCallbacks::UnlinkMerges() {
  for (Scope* scope = first_; scope != nullptr; scope = OwedNext(scope)) {
    if (scope->kind == NodeKind::kMerge) UnlinkFromParents(scope);
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

}  // namespace tether::internal
