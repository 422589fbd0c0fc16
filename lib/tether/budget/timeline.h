// SPDX-License-Identifier: Apache-2.0
//
// Converts a budget report to rows on one time axis, independent of how they
// are drawn.

#ifndef TETHER_BUDGET_TIMELINE_H_
#define TETHER_BUDGET_TIMELINE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tether/budget/time_span.h"
#include "tether/export.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {

// One call and the hop that served it. Times are relative to the begin of the
// first call.
struct TimelineRow {
  // The HopName of the called method, and the label of the call, if it has one:
  // "index.Query[shard 2]".
  std::string name;

  // 0 for the first call.
  int depth = 0;

  // The call, as its caller saw it.
  TimeSpan call;

  // The time during which the hop worked on the call; nullopt if it sent no
  // report. The clocks of hosts differ, so its begin is not known: it is placed
  // in the middle of the call.
  std::optional<TimeSpan> hop;

  // When the hop waited for its own calls: within `hop`, in order, disjoint.
  std::vector<TimeSpan> waits;

  // The time that was spent neither on the way nor waiting. If the hop sent no
  // report: all of `call`.
  int64_t own_us = 0;

  // The time left when the request arrived at the hop, or when the call began
  // if the hop sent no report. Nullopt if there was no deadline.
  std::optional<int64_t> time_left_us;

  // The status that the caller got, such as "ok" or "deadline exceeded", and
  // why the hop's context ended, such as "own timeout". If the hop sent no
  // report, the latter is what ended the call. `reason` is empty if the context
  // was not ended early or the reason is not known.
  std::string outcome;
  std::string reason;

  // The gRPC status code that the caller got.
  int code = 0;

  // The address of the called server; "" if it is not known.
  std::string address;

  // More about the call, in this order: "did not answer", "no report", "report
  // left out", "parallel", "attempt 2 of 3", "at 10.0.0.7:50051" (if the hop
  // called the method at another address, too), "gRPC attempt 2", "3 more
  // calls".
  std::vector<std::string> notes;

  bool answered = false;
};

struct Timeline {
  // Each call is followed by the calls that its hop made.
  std::vector<TimelineRow> rows;

  // True if rows were omitted: there are at most 500, 64 deep.
  bool cut = false;

  // From 0 to the end of the last row; at least 1.
  int64_t end_us = 1;

  // The deadline of the first call, if it had one.
  std::optional<int64_t> deadline_us;
};

// Returns the tree of `call`. Accepts any report.
//
// A call ends at its deadline. A report whose names differ from the call's
// comes from a hop behind the called one: it gets its own row, and the row of
// the called hop says "no report".
//
// Overlapping calls of one hop are "parallel". A call to the same method that
// and with the same label that begins after another one has failed counts as
// its next attempt.
//
// Thread safety: any thread.
TETHER_EXPORT Timeline MakeTimeline(const v1::CallReport& call);

// Returns a short name for people: "orders" for shop.v1.Orders. It is the last
// part in lower case, or "unknown" if that is empty.
TETHER_EXPORT std::string ServiceName(std::string_view service);

// Returns a short name for people: "orders.GetOrder". At most 64 characters,
// all allowed in a report's names, so none needs escaping.
TETHER_EXPORT std::string HopName(std::string_view service,
                                  std::string_view method);

// Returns the name of a gRPC status code, such as "deadline exceeded" for 4.
// Numbers that gRPC doesn't define give "code 42".
TETHER_EXPORT std::string OutcomeText(int code);

// Returns EndReasonName, such as "own timeout". Empty for COMPLETED,
// UNSPECIFIED, and unknown values.
TETHER_EXPORT std::string ReasonText(v1::EndReason reason);

}  // namespace tether

#endif  // TETHER_BUDGET_TIMELINE_H_
