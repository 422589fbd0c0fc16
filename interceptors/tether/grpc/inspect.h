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
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tether/end_reason.h"
#include "tether/export.h"

namespace tether {

// Which of gRPC's APIs serves a method. A generic service is kCallback or
// kAsync.
enum class ApiStyle : uint8_t { kSync = 1, kCallback = 2, kAsync = 3 };

// Whose deadline a request has.
enum class DeadlineOwner : uint8_t {
  kNone = 0,            // it has none
  kCaller = 1,          // it came with the request
  kDefaultTimeout = 2,  // TimePolicy::default_timeout
  kMaxTimeout = 3,      // TimePolicy::max_timeout, earlier than the caller's
};

// A call that a client of this process has made and that is not over.
struct InFlightCall {
  // "/package.Service/Method", at most 127 bytes.
  std::string method;
  // The target of the channel: "dns:///orders:443". At most 127 bytes. Empty if
  // a ClientInterceptorFactory serves several channels.
  std::string target;
  // CallOptions::label.
  std::string label;
  // 32 hex digits; empty if the call's context has no trace.
  std::string trace_id;
  // Since the call began.
  absl::Duration age;
  // Until the nearer of the context's deadline and the call's own. Negative
  // once it has passed; InfiniteDuration() if there is none.
  absl::Duration time_left;
  // What has ended its context; kNone while nothing has.
  EndReason ended_by = EndReason::kNone;
};

// A request whose headers have arrived and whose RPC gRPC still keeps.
struct InFlightRequest {
  // "/package.Service/Method"; "unknown" if a sync server doesn't have it.
  std::string method;
  // The caller's address, as grpc::ServerContext::peer() gives it. Empty if the
  // call is over.
  std::string peer;
  // 32 hex digits; empty if the request came without a trace.
  std::string trace_id;
  std::string request_id;
  ApiStyle style = ApiStyle::kSync;

  // Since the headers arrived.
  absl::Duration age;
  // Negative once the deadline has passed; InfiniteDuration() if there is none.
  absl::Duration time_left;
  DeadlineOwner deadline_owner = DeadlineOwner::kNone;

  // What has ended its context; kNone while nothing has; kCompleted if the
  // handler has answered, and gRPC still sends the answer. A sync or async
  // server notices that a caller left only if something observes the context.
  EndReason ended_by = EndReason::kNone;
  // Since then. nullopt if it hasn't ended, or if it isn't known when.
  std::optional<absl::Duration> ended_ago;

  // Whether anything has looked at the context: a wait, a callback, a call or
  // another child. Done(), Err() and Cause() count from 2 ms after the arrival.
  bool observed = false;

  // The calls that were made for this request, or a context derived from its
  // own, and that are not over. Those with the least time left come first.
  std::vector<InFlightCall> waits_for;
};

struct InFlight {
  // All that were alive, whether they are listed or not.
  int64_t requests_in_flight = 0;
  int64_t calls_in_flight = 0;

  // Those with the least time left come first; those without a deadline last.
  std::vector<InFlightRequest> requests;
  // Calls that belong to no request that was alive, in the same order.
  std::vector<InFlightCall> other_calls;
};

// Which entries Inspect lists.
struct InspectOptions {
  // Only those whose method contains this text. A request is listed with all
  // calls that it waits for.
  std::string method_contains;
  // Only those of this trace: 32 lower-case hex digits.
  std::string trace_id;
  // At most so many requests, and so many other calls.
  size_t max_entries = 1000;
};

// Returns what is alive now. Requests and calls that begin or end meanwhile may
// be in it or not; each entry is true for a moment during the call. Nobody is
// stopped: it takes the locks that each RPC takes for a moment, one after the
// other, and for as short.
//
// It holds what it lists for as long as it runs: the end of a request may be
// delayed that far, but not its answer. 10,000 requests take some 10 ms.
//
// Thread safety: any thread. Not from a callback of a context.
TETHER_EXPORT InFlight Inspect(const InspectOptions& options = {});

}  // namespace tether

#endif  // TETHER_GRPC_INSPECT_H_
