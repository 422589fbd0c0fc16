// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/incoming_call.h"

#include <optional>
#include <utility>

#include "tether/grpc/in_flight.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/internal/packed_request.h"
#include "tether/grpc/internal/raw_headers.h"
#include "tether/grpc/internal/server_call.h"
#include "tether/grpc/internal/server_state.h"
#include "tether/internal/spread.h"
#include "tether/propagation/log_fields.h"

namespace tether {

namespace {

using internal::ReceivedMetadata;
using internal::ServerCall;
using internal::ServerState;

}  // namespace

CallServer::CallServer(ServerOptions options)
    : state_(std::make_unique<
             const internal::Spread<std::shared_ptr<ServerState>>>(
          internal::SpreadOwners(ServerState::Make(std::move(options))))) {}

CallServer::~CallServer() = default;

IncomingCall::IncomingCall(const CallServer& server,
                           grpc::ServerContextBase& server_context,
                           std::string_view method)
    : call_(std::make_shared<ServerCall>(server.state_->get())) {
  const grpc_metadata_array* raw = internal::RawHeadersOf(server_context);
  ReceivedMetadata headers =
      raw != nullptr ? ReceivedMetadata(*raw)
                     : ReceivedMetadata(server_context.client_metadata());
  if (call_->options().packed) {
    must_say_that_it_unpacks_ = internal::UnpackHeaders(headers);
  }
  call_->Begin(/*rpc=*/this, &server_context, method, headers,
               /*end_is_pushed=*/true);
  if (dynamic_cast<grpc::CallbackServerContext*>(&server_context) == nullptr) {
    call_->SetStyle(ApiStyle::kAsync);
  }
}

IncomingCall::~IncomingCall() {
  call_->OnHandlerEnded();
  call_->Finish(/*answer=*/std::nullopt);
  call_->Unregister();
}

const Context& IncomingCall::context() const { return call_->context(); }

bool IncomingCall::turned_away() const { return call_->was_turned_away(); }

void IncomingCall::OnCallEnded() { call_->OnCallEnded(); }

void IncomingCall::OnOperationFailed() { call_->OnOperationFailed(); }

grpc::Status IncomingCall::StatusOfEnd() const {
  return call_->StatusOfEnd(MethodOf(call_->context()));
}

grpc::Status IncomingCall::Answer(
    const grpc::Status& status, bool after_messages,
    std::multimap<std::string, std::string>& trailing) {
  grpc::Status sent = call_->StatusToSend(status).value_or(status);
  // Before the report, which takes the room that is left.
  if (must_say_that_it_unpacks_) internal::SayThatItUnpacks(trailing);
  call_->WriteReport(MethodOf(call_->context()), sent, after_messages,
                     trailing);
  call_->OnHandlerEnded();
  call_->Finish(sent.error_code());
  return sent;
}

}  // namespace tether
