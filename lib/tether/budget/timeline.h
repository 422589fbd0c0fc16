// A budget report as rows on one axis of time: what there is to draw, apart
// from how it is drawn.

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

// One call and the hop that served it. Times are since the first call began.
struct TimelineRow {
  // HopName of it.
  std::string name;

  // 0 for the call at the front.
  int depth = 0;

  // The call, as its caller saw it.
  TimeSpan call;

  // The hop's own part of that; nullopt if it told nothing. Hosts' clocks
  // differ, so when it began isn't known: it is put in the middle of the call.
  std::optional<TimeSpan> hop;

  // While it waited for calls of its own: within `hop`, in order, apart from
  // one another.
  std::vector<TimeSpan> waits;

  // Neither on the way nor waiting. Of a hop that told nothing: all of `call`.
  int64_t own_us = 0;

  // On the hop's arrival; where it told nothing, when the call began. Nullopt:
  // there was no deadline.
  std::optional<int64_t> time_left_us;

  // The status as the caller got it, as "ok" or "deadline exceeded"; and who
  // ended the hop's context, as "own timeout", or the call's where the hop told
  // nothing. The latter is empty if nobody did, or nobody knows.
  std::string outcome;
  std::string reason;

  // What else there is to say, in this order: "did not answer", "no report",
  // "report left out", "parallel", "attempt 2 of 3", "gRPC attempt 2", "3 more
  // calls".
  std::vector<std::string> notes;

  bool answered = false;
};

struct Timeline {
  // Each call is followed by the calls that its hop made.
  std::vector<TimelineRow> rows;

  // There are more rows than this shows: 500, and 64 deep.
  bool cut = false;

  // From 0 to the end of the last row; at least 1.
  int64_t end_us = 1;

  // When the first call's deadline was, if it had one.
  std::optional<int64_t> deadline_us;
};

// The tree of `call`, which may be any.
//
// A call is over at its deadline. A report under other names than its call's is
// that of a hop behind the one that was called: it has a row of its own, and
// the other has "no report".
//
// Calls of one hop that overlap are "parallel". Of calls to the same method,
// one that begins when another has failed is the next attempt at the same
// thing.
//
// Thread safety: any thread.
TETHER_EXPORT Timeline MakeTimeline(const v1::CallReport& call);

// For people: "orders" for shop.v1.Orders. The last part, in lower case;
// `unknown` if there is none.
TETHER_EXPORT std::string ServiceName(std::string_view service);

// For people: "orders.GetOrder". At most 64 characters, of the kind that a
// report's names have: nothing in them needs escaping.
TETHER_EXPORT std::string HopName(std::string_view service,
                                  std::string_view method);

// "deadline exceeded" for 4. Other numbers than gRPC's are "code 42".
TETHER_EXPORT std::string OutcomeText(int code);

// "own timeout", as EndReasonName has it. Empty for COMPLETED, and for reasons
// that aren't told or known.
TETHER_EXPORT std::string ReasonText(v1::EndReason reason);

}  // namespace tether

#endif  // TETHER_BUDGET_TIMELINE_H_
