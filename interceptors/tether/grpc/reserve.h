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
// in tether-timeout. Its own call and the standard grpc-timeout keep all of
// it. So the leaf's time is up first, and each caller has its reserve left to
// receive the answer, to try something else, and to answer its own caller.
//
//   Of(left) = min(fixed + fraction * left, cap, left / 4)
//
// A request may wait before its handler begins: for a connection, for a new
// attempt, or for a thread of the server. The caller doesn't wait for longer
// because of that. So the server takes the caller's reserve off the time that
// grpc-timeout leaves, if that is earlier than tether-timeout.
//
// By default, a hop keeps 4.5 ms of 50 ms, 9 ms of 200 ms, 33 ms of one second,
// and 50 ms from 1.6 s on. That is about the time that a reply takes, with some
// slack for a busy machine. Raise it if replies are large or networks slow.
// (docs/performance.md says why it isn't more or less.)
//
// A handler must notice within the reserve that its time is up. If it checks
// its context now and then, it must do so more often than the reserve is long:
// a handler that looks every 10 ms loses half of its reports at 80 ms. Wait
// with WaitFor, or let AfterFunc wake the handler.
//
// Negative members count as zero, and a `fraction` above 1 counts as 1. A value
// type.
//
// Example:
//
//   tether::ClientOptions options;
//   options.reserve = tether::Reserve::Fixed(absl::Milliseconds(200));
struct TETHER_EXPORT Reserve {
  absl::Duration fixed = absl::Milliseconds(3);
  double fraction = 0.03;
  absl::Duration cap = absl::Milliseconds(50);

  // Gives the server the same deadline as the caller.
  static Reserve None() { return Fixed(absl::ZeroDuration()); }

  // Keeps `time` of every call, but at most a quarter.
  static Reserve Fixed(absl::Duration time) { return Reserve{time, 0, time}; }

  // The reserve for a call with `left` until its deadline: at most a quarter of
  // it; zero if `left` is infinite, zero or negative.
  absl::Duration Of(absl::Duration left) const;
};

}  // namespace tether

#endif  // TETHER_GRPC_RESERVE_H_
