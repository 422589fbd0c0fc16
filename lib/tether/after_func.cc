#include "tether/after_func.h"

#include <utility>

namespace tether {

Registration::Registration(const Context& ctx, absl::AnyInvocable<void() &&> fn)
    : ctx_(ctx) {
  observer_.fn = std::move(fn);
  if (!observer_.fn) return;
  internal::Scope* scope = internal::ContextAccess::NodeOf(ctx_)->scope;
  if (scope != nullptr && !internal::AddObserver(scope, &observer_)) {
    internal::RunCallback(std::move(observer_.fn));
    observer_.fn = nullptr;
  }
}

bool Registration::Stop() {
  internal::Scope* scope = internal::ContextAccess::NodeOf(ctx_)->scope;
  bool prevented;
  if (scope == nullptr) {
    prevented = observer_.fn != nullptr;
  } else {
    prevented = internal::RemoveObserver(scope, &observer_);
  }
  if (prevented) observer_.fn = nullptr;
  return prevented;
}

}  // namespace tether
