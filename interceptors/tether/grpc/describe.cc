// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/describe.h"

#include <memory>
#include <optional>

#include "tether/context.h"
#include "tether/grpc/internal/client_call_state.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/internal/server_call.h"
#include "tether/propagation/describe.h"
#include "tether/propagation/timeout_header.h"

namespace tether {

std::string DescribePropagation(const grpc::ServerContextBase& server_context) {
  // Null if there is none, or it is about to be destroyed.
  const std::shared_ptr<const internal::ServerCall> call =
      internal::ServerCall::Registry().Find(
          &server_context, [](const internal::ServerCall* found) {
            return found == nullptr ? nullptr : found->weak_from_this().lock();
          });
  if (call == nullptr) {
    return "received: tether isn't installed on this server, or the request is "
           "over\n";
  }
  internal::ReceivedMetadata headers(server_context.client_metadata());
  if (call->options().packed) (void)headers.Unpack();
  const auto timeout = headers.Get(kTimeoutHeader, 0);
  return "received:\n" +
         DescribeExtract(*call->options().propagator, headers,
                         call->options().base_context) +
         (timeout.has_value() ? "  tether-timeout: the deadline\n"
                              : "  no tether-timeout: the caller set no "
                                "deadline, or has no tether\n");
}

std::string DescribePropagation(const ClientCall& call) {
  const internal::ClientCallState* const state =
      internal::ClientCallState::Of(call);
  if (!state->options().describe_propagation) {
    return "sent: not known, because CallOptions::describe_propagation isn't "
           "set\n";
  }
  const std::string sent = state->propagation();
  return sent.empty()
             ? "sent: nothing: the call has not begun, its context had "
               "ended, or the channel has no tether\n"
             : "sent:\n" + sent;
}

}  // namespace tether
