// What a hop keeps of the time that is left, for its own reply.
//
// Without it, a deadline fires on all hops at once: the answer of the hop that
// was too slow, and its report of where the time went, reach nobody.

#ifndef TETHER_GRPC_RESERVE_H_
#define TETHER_GRPC_RESERVE_H_

#include "absl/time/time.h"
#include "tether/export.h"

namespace tether {

// A caller that has `left` tells the server of left - Of(left), in
// tether-timeout-us. Its own call, and the standard grpc-timeout, keep all of
// it. So the leaf's time is up first, and each caller still has its reserve to
// take the answer in, to try something else, and to answer in turn.
//
//   Of(left) = min(fixed + fraction * left, cap, left / 4)
//
// A request may wait before its handler begins: for a connection, or for a
// thread of the server. Where grpc-timeout ends before what the server was
// told, it has, and the reserve is used up; so the server takes the default
// reserve off what grpc-timeout has left. (A wait that is shorter than the
// reserve, and 5 ms more, it can't see.)
//
// With the default, a hop keeps 2.5 ms of 50 ms, 7 ms of 200 ms, 31 ms of one
// second, and 50 ms from 1.7 s on: about what a reply takes, with some slack
// for a busy machine. Raise it where replies are large or networks slow.
//
// Negative parts count as zero, and a `fraction` of more than 1 as 1. A value.
//
// Example:
//
//   tether::ClientOptions options;
//   options.reserve.fixed = absl::Milliseconds(20);  // another continent
struct TETHER_EXPORT Reserve {
  absl::Duration fixed = absl::Milliseconds(1);
  double fraction = 0.03;
  absl::Duration cap = absl::Milliseconds(50);

  // Callee and caller have the same deadline, unless the request waits.
  static Reserve None() {
    return Reserve{absl::ZeroDuration(), 0, absl::ZeroDuration()};
  }

  // Never more than a quarter of `left`; zero where `left` is infinite or not
  // above zero.
  absl::Duration Of(absl::Duration left) const;
};

}  // namespace tether

#endif  // TETHER_GRPC_RESERVE_H_
