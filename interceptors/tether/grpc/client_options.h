// SPDX-License-Identifier: Apache-2.0
//
// What the calls on a channel have in common.
//
//   tether::ClientOptions options;
//   options.reserve = tether::Reserve::Fixed(absl::Milliseconds(5));
//   auto channel = tether::CreateChannel(target, credentials, options);

#ifndef TETHER_GRPC_CLIENT_OPTIONS_H_
#define TETHER_GRPC_CLIENT_OPTIONS_H_

#include <memory>

#include "tether/budget/report.h"
#include "tether/grpc/reserve.h"
#include "tether/propagation/propagator.h"
#include "tether/propagation/redact.h"

namespace tether {

struct ClientOptions {
  // Writes the context's values into the headers of each call. Null:
  // DefaultPropagator() (tether/propagation/default.h).
  std::shared_ptr<const Propagator> propagator = nullptr;

  // Headers and baggage keys that this channel never sends.
  RedactOptions redact = {};

  // How much of its time each call keeps for the reply.
  Reserve reserve = {};

  // Whether calls carry the deadline and all values in one header (`tether`,
  // docs/wire_format.md) instead of one header for each. gRPC spends thousands
  // of instructions on a header, so calls become cheaper, if there are several
  // a second. Proxies and tracing tools that look for `traceparent` don't find
  // it then.
  //
  // Set it only if all servers behind the channel have ServerOptions::packed.
  // The channel asks with one call a second. It packs while a server has said
  // "yes" to a question of the last ten seconds, and none has said "no" to one
  // of the last minute. So a server without the option that replaces another
  // may get calls without values and without tether's exact deadline until it
  // has answered a question, or for ten seconds; gRPC's own deadline holds all
  // the time. Not for a factory that is registered for all channels of the
  // process: they would share one answer.
  bool packed = false;

  // Limits of the reports that servers send about where the time went. A report
  // that exceeds them is dropped. If max_bytes is 0, all are dropped.
  ReportLimits report_limits = {};
};

}  // namespace tether

#endif  // TETHER_GRPC_CLIENT_OPTIONS_H_
