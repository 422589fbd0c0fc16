// When a server tells its callers where the time went.

#ifndef TETHER_GRPC_REPORT_OPTIONS_H_
#define TETHER_GRPC_REPORT_OPTIONS_H_

#include <cstddef>

#include "tether/budget/report.h"

namespace tether {

// The report travels in the trailing metadata `tether-report-bin`, some hundred
// bytes of it, with errors too. Reading and writing one costs a few
// microseconds, so most calls have none: one that was quick and went well has
// nothing to explain.
struct ReportOptions {
  enum class When {
    kNever,

    // When the status is not OK, when the context has ended, or when the
    // request took `min_fraction` of the time that it had.
    kWhenItMatters,

    kAlways,
  };
  When when = When::kWhenItMatters;

  // 0 to 1.
  double min_fraction = 0.1;

  // Of an answer that is an error or has no messages: all its headers, as they
  // are encoded; gRPC sends the trailing metadata among them. What the status,
  // its message and the application's own trailing metadata leave is the
  // report's: the least important of it is left out first, and where there is
  // no room, all of it. By default it fits into the page (4 KiB) that nginx has
  // for them (grpc_buffer_size); beyond that, nginx's client sees UNAVAILABLE.
  // Where nobody is in between, 7 KiB do, and more are never used.
  size_t max_headers_bytes = 4000;

  // For callers that take less than gRPC's default of 8 KiB of metadata, lower
  // max_bytes: beyond what they take, their calls fail.
  //
  // What doesn't fit into the limits is left out of the report, the least
  // important first; a report that doesn't fit beside the trailing metadata of
  // the application itself is not sent.
  ReportLimits limits;
};

}  // namespace tether

#endif  // TETHER_GRPC_REPORT_OPTIONS_H_
