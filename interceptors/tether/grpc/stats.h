// SPDX-License-Identifier: Apache-2.0
//
// Counters of the interceptors, for monitoring and for tests. They cover the
// whole process. For figures of one method, use ServerOptions::on_finish,
// OpenTelemetry (tether/opentelemetry/interceptors.h) or an interceptor of your
// own.

#ifndef TETHER_GRPC_STATS_H_
#define TETHER_GRPC_STATS_H_

#include <cstdint>

#include "tether/export.h"

namespace tether {

struct GrpcStats {
  // ---- Alive now ----

  // Server RPCs whose interceptor exists.
  int64_t server_calls = 0;
  // Client RPCs whose interceptor or ClientCall exists.
  int64_t client_calls = 0;
  // Watches for the end of sync and async server calls.
  int64_t watches = 0;

  // ---- Since the process started ----

  // tether-timeout and tether-reserve headers that were dropped:
  // malformed, or sent twice.
  int64_t bad_timeouts = 0;
  // tether-report-bin headers that were dropped: malformed, too large, or sent
  // twice.
  int64_t bad_reports = 0;
  // tether headers (ClientOptions::packed) that were dropped: malformed, or
  // sent twice.
  int64_t bad_packed = 0;
  // Requests that a server turned away because of min_budget.
  int64_t shed = 0;
  // Calls that were sent without all of their values, because the application's
  // own metadata left no room in the 8 KiB that a peer accepts. Above 7 KiB,
  // they were sent without any tether header.
  int64_t oversized = 0;
  // Exceptions that propagators, ServerOptions::on_finish and the
  // WarningHandler threw, and that tether caught.
  int64_t exceptions = 0;
  // Calls of ContextOf(server_context) that found no context. If it isn't 0,
  // tether is not installed on a server (see IsInstalled), or a handler asked
  // after its request was over. Calls that an interceptor makes before tether's
  // has the request don't count; neither do those of others at that moment.
  int64_t contexts_not_found = 0;
};

// The counters of this process. Everything that happened before this call is in
// them. Takes no lock, so while other threads begin and end calls, the numbers
// need not be from the same moment. A number of what is alive is never too low
// and never negative, but may contain calls that begin or end meanwhile. The
// other numbers never fall from one call to the next.
//
// O(number of threads that have made or served calls, or used contexts). Any
// thread.
TETHER_EXPORT GrpcStats GetGrpcStats();

}  // namespace tether

#endif  // TETHER_GRPC_STATS_H_
