// SPDX-License-Identifier: Apache-2.0

#include "sidecar/silent_app.h"

#include <grpcpp/generic/generic_stub.h>

#include <chrono>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/grpc/status.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar::testing {

SilentApp::SilentApp(int port) {
  grpc::ServerBuilder builder;
  builder.RegisterCallbackGenericService(&service_);
  server_ = tether::testing::ListenOnLoopback(
      builder, grpc::InsecureServerCredentials(), port);
}

SilentApp::~SilentApp() {
  server_.server->Shutdown(std::chrono::system_clock::now());
}

std::shared_ptr<grpc::Channel> SilentApp::Connect(
    const grpc::ChannelArguments& arguments) const {
  return grpc::CreateCustomChannel(
      server_.address, grpc::InsecureChannelCredentials(), arguments);
}

absl::StatusOr<std::string> CallWithBytes(
    const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
    const std::string& request) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(
      absl::ToChronoTime(absl::Now() + tether::testing::kGiveUp));
  const grpc::Slice slice(request);
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, method,
                                          grpc::ByteBuffer(&slice, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer reply;
  grpc::Status status;
  call->Finish(&reply, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  queue.Shutdown();
  queue.Next(&tag, &ok);
  grpc::Slice answer;
  if (status.ok()) status = reply.DumpToSingleSlice(&answer);
  if (!status.ok()) return FromGrpcStatus(status);
  return std::string(answer.begin(), answer.end());
}

}  // namespace tether::sidecar::testing
