// SPDX-License-Identifier: Apache-2.0
//
// The time that a hop keeps for its own reply.
//
// Without a reserve, a deadline passes on all hops at once, and the slow hop's
// answer and report arrive after its caller has gone.

#ifndef TETHER_GRPC_RESERVE_H_
#define TETHER_GRPC_RESERVE_H_

#include "absl/time/time.h"
#include "tether/export.h"

namespace tether {

// A caller with `left` until its deadline sends left - Of(left) to the server,
// in tether-timeout-us. Its own call and the standard grpc-timeout keep all of
// it. So the leaf's time is up first, and each caller has its reserve left to
// receive the answer, to try something else, and to answer its own caller.
//
//   Of(left) = min(fixed + fraction * left, cap, left / 4)
//
// A request may wait before its handler begins: for a connection, or for a
// thread of the server. If grpc-timeout then ends before tether-timeout-us, the
// wait has used up the caller's reserve. The server then subtracts the default
// reserve from the time left by grpc-timeout. (It can't see a wait that is
// shorter than the reserve plus 5 ms.)
//
// By default, a hop keeps 2.5 ms of 50 ms, 7 ms of 200 ms, 31 ms of one second,
// and 50 ms from 1.7 s on. That is about the time that a reply takes, with some
// slack for a busy machine. Raise it if replies are large or networks slow.
//
// Negative members count as zero, and a `fraction` above 1 counts as 1. A value
// type.
//
// Example:
//
//   tether::ClientOptions options;
//   options.reserve.fixed = absl::Milliseconds(20);  // another continent
struct TETHER_EXPORT Reserve {
  absl::Duration fixed = absl::Milliseconds(1);
  double fraction = 0.03;
  absl::Duration cap = absl::Milliseconds(50);

  // Gives the server the same deadline as the caller, unless the request waits.
  static Reserve None() {
    return Reserve{absl::ZeroDuration(), 0, absl::ZeroDuration()};
  }

  // The reserve for a call with `left` until its deadline: at most a quarter of
  // it; zero if `left` is infinite, zero or negative.
  absl::Duration Of(absl::Duration left) const;
};

}  // namespace tether

#endif  // TETHER_GRPC_RESERVE_H_
