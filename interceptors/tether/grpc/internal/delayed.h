// Something to be done in a while, on the timer thread.

#ifndef TETHER_GRPC_INTERNAL_DELAYED_H_
#define TETHER_GRPC_INTERNAL_DELAYED_H_

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/context.h"

namespace tether::internal {

// `fn` must not block. It runs once, unless this is destroyed before; when the
// destructor returns, it is not running, except where it destroys this itself.
class Delayed {
 public:
  Delayed(absl::Duration delay, absl::AnyInvocable<void() &&> fn)
      : timeout_(WithTimeout(Background(), delay)),
        at_its_end_(timeout_.ctx, std::move(fn)) {}

 private:
  // The registration goes first: so nothing runs when the timeout is cancelled.
  const Cancellable timeout_;
  const Registration at_its_end_;
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_DELAYED_H_
