// SPDX-License-Identifier: Apache-2.0
//
// OpenTelemetry: the duration of each RPC, under the names that its conventions
// have for it.
//
//   tether::RecordOpenTelemetryDurations();  // once, in main
//
// Records two histograms, in milliseconds, as version 1.37 of the conventions
// says:
// https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/rpc/rpc-metrics.md
//   rpc.server.duration  from a request's arrival to its answer
//   rpc.client.duration  from a call's begin to its status
// with the attributes rpc.system, rpc.service, rpc.method and
// rpc.grpc.status_code.
//
// Each RPC is recorded when it ends, on its own thread: that costs about a
// microsecond in the SDK, and a lock that all threads share. Without that, use
// opentelemetry_metrics.h, which has the durations, too.
//
// A generic service accepts any method. The SDK keeps 2,000 sets of attributes
// of an instrument, and adds the rest up without attributes.
//
// Needs only OpenTelemetry's API (1.19). Without the SDK, nothing is recorded.

#ifndef TETHER_OBSERVABILITY_OPENTELEMETRY_DURATIONS_H_
#define TETHER_OBSERVABILITY_OPENTELEMETRY_DURATIONS_H_

#include "opentelemetry/metrics/meter_provider.h"
#include "opentelemetry/nostd/shared_ptr.h"
#include "tether/export.h"

namespace tether {

// Records all RPCs of this process with tether that end from now on, for the
// rest of the process, on the meter "tether" of `provider`, which it keeps.
// Null: the provider that is global now. Call it once: each call adds a
// recorder.
//
// Thread safety: any thread.
TETHER_EXPORT void RecordOpenTelemetryDurations(
    opentelemetry::nostd::shared_ptr<opentelemetry::metrics::MeterProvider>
        provider = {});

}  // namespace tether

#endif  // TETHER_OBSERVABILITY_OPENTELEMETRY_DURATIONS_H_
