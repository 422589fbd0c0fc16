// SPDX-License-Identifier: Apache-2.0
//
// How long a test on the real clock waits before it gives up.

#ifndef TETHER_TESTING_GIVE_UP_H_
#define TETHER_TESTING_GIVE_UP_H_

#include "absl/time/time.h"

namespace tether::testing {

// Use this for two things: the limit of a wait for something that must happen,
// and the timeout of a call whose deadline must not decide the test.
//
// It only bounds how long a failing test hangs: a passing test never waits this
// long. It is long, so that a loaded machine or a sanitizer causes no failure,
// and far below the 60 s after which Bazel kills a small test, so that the test
// itself reports what it waited for. A test that must be prompt compares the
// time that it took with a shorter limit of its own.
inline constexpr absl::Duration kGiveUp = absl::Seconds(20);

}  // namespace tether::testing

#endif  // TETHER_TESTING_GIVE_UP_H_
