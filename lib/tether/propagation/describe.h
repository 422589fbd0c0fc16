// SPDX-License-Identifier: Apache-2.0
//
// Says what propagators do with the headers of one call: "why did my value not
// arrive?"

#ifndef TETHER_PROPAGATION_DESCRIBE_H_
#define TETHER_PROPAGATION_DESCRIBE_H_

#include <string>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/limited_carrier.h"
#include "tether/propagation/propagator.h"

namespace tether {

// Runs propagator.Extract(carrier, ctx) once more, and returns one line for
// each header: which propagator reads it, which one drops it and why, or that
// none reads it. The last line has the headers that the propagator would read
// but that didn't arrive.
//
//   x-request-id (32 bytes): read by RequestIdPropagator
//   x-shard (3 bytes): no propagator reads it
//   x-tenant (99 bytes): dropped by HeaderPropagator: longer than HeaderLimits
//   not received: baggage, traceparent, tracestate
//
// Names and sizes are shown, never values. Drops are not counted
// (Propagator::Dropped). For debugging: it costs some microseconds, and calls
// the propagator's codecs. Thread safety: any thread.
TETHER_EXPORT std::string DescribeExtract(const Propagator& propagator,
                                          const Carrier& carrier,
                                          const Context& ctx);

// The same for propagator.Inject(ctx, carrier), with `limits` for all headers.
// `carrier` is changed as Inject changes it, so pass a copy.
//
//   baggage: nothing to send
//   x-request-id (32 bytes): written by RequestIdPropagator
//   x-tenant: dropped by HeaderPropagator: longer than HeaderLimits
TETHER_EXPORT std::string DescribeInject(const Propagator& propagator,
                                         const Context& ctx, Carrier& carrier,
                                         InjectLimits limits = {});

}  // namespace tether

#endif  // TETHER_PROPAGATION_DESCRIBE_H_
