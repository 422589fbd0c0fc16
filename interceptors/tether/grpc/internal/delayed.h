// SPDX-License-Identifier: Apache-2.0
//
// Runs a function later, on the timer thread.

#ifndef TETHER_GRPC_INTERNAL_DELAYED_H_
#define TETHER_GRPC_INTERNAL_DELAYED_H_

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/context.h"

namespace tether::internal {

// Runs `fn` once after `delay`, unless this object is destroyed earlier. `fn`
// must not block. When the destructor returns, `fn` is not running, unless `fn`
// itself called the destructor.
class Delayed {
 public:
  Delayed(absl::Duration delay, absl::AnyInvocable<void() &&> fn)
      : timeout_(WithTimeout(Background(), delay)),
        at_its_end_(timeout_.ctx, std::move(fn)) {}

 private:
  // The registration is destroyed first, so cancelling the timeout doesn't run
  // `fn`.
  const Cancellable timeout_;
  const Registration at_its_end_;
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_DELAYED_H_
