#include "tether/internal/publication.h"

namespace tether::internal {

const Scope* TopOf(const Scope* scope) {
  while ((scope->state.load(std::memory_order_acquire) & kEnding) != 0) {
    scope = EndedFrom(scope);
  }
  return scope;
}

bool Published(const Scope* scope) {
  const Scope* top = TopOf(scope);
  // Whether it has ended by now: it isn't kEnding, and never will be, since who
  // ends it from above finds it ended.
  if ((top->state.load(std::memory_order_acquire) & kEnded) == 0) return false;
  // So that nobody has to go up this way again.
  while (scope != top) {
    const uint8_t how = HowOf(scope->state.load(std::memory_order_relaxed));
    const_cast<Scope*>(scope)->state.store(how, std::memory_order_release);
    scope = EndedFrom(scope);
  }
  return true;
}

void AwaitPublished(const Scope* scope) {
  while (!IsEnded(scope)) {
    // Held until the end is stored.
    SpinLockHolder lock(const_cast<Scope*>(TopOf(scope))->lock);
  }
}

}  // namespace tether::internal
