// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/plain_client.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "sidecar/testing/blocking_call.h"
#include "sidecar/testing/scripted_server.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar::testing {

grpc::Status PlainCall::Wait() {
  if (!EndsWithin(tether::testing::kGiveUp)) {
    ADD_FAILURE() << "a call of " << method_ << " doesn't end";
    Cancel();
    ended_.WaitForNotification();
  }
  return status_;
}

std::multimap<std::string, std::string> PlainCall::received() const {
  std::multimap<std::string, std::string> received;
  for (const auto* metadata : {&context_.GetServerInitialMetadata(),
                               &context_.GetServerTrailingMetadata()}) {
    for (const auto& [name, value] : *metadata) {
      received.emplace(std::string(name.data(), name.size()),
                       std::string(value.data(), value.size()));
    }
  }
  return received;
}

PlainClient::PlainClient(const std::string& address)
    : PlainClient(grpc::CreateCustomChannel(
          address, grpc::InsecureChannelCredentials(), RoomyChannel())) {}

std::shared_ptr<PlainCall> PlainClient::Call(const Request& request,
                                             Done done) {
  auto call = std::make_shared<PlainCall>();
  call->method_ = request.method;
  call->request_buffer_ = ToBuffer(request.message);
  for (const auto& [name, value] : request.headers) {
    call->context_.AddMetadata(name, value);
  }
  if (request.timeout != absl::InfiniteDuration()) {
    call->context_.set_deadline(
        absl::ToChronoTime(absl::Now() + request.timeout));
  }
  stub_.UnaryCall(&call->context_, call->method_, {}, &call->request_buffer_,
                  &call->reply_buffer_,
                  [call, done = std::move(done)](const grpc::Status& status) {
                    call->ended_at_ = absl::Now();
                    call->status_ = status;
                    if (status.ok())
                      call->reply_ = ToString(call->reply_buffer_);
                    if (done) done(*call);
                    call->ended_.Notify();
                  });
  return call;
}

}  // namespace tether::sidecar::testing
