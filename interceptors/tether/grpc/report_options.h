// SPDX-License-Identifier: Apache-2.0
//
// When a server reports to its callers where the time went.

#ifndef TETHER_GRPC_REPORT_OPTIONS_H_
#define TETHER_GRPC_REPORT_OPTIONS_H_

#include <cstddef>
#include <optional>

#include "tether/budget/report.h"

namespace tether {

// The report travels in the trailing metadata `tether-report-bin`, with errors
// too, and takes some hundred bytes. Writing and reading one costs a few
// microseconds, so most calls send none: a call that was quick and went well
// has nothing to explain.
struct ReportOptions {
  enum class When {
    kNever,

    // If the status is not OK, if the context has ended, or if the request took
    // at least `min_fraction` of the time that it had.
    kWhenItMatters,

    kAlways,
  };

  // Unset: kWhenItMatters; kNever if ServerOptions::edge is set, because a
  // report names the services behind this one.
  std::optional<When> when = std::nullopt;

  // For kWhenItMatters. 0 to 1.
  double min_fraction = 0.1;

  // Limits the response headers of an answer that is an error or has no
  // messages, as they are encoded. gRPC sends the trailing metadata among these
  // headers. The report gets the space that the status, its message and the
  // application's own trailing metadata leave. Its least important parts are
  // left out first; if nothing fits, no report is sent.
  //
  // The default fits into the page (4 KiB) that nginx has for these headers
  // (grpc_buffer_size); beyond it, clients behind nginx see UNAVAILABLE.
  // Without such a proxy, 7 KiB are possible; more are never used.
  size_t max_headers_bytes = 4000;

  // Limits of the report itself. Its least important parts are left out first;
  // a report that doesn't fit next to the application's own trailing metadata
  // is not sent. If limits.has_labels_and_addresses is false, callers don't see
  // the labels and addresses of this server's calls and of those further on; it
  // is false if ServerOptions::edge is set. Lower limits.max_bytes if some
  // callers accept less than gRPC's default of 8 KiB of metadata. Otherwise
  // their calls would fail.
  ReportLimits limits = {};
};

}  // namespace tether

#endif  // TETHER_GRPC_REPORT_OPTIONS_H_
