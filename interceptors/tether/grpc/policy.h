// SPDX-License-Identifier: Apache-2.0
//
// How much time a server gives its requests.

#ifndef TETHER_GRPC_POLICY_H_
#define TETHER_GRPC_POLICY_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "tether/export.h"

namespace tether {

// "Unset" and "unlimited" differ. An unset field takes a less specific value:
// a method's policy takes the server's, and the server's takes the default that
// is named here. absl::InfiniteDuration() is a value like any other and means
// that there is no limit. Zero is a limit: if the timeout that applies to a
// request is zero or less, its context is done on arrival.
struct TimePolicy {
  // The longest time that a request's context lives, whatever the caller asked
  // for. Default: no limit; one minute if ServerOptions::edge is set.
  std::optional<absl::Duration> max_timeout = std::nullopt;

  // The timeout of requests that bring no deadline. max_timeout limits it, too.
  // Default: no limit.
  std::optional<absl::Duration> default_timeout = std::nullopt;

  // A request that arrives with less time than this is not worth beginning. It
  // is answered at once with DEADLINE_EXCEEDED. gRPC's interceptors can't
  // prevent its handler from running, so the handler runs and finds its context
  // done. ServerOptions::shed_fraction limits how many requests are turned
  // away. Default: zero, which turns none away.
  //
  // Health checks and reflection (grpc.health.v1, grpc.reflection.*) are turned
  // away only by a MethodPolicy that names their service or method, never by
  // the server's own policy or by "*".
  std::optional<absl::Duration> min_budget = std::nullopt;
};

// The policy of some methods.
//
// Patterns: "/shop.v1.Orders/GetOrder" is one method, "/shop.v1.Orders/*" all
// methods of a service, and "*" all methods. Other patterns match nothing. If
// two entries have the same pattern, the first one is used.
//
// Each field is taken from the most specific matching pattern that sets it: the
// method's, then the service's, then "*", then ServerOptions::time.
//
// Example:
//
//   tether::ServerOptions options;
//   options.time.max_timeout = absl::Seconds(10);
//   tether::MethodPolicy exports;
//   exports.pattern = "/shop.v1.Orders/Export";
//   exports.time.max_timeout = absl::Minutes(5);
//   options.methods.push_back(exports);
struct MethodPolicy {
  std::string pattern = "";
  TimePolicy time = {};
};

}  // namespace tether

#endif  // TETHER_GRPC_POLICY_H_
