// SPDX-License-Identifier: Apache-2.0
//
// EndReason: why a context ended. Err() only says CANCELLED or
// DEADLINE_EXCEEDED, and is the same on all hops of a request. EndReasonOf also
// says whose deadline passed, or who cancelled.

#ifndef TETHER_END_REASON_H_
#define TETHER_END_REASON_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "tether/context.h"
#include "tether/export.h"

namespace tether {

// The numbers are those of EndReason in proto/tether/v1/budget_report.proto.
enum class EndReason : uint8_t {
  kNone = 0,               // not done
  kCompleted = 1,          // the work was done: its handler has returned
  kOwnTimeout = 2,         // a deadline that was set in this process
  kInheritedDeadline = 3,  // the deadline that came in with the request
  kCallerLeft = 4,         // the caller cancelled or is gone
  kConnectionLost = 5,     // a call's connection broke
  kServerShutdown = 6,     // the server shuts down
  kSiblingFailed = 7,      // another task of the group (TaskGroup) failed
  kCancelled = 8,          // a CancelFunc, for whatever reason
  kTooLittleTime = 9,      // the server found too little left to begin
};

// "own timeout", "caller left" and so on; "" for kNone, "unknown" for a number
// that is not listed.
TETHER_EXPORT std::string_view EndReasonName(EndReason reason);

// Returns `cause` with `reason` attached as a payload, which
// absl::Status::ToString() shows as [tether/end-reason='connection lost']. Pass
// the result to a CancelFunc or WithTimeout; EndReasonOf then returns `reason`
// for all contexts that end for that cause. Code and message stay. An OK
// `cause` stays OK.
//
// Example:
//
//   cancel(tether::WithEndReason(absl::CancelledError("peer lost"),
//                                tether::EndReason::kConnectionLost));
[[nodiscard]] TETHER_EXPORT absl::Status WithEndReason(absl::Status cause,
                                                       EndReason reason);

// The reason attached to `cause`; kNone if there is none. Thread safety: any
// thread.
TETHER_EXPORT EndReason EndReasonIn(const absl::Status& cause);

// Why `ctx` has ended: the reason attached to its cause. If there is none, a
// passed deadline is kOwnTimeout and everything else is kCancelled. Thread
// safety: any thread.
TETHER_EXPORT EndReason EndReasonOf(const Context& ctx);

}  // namespace tether

#endif  // TETHER_END_REASON_H_
