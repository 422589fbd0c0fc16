// How much time a server gives its requests.

#ifndef TETHER_GRPC_POLICY_H_
#define TETHER_GRPC_POLICY_H_

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace tether {

struct TimePolicy {
  // No context of a request lives longer, whatever its caller asked for.
  absl::Duration max_timeout = absl::InfiniteDuration();

  // For requests that bring no deadline. There is none unless you set one.
  absl::Duration default_timeout = absl::InfiniteDuration();

  // A request that arrives with less is not worth beginning: it is answered at
  // once with DEADLINE_EXCEEDED. Its handler still runs, since gRPC's
  // interceptors can't prevent it, but finds its context done.
  // ServerOptions::shed_fraction limits how many go that way. A policy for all
  // methods (the server's own, or "*") turns no health check away, and no
  // reflection (grpc.health.v1, grpc.reflection.*): only one that names them.
  absl::Duration min_budget = absl::ZeroDuration();
};

// A policy for some methods, in the place of the server's own.
//
// Patterns: "/shop.v1.Orders/GetOrder" is one method, "/shop.v1.Orders/*" all
// of a service, and "*" all. The exact name counts more than the service, and
// that more than "*"; of equals the first. Others match nothing.
//
// Example:
//
//   tether::ServerOptions options;
//   options.max_timeout = absl::Seconds(10);
//   tether::MethodPolicy exports{"/shop.v1.Orders/Export", options};
//   exports.policy.max_timeout = absl::Minutes(5);
//   options.methods.push_back(exports);
struct MethodPolicy {
  std::string pattern;
  TimePolicy policy;
};

}  // namespace tether

#endif  // TETHER_GRPC_POLICY_H_
