// SPDX-License-Identifier: Apache-2.0
//
// Says in one line which hops used up the time of a call.

#ifndef TETHER_BUDGET_BLAME_H_
#define TETHER_BUDGET_BLAME_H_

#include <cstddef>
#include <string>

#include "tether/export.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {

struct BlameLimits {
  // The number of entries that are named. The others are counted.
  int max_entries = 5;

  // The size of the whole text. Entries that don't fit are counted. The time
  // that the call had is always included.
  size_t max_bytes = 256;
};

// Returns one line of ASCII that says which hops used up the time, for the
// message of a DEADLINE_EXCEEDED status. (Callers prepend "context ".)
//
//   deadline exceeded: 200ms, of which inventory.GetStock 187ms (did not
//   answer), orders.GetOrder 9ms, storefront.GetOrderPage 4ms
//
// The first figure is the time that the call had. If the call took a different
// time, that comes first: `53ms (deadline 1s)`. If a hop passed on that a
// timeout of its own ended one of its calls, its name and that timeout follow:
// `83ms (deadline 1s, frontend.Search allowed 80ms)`. Then come the hops with
// their own times, the longest first. A call's label follows its name:
// `index.Query[shard 2]`. Calls to the same method with the same label, or
// without one, are one entry:
// `(3 calls)`. A call that has less than a hundredth of the time of the longest
// one isn't counted, unless it got no answer. Each moment is attributed to one
// entry, so the figures don't add up to more than the call took:
//
//  - Time during which none of a hop's calls is running is the hop's own.
//  - Time during which calls are running is attributed to the call that ended
//    last. So the entries are the critical path. Other parallel calls are named
//    if they got no answer: `pricing.Quote 187ms in parallel (did not answer)`.
//  - A call that got no answer is attributed to the called hop, with all its
//    time. So is a call whose report was left out, `(with its calls)`, and a
//    call that was answered without a report: `orders.GetOrder or the network
//    to it 100ms`, because the two can't be distinguished.
//  - If a call took longer than the hop that served it, the difference is
//    `network to orders`, which includes queues on both sides. If gRPC retried,
//    it is `earlier attempts of orders.GetOrder`. It is named if it is the
//    largest entry or at least a tenth of the total.
//  - A report whose names differ from the call's comes from a hop behind the
//    called one, which has sent no report itself.
//  - A call ends at its deadline. Later time is the caller's own and is not
//    attributed, so no entry is longer than the first figure.
//  - The time of calls that were left out is `other calls of orders.GetOrder`.
//
// Accepts calls with any outcome, and any report, even one made by hand: times
// are clamped, and names are cleaned.
//
// Thread safety: any thread.
TETHER_EXPORT std::string BlameDeadline(const v1::CallReport& call,
                                        const BlameLimits& limits = {});

}  // namespace tether

#endif  // TETHER_BUDGET_BLAME_H_
