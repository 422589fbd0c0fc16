// SPDX-License-Identifier: Apache-2.0

#include "sidecar/listener.h"

#include <grpcpp/server_posix.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "sidecar/grpc_time.h"
#include "sidecar/plain_server.h"
#include "tether/grpc/shutdown.h"

namespace tether::sidecar {
namespace {

constexpr int kMetadataBytes = 64 * 1024;
// So many calls of each queue can arrive at once without waiting for its
// thread.
constexpr int kWaitingCalls = 16;
// The time without a byte after which a ping is sent, and that until its
// answer.
constexpr int kKeepaliveMs = 60'000;

}  // namespace

grpc::ChannelArguments TransparentChannelArguments(PeerIs peer) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  if (peer == PeerIs::kApp) arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  // A proxy that the environment names is meant for the app.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return arguments;
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Start(
    const std::string& address,
    std::shared_ptr<grpc::ServerCredentials> credentials, PeerIs peer,
    const Pollers& pollers, AcceptOne accept_one) {
  std::unique_ptr<Listener> listener(new Listener);
  listener->address_ = address;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytes);
  // Otherwise two processes could share the port, and each get half the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  if (peer == PeerIs::kApp) {
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  }
  MakePlain(builder);
  if (address.empty()) {
    // Core gives connections that it accepts 120 s to speak HTTP/2, but not
    // those of Add. So they are asked for signs of life.
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  } else {
    builder.AddListeningPort(address,
                             credentials != nullptr
                                 ? credentials
                                 : grpc::InsecureServerCredentials(),
                             &listener->port_);
  }
  builder.RegisterAsyncGenericService(&listener->service_);
  for (const auto& poller : pollers) {
    listener->queues_.push_back(
        std::make_unique<CallQueue>(*poller, listener->queues_.size()));
  }
  listener->server_ = BuildWith(builder, pollers, listener->unused_queue_);
  if (listener->server_ == nullptr ||
      (!address.empty() && listener->port_ == 0)) {
    listener->DrainUnusedQueue();
    listener->is_shut_down_ = true;
    return absl::UnavailableError(absl::StrCat("can't listen on ", address));
  }
  if (address.rfind("unix:", 0) == 0) listener->port_ = 0;
  for (auto& queue : listener->queues_) {
    for (int i = 0; i < kWaitingCalls; ++i) {
      accept_one(*queue, listener->service_);
    }
  }
  return listener;
}

Listener::~Listener() {
  if (!is_shut_down_) Shutdown(absl::ZeroDuration());
}

void Listener::Add(int socket) {
  grpc::AddInsecureChannelFromFd(server_.get(), socket);
}

void Listener::Shutdown(absl::Duration grace, const CancelFunc* at_grace) {
  is_shut_down_ = true;
  if (at_grace != nullptr) {
    ShutdownServer(*server_, *at_grace, grace);
  } else {
    server_->Shutdown(DeadlineAfter(grace));
  }
  for (auto& queue : queues_) queue->Join();
  DrainUnusedQueue();
}

void Listener::DrainUnusedQueue() {
  unused_queue_->Shutdown();
  void* tag;
  bool ok;
  while (unused_queue_->Next(&tag, &ok)) {
  }
}

void Listener::AddCountersTo(CounterValues& sum) const {
  for (const auto& queue : queues_) queue->counters().AddTo(sum);
}

int64_t Listener::InFlight() const {
  int64_t sum = 0;
  for (const auto& queue : queues_) sum += queue->in_flight();
  return sum;
}

}  // namespace tether::sidecar
