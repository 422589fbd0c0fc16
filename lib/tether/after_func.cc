// SPDX-License-Identifier: Apache-2.0

#include "tether/after_func.h"

#include <utility>

namespace tether {

Registration::Registration(const Context& ctx, absl::AnyInvocable<void() &&> fn)
    : ctx_(ctx) {
  if (!fn) return;
  observer_.fn = std::move(fn);
  // Set before AddObserver, since `fn` may run on another thread before that
  // returns.
  pending_.store(true, std::memory_order_relaxed);
  internal::Scope* scope = internal::ContextAccess::NodeOf(ctx_)->scope;
  if (scope != nullptr && !internal::AddObserver(scope, &observer_)) {
    pending_.store(false, std::memory_order_relaxed);
    internal::RunCallback(std::move(observer_.fn));
  }
}

bool Registration::Stop() {
  internal::Scope* scope = internal::ContextAccess::NodeOf(ctx_)->scope;
  const bool prevented = scope == nullptr
                             ? pending_.exchange(false)
                             : pending_.load(std::memory_order_relaxed) &&
                                   internal::RemoveObserver(scope, &observer_);
  if (!prevented) return false;
  // The captures are destroyed with a local variable, after the last access to
  // this object: they may own the object that contains this Registration.
  pending_.store(false, std::memory_order_relaxed);
  const absl::AnyInvocable<void()&&> fn = std::move(observer_.fn);
  return true;
}

}  // namespace tether
