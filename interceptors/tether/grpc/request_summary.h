// SPDX-License-Identifier: Apache-2.0
//
// RequestSummary: how a server's request went, for a company's own metrics and
// access logs (ServerOptions::on_finish).

#ifndef TETHER_GRPC_REQUEST_SUMMARY_H_
#define TETHER_GRPC_REQUEST_SUMMARY_H_

#include <grpcpp/support/status.h>

#include <functional>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {

// More fields may be added.
struct RequestSummary {
  // "/package.Service/Method". gRPC's sync API says "unknown" for a method that
  // the server doesn't have. A generic service accepts any name: bound it
  // before you use it as a label of metrics.
  std::string method;

  // The caller's address, in the form of grpc::ServerContext::peer().
  std::string peer;

  // The code of the handler's status, as it was given to gRPC to send; or, if
  // tether ended the call before (too little time, answer_grace), the code of
  // that. The caller may have left without it.
  grpc::StatusCode code = grpc::StatusCode::UNKNOWN;

  // True if the handler has answered. False if the call was destroyed first, as
  // when an async server drops it: then `code` is that of StatusOf(context), or
  // CANCELLED.
  bool answered = false;

  // Why the request's context ended, if it did before the handler answered;
  // otherwise kCompleted. A sync or async server notices that a caller left
  // only if something observes the context.
  EndReason reason = EndReason::kNone;

  // The time until the caller's deadline when the request arrived.
  // InfiniteDuration(): it set none.
  absl::Duration time_left = absl::InfiniteDuration();

  // The time from the arrival of the headers until the answer.
  absl::Duration spent;

  // The request's context, which has ended. Its values can still be read.
  Context context;

  // Where the time went. Absent for fast, successful requests, like the report
  // that is sent (ReportOptions). With ReportOptions::When::kNever (the default
  // of ServerOptions::edge), nothing is sent, but this is made as for
  // kWhenItMatters.
  std::optional<v1::BudgetReport> report;
};

using RequestObserver = std::function<void(const RequestSummary&)>;

}  // namespace tether

#endif  // TETHER_GRPC_REQUEST_SUMMARY_H_
