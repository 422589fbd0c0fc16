// SPDX-License-Identifier: Apache-2.0
//
// What a server takes from its callers, how much time it gives them, and what
// it reports to them.
//
//   tether::ServerOptions options;
//   options.time.max_timeout = absl::Seconds(10);
//   tether::InstallServer(builder, options);
//
// In C++20 also:
//
//   tether::InstallServer(
//       builder, {.time = {.max_timeout = absl::Seconds(10)}});

#ifndef TETHER_GRPC_SERVER_OPTIONS_H_
#define TETHER_GRPC_SERVER_OPTIONS_H_

#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/policy.h"
#include "tether/grpc/report_options.h"
#include "tether/grpc/request_summary.h"
#include "tether/propagation/edge.h"
#include "tether/propagation/propagator.h"

namespace tether {

struct ServerOptions {
  // How much time a request may take.
  TimePolicy time = {};

  // Methods with times of their own.
  std::vector<MethodPolicy> methods = {};

  // The largest fraction of the requests to a method that is turned away for
  // TimePolicy::min_budget. Requests beyond it are served with the time that
  // they have. 0 to 1; other values are clamped.
  double shed_fraction = 0.2;

  // Reads the values that requests bring; all other headers are ignored. Null:
  // DefaultPropagator().
  std::shared_ptr<const Propagator> propagator = nullptr;

  // Set this if strangers may call the server:
  //
  //   options.edge.emplace();
  //
  // Then baggage and the application's own values are dropped and each trace
  // begins anew, except for what EdgeOptions keeps, and the message of a
  // DEADLINE_EXCEEDED doesn't name the services behind this one. Two defaults
  // change: time.max_timeout becomes one minute, and report.when kNever. Values
  // that you set yourself are kept.
  //
  // If unset, callers are trusted like your own services: the form of their
  // headers is checked, the content is not.
  std::optional<EdgeOptions> edge = std::nullopt;

  // All requests' contexts descend from it. They have its values, and when it
  // ends, they end for its reason. If it isn't a root, the server has up to 64
  // contexts of its own below it, which GetContextStats counts. ShutdownServer
  // (shutdown.h) cancels it. If you cancel it yourself, the callers get
  // CANCELLED, unless its cause says that the server shuts down:
  //
  //   WithEndReason(absl::UnavailableError("…"), EndReason::kServerShutdown)
  Context base_context = {};

  // How long a handler may take to answer by itself after its context has ended
  // for a reason that gRPC doesn't know: max_timeout, default_timeout, a
  // tether-timeout that is shorter than grpc-timeout, or the end of
  // base_context. After that the call is ended for the handler. The caller gets
  // the context's status. The handler's current and later gRPC operations fail.
  // So a peer that doesn't read holds no thread for longer.
  //
  // If the deadline is the caller's tether-timeout, the grace may be longer:
  // a quarter of that timeout, but at most one second plus 3 % of it. The
  // caller knows this deadline and normally ends the call itself.
  //
  // InfiniteDuration(): the handlers end their calls themselves. Negative
  // values count as zero.
  absl::Duration answer_grace = absl::Milliseconds(100);

  // When the server reports to its callers where the time went.
  ReportOptions report = {};

  // Whether requests may bring all their values in one header (`tether`), from
  // channels with ClientOptions::packed. The server says that it understands
  // such headers when a client asks. No effect if `edge` is set. A proxy in
  // front of the server that removes or sets headers of values must remove
  // `tether`, too.
  bool packed = false;

  // Called once for each request whose headers have arrived, in every style:
  // for metrics and access logs. That includes requests that were turned away
  // (min_budget), that ended before their handler looked at the context, and
  // whose caller left. Null: costs nothing.
  //
  //   options.on_finish = [](const tether::RequestSummary& request) {
  //     requests.Count(request.method, request.code, request.spent);
  //   };
  //
  // When: the handler has answered, its context has ended, and its status is
  // about to be sent, so the answer waits for this. If a handler never answers,
  // gRPC is about to destroy the call.
  //
  // Threads: any, concurrently for different requests: the sync handler's, or
  // the one that calls Finish(). So don't block, and don't take a lock that may
  // be held around Finish(). Exceptions are swallowed and counted
  // (GrpcStats::exceptions). When the server's shutdown has returned and its
  // completion queues are drained, there are no more calls.
  RequestObserver on_finish = nullptr;
};

}  // namespace tether

#endif  // TETHER_GRPC_SERVER_OPTIONS_H_
