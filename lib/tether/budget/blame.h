// Whose fault it was that the time ran out.

#ifndef TETHER_BUDGET_BLAME_H_
#define TETHER_BUDGET_BLAME_H_

#include <cstddef>
#include <string>

#include "tether/export.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {

struct BlameLimits {
  // Entries that are named; those after them are counted.
  int max_entries = 5;

  // Of the whole sentence; entries that don't fit are counted. What it begins
  // with, the time that the call had, stands there in any case.
  size_t max_bytes = 256;
};

// Who used the time up, in one line of ASCII: for the message of a status
// DEADLINE_EXCEEDED, where "context " stands before it.
//
//   deadline exceeded: 200ms, of which inventory.GetStock 187ms (did not
//   answer), orders.GetOrder 9ms, storefront.GetOrderPage 4ms
//
// The first figure is the time that the call had, or, where that is something
// else, the time that it took: `53ms (deadline 1s)`. Then come the hops, the
// one that used most first, each with its own time; calls to one method are one
// entry, `(3 calls)`. Each moment counts for one entry, so that the figures
// don't add up to more than the call took:
//
//  - While none of a hop's calls is under way, its time is its own.
//  - While one is, the time is that call's; of several in parallel, that of the
//    one that ended last. So these are the critical path. Of the others, those
//    are named that did not answer: `pricing.Quote 187ms in parallel (did not
//    answer)`.
//  - A call that got no answer counts for the hop that was called, whole. So
//    does one whose report was left out, `(with its calls)`, and one whose
//    answer brought no report: `orders.GetOrder or the network to it 100ms`,
//    since nobody told which.
//  - What a call took longer than the hop that served it is `network to
//    orders`; that includes queues on both sides. Where gRPC retried, it is
//    `earlier attempts of orders.GetOrder`. It is named if it is the largest
//    entry, or a tenth of the whole.
//  - A report under other names than the call's is that of a hop behind the one
//    that was called, which told nothing itself.
//  - A call is over at its deadline. What comes after is its caller's own time,
//    and nobody's fault here; so no entry is longer than the first figure.
//  - The time of calls that were left out is `other calls of orders.GetOrder`.
//
// It says this of any call, whatever became of it, and takes any report, one
// that was made by hand included: times are clamped, and names cleaned.
//
// Thread safety: any thread.
TETHER_EXPORT std::string BlameDeadline(const v1::CallReport& call,
                                        const BlameLimits& limits = {});

}  // namespace tether

#endif  // TETHER_BUDGET_BLAME_H_
