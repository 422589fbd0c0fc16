#include "tether/current.h"

namespace tether::internal {

thread_local const ScopedContext* innermost_scope = nullptr;

}  // namespace tether::internal
