// SPDX-License-Identifier: Apache-2.0

#include "tether/current.h"

#include <cstdio>
#include <cstdlib>

namespace tether {

namespace internal {

thread_local const ScopedContext* innermost_scope = nullptr;

#ifdef NDEBUG
bool scopes_must_nest = false;
#else
bool scopes_must_nest = true;
#endif

}  // namespace internal

void ScopedContext::LeaveOutOfOrder() const {
  if (internal::scopes_must_nest) {
    std::fputs(
        "tether::ScopedContext destroyed out of order, or on another thread\n",
        stderr);
    std::abort();
  }
  for (const ScopedContext* scope = internal::innermost_scope; scope != nullptr;
       scope = scope->outer_) {
    if (scope->outer_ == this) {
      scope->outer_ = outer_;
      return;
    }
  }
}

}  // namespace tether
