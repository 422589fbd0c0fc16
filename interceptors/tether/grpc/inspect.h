// SPDX-License-Identifier: Apache-2.0
//
// Inspect: the requests and calls that are alive in this process, with the time
// that each has left.
//
//   for (const auto& request : tether::Inspect().requests) {
//     std::cerr << request.method << " from " << request.peer << ", "
//               << request.time_left << " left, waits for "
//               << request.waits_for.size() << " calls\n";
//   }
//
// It shows what tether knows of them: no values of the application, and no
// metadata. Methods, peers, trace ids and request ids may come from strangers:
// escape them for where you show them.

#ifndef TETHER_GRPC_INSPECT_H_
#define TETHER_GRPC_INSPECT_H_

#include <cstddef>
#include <string>

#include "tether/export.h"
#include "tether/grpc/in_flight.h"

namespace tether {

// Which entries Inspect lists.
struct InspectOptions {
  // Only those whose method contains this text. A request is listed with all
  // calls that it waits for.
  std::string method_contains;
  // Only those of this trace: 32 lower-case hex digits. Other texts match
  // nothing.
  std::string trace_id;
  // At most so many requests, and so many other calls. 0: only the totals.
  // `waits_for` isn't limited.
  size_t max_entries = 1000;
};

// Returns what is alive now. Requests and calls that begin or end meanwhile may
// be in it or not; each entry is true for a moment during the call. RPCs hardly
// wait: it holds the lock of one part of the registry at a time, while it
// copies what it needs of that part.
//
// It holds the contexts that it lists for as long as it runs. So their values,
// and what a server's calls share, may be destroyed by it, on this thread:
// don't hold a lock that a destructor of your values takes. 10,000 requests
// take some 15 ms.
//
// Thread safety: any thread.
TETHER_EXPORT InFlight Inspect(const InspectOptions& options = {});

}  // namespace tether

#endif  // TETHER_GRPC_INSPECT_H_
