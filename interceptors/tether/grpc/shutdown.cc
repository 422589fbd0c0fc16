// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/shutdown.h"

#include "absl/status/status.h"
#include "tether/after_func.h"
#include "tether/end_reason.h"
#include "tether/grpc/internal/time.h"

namespace tether {

void ShutdownServer(grpc::Server& server, const CancelFunc& cancel_base_context,
                    absl::Duration grace, absl::Duration cancel_grace,
                    grpc::StatusCode code) {
  if (code == grpc::StatusCode::OK) code = grpc::StatusCode::UNAVAILABLE;
  const auto end_contexts = [&cancel_base_context, code] {
    cancel_base_context(
        WithEndReason(absl::Status(static_cast<absl::StatusCode>(code),
                                   "the server is shutting down"),
                      EndReason::kServerShutdown));
  };
  {
    const auto [over, cancel] = WithTimeout(Background(), grace);
    const Registration after_grace = AfterFunc(over, end_contexts);
    server.Shutdown(internal::DeadlineAfter(grace + cancel_grace));
  }
  end_contexts();
}

}  // namespace tether
