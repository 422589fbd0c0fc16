// SPDX-License-Identifier: Apache-2.0
//
// What Inspect (inspect.h) tells of the requests and calls that are alive.

#ifndef TETHER_GRPC_IN_FLIGHT_H_
#define TETHER_GRPC_IN_FLIGHT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tether/end_reason.h"

namespace tether {

// Which of gRPC's APIs serves a method. A generic service is kCallback or
// kAsync.
enum class ApiStyle : uint8_t { kSync = 1, kCallback = 2, kAsync = 3 };

// Whose deadline a request has.
enum class DeadlineOwner : uint8_t {
  kNone = 0,            // it has none
  kCaller = 1,          // it came with the request
  kDefaultTimeout = 2,  // TimePolicy::default_timeout
  kMaxTimeout = 3,  // TimePolicy::max_timeout, earlier than the others or alone
  kBaseContext = 4,  // ServerOptions::base_context, earlier than all others
};

// A call that a client of this process has made and that is not over.
struct InFlightCall {
  // "/package.Service/Method", at most 127 bytes.
  std::string method;
  // The target of the channel, as gRPC writes it: "dns:///orders:443", or
  // without the scheme, as it was given. At most 127 bytes. Empty if a
  // ClientInterceptorFactory serves several channels.
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

}  // namespace tether

#endif  // TETHER_GRPC_IN_FLIGHT_H_
