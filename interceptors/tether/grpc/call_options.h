// SPDX-License-Identifier: Apache-2.0
//
// Options of one call.

#ifndef TETHER_GRPC_CALL_OPTIONS_H_
#define TETHER_GRPC_CALL_OPTIONS_H_

#include <optional>
#include <string>

#include "tether/grpc/reserve.h"

namespace tether {

struct CallOptions {
  // The call keeps the context's values, but neither its deadline nor its
  // cancellation.
  bool detached = false;

  // Replaces ClientOptions::reserve of the channel.
  std::optional<Reserve> reserve = std::nullopt;

  // DescribePropagation(call) (tether/grpc/describe.h) says which headers the
  // call sent, and why others were dropped. For debugging.
  bool describe_propagation = false;

  // Tells this call from others to the same method, in messages and reports:
  // "shard 2" gives `index.Query[shard 2]`. At most 64 bytes are kept. Allowed
  // are ASCII letters, digits, blanks, and . _ - / : % @ = # + [ ]; other
  // characters become _. Callers see it in reports and messages, unless
  // ServerOptions::edge is set, so it should contain nothing secret.
  std::string label = {};

  static CallOptions Detached() {
    CallOptions options;
    options.detached = true;
    return options;
  }
};

}  // namespace tether

#endif  // TETHER_GRPC_CALL_OPTIONS_H_
