// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/matrix/server.h"

#include <gtest/gtest.h>

#include <utility>

#include "absl/time/clock.h"
#include "integration_tests/matrix/server_styles.h"
#include "tether/context.h"
#include "tether/grpc/server.h"
#include "tether/grpc/shutdown.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/testing/give_up.h"

namespace tether::matrix {

void Observation::Begin(const Context& ctx) {
  EXPECT_NE(ctx, Background());
  ++handlers;
}

void Observation::Keep(const Context& ctx) {
  const bool done = ctx.Done();
  absl::MutexLock lock(&mutex);
  was_done = done;
  remaining = ctx.Remaining();
  context = ctx;
}

void Observation::Wait(const Context& ctx) {
  deadline = ctx.Deadline();
  waiting.Notify();
}

void Observation::End(const Context& ctx) {
  ended_at = absl::Now();
  EXPECT_TRUE(ctx.Done());
  err = ctx.Err();
  cause = ctx.Cause();
  reason = EndReasonOf(ctx);
  ended.Notify();
}

void Observation::Work(const Context& ctx) {
  // The context isn't observed again before an operation fails. (On a busy
  // machine, its deadline may have passed already.)
  if (look_first) static_cast<void>(ctx.Done());
  absl::MutexLock lock(&mutex);
  ++at_work;
}

void Observation::Fail(const Context& ctx) {
  const bool done = ctx.Done();
  const absl::Time now = absl::Now();
  absl::MutexLock lock(&mutex);
  failed.push_back({done, ctx.Cause(), now});
}

std::unique_ptr<Server> StartServer(ServerStyle style,
                                    std::shared_ptr<HandlerObserver> seen,
                                    ServerOptions options, int port) {
  switch (style) {
    case ServerStyle::kSync:
      return StartSyncServer(std::move(seen), std::move(options), port);
    case ServerStyle::kCallback:
      return StartCallbackServer(std::move(seen), std::move(options), port);
    case ServerStyle::kGenericCallback:
      return StartGenericCallbackServer(std::move(seen), std::move(options),
                                        port);
    case ServerStyle::kAsync:
      return StartAsyncServer(std::move(seen), std::move(options), port);
    case ServerStyle::kGenericAsync:
      return StartGenericAsyncServer(std::move(seen), std::move(options), port);
  }
  return nullptr;
}

GrpcServer::~GrpcServer() = default;

void GrpcServer::BuildAndStart(grpc::ServerBuilder& builder,
                               ServerOptions options, int port) {
  InstallServer(builder, std::move(options));
  testing::LoopbackServer started = testing::ListenOnLoopback(
      builder, grpc::InsecureServerCredentials(), port);
  server_ = std::move(started.server);
  address_ = std::move(started.address);
}

void GrpcServer::Shutdown(absl::Duration grace) {
  ShutdownWith([grace](grpc::Server& server) {
    server.Shutdown(absl::ToChronoTime(absl::Now() + grace));
  });
}

void GrpcServer::Drain(const CancelFunc& cancel_base_context) {
  ShutdownWith([&cancel_base_context](grpc::Server& server) {
    ShutdownServer(server, cancel_base_context, absl::ZeroDuration(),
                   testing::kGiveUp);
  });
}

void GrpcServer::ShutdownWith(absl::FunctionRef<void(grpc::Server&)> shutdown) {
  absl::MutexLock lock(&mutex_);  // a second caller waits for the first
  if (server_ == nullptr) return;
  shutdown(*server_);
  server_->Wait();
  DidShutdown();
  server_.reset();
}

}  // namespace tether::matrix
