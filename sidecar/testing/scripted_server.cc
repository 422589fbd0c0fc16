// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/scripted_server.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar::testing {

grpc::ChannelArguments RoomyChannel() {
  grpc::ChannelArguments arguments = tether::testing::OwnConnection();
  // By default the authority is the address, which differs behind a sidecar.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "app.test");
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadata);
  return arguments;
}

ScriptedServer::ScriptedServer(Handler handler) : handler_(std::move(handler)) {
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadata);
  builder.RegisterAsyncGenericService(&service_);
  queue_ = builder.AddCompletionQueue();
  tether::testing::LoopbackServer started =
      tether::testing::ListenOnLoopback(builder);
  server_ = std::move(started.server);
  address_ = std::move(started.address);
  acceptor_ = std::thread([this] { Accept(); });
}

ScriptedServer::~ScriptedServer() {
  if (server_ != nullptr) Stop();
}

std::string ScriptedServer::Stop() {
  // Lets the calls end by themselves: the transcripts must not depend on when
  // the server stops.
  server_->Shutdown(absl::ToChronoTime(absl::Now() + tether::testing::kGiveUp));
  {
    internal::MutexLock lock(mutex_);
    stopped_ = true;
  }
  queue_->Shutdown();
  acceptor_.join();
  for (std::thread& handler : handlers_) handler.join();
  server_.reset();
  internal::MutexLock lock(mutex_);
  std::sort(transcripts_.begin(), transcripts_.end());
  return absl::StrJoin(transcripts_, "\n");
}

std::unique_ptr<ServerSide> ScriptedServer::Request() {
  internal::MutexLock lock(mutex_);
  if (stopped_) return nullptr;
  auto call = std::make_unique<ServerSide>();
  call->Request(service_, *queue_);
  return call;
}

void ScriptedServer::Accept() {
  std::unique_ptr<ServerSide> next = Request();
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) {
    if (!ok) continue;  // the server stops
    std::unique_ptr<ServerSide> call = std::exchange(next, Request());
    handlers_.emplace_back(
        [this](std::unique_ptr<ServerSide> mine) { Serve(std::move(mine)); },
        std::move(call));
  }
}

void ScriptedServer::Serve(std::unique_ptr<ServerSide> call) {
  call->OnArrived();
  handler_(*call);
  call->WaitForEnd();
  internal::MutexLock lock(mutex_);
  transcripts_.push_back(call->transcript());
}

}  // namespace tether::sidecar::testing
