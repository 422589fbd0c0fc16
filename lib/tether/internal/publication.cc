// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/publication.h"

namespace tether::internal {
namespace {

void Publish(const Scope* scope) {
  const uint8_t how = HowOf(scope->state.load(std::memory_order_relaxed));
  const_cast<Scope*>(scope)->state.store(how, std::memory_order_release);
}

// Search looks for an ended scope above a scope: on the path through its
// parents and, from each merge on that path, on the path through the merge's
// other parent. Paths may join again, so their number is limited.
enum class Found { kNo, kYes, kTooManyWays };

Found Search(const Scope* scope, int& ways) {
  if (--ways < 0) return Found::kTooManyWays;
  const Scope* above = scope;
  Found found = Found::kNo;
  while (above != nullptr) {
    const uint8_t state = above->state.load(std::memory_order_acquire);
    if ((state & kEnded) != 0) {
      found = Found::kYes;
      break;
    }
    // Alive, or the top of a tree that is being ended: nothing above has ended.
    if ((state & kEnding) == 0) return Found::kNo;
    if (above->kind == NodeKind::kMerge) {
      const auto* merge = static_cast<const MergeScope*>(above);
      if (merge->other->scope != nullptr) {
        found = Search(merge->other->scope, ways);
        if (found == Found::kYes) Publish(above);
        if (found != Found::kNo) break;
      }
    }
    above = above->parent_scope();
  }
  // So that no thread has to search this path again.
  if (found == Found::kYes) {
    for (; scope != above; scope = scope->parent_scope()) Publish(scope);
  }
  return found;
}

}  // namespace

bool Published(const Scope* scope) {
  int ways = 64;
  const Found found = Search(scope, ways);
  if (found == Found::kTooManyWays) AwaitPublished(scope);
  return found != Found::kNo;
}

void AwaitPublished(const Scope* scope) {
  const Scope* top = scope;
  while ((top->state.load(std::memory_order_acquire) & kEnding) != 0) {
    top = SourceOfEnd(top);
  }
  if ((top->state.load(std::memory_order_acquire) & kEnded) == 0) {
    // The lock is held until the end is stored.
    SpinLockHolder lock(const_cast<Scope*>(top)->lock);
  }
  while (scope != top) {
    const Scope* above = SourceOfEnd(scope);
    Publish(scope);
    scope = above;
  }
}

}  // namespace tether::internal
