// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/testing/probe_server.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/testing/give_up.h"

namespace tether::testing {
namespace {

constexpr int kMaxMetadataSize = 8 * 1024;  // gRPC's default
// gRPC 1.51 has no macro for it, and ignores it.
constexpr char kAbsoluteMaxMetadataSize[] = "grpc.absolute_max_metadata_size";

}  // namespace

class ProbeServer::SyncService final : public Probe::Service {
 public:
  explicit SyncService(ProbeServer& probe) : probe_(probe) {}

  grpc::Status Unary(grpc::ServerContext* sc, const Ping* ping,
                     Pong* pong) override {
    return probe_.unary(*sc, *ping, pong);
  }
  grpc::Status Download(grpc::ServerContext* sc, const Ping* ping,
                        grpc::ServerWriter<Pong>* writer) override {
    return probe_.download(*sc, *ping, writer);
  }

 private:
  ProbeServer& probe_;
};

class ProbeServer::CallbackService final : public Probe::CallbackService {
 public:
  explicit CallbackService(ProbeServer& probe) : probe_(probe) {}

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* sc,
                                  const Ping* ping, Pong* pong) override {
    return probe_.callback_unary(sc, ping, pong);
  }
  grpc::ServerWriteReactor<Pong>* Download(grpc::CallbackServerContext* sc,
                                           const Ping* ping) override {
    return probe_.callback_download(sc, ping);
  }

 private:
  ProbeServer& probe_;
};

ProbeServer::ProbeServer(Options options) {
  if (options.callback_api) {
    service_ = std::make_unique<CallbackService>(*this);
  } else {
    service_ = std::make_unique<SyncService>(*this);
  }
  grpc::ServerBuilder builder;
  // One limit, as in 1.51: later releases reject metadata at random if its size
  // is between a soft limit and a hard one.
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataSize);
  builder.AddChannelArgument(kAbsoluteMaxMetadataSize, kMaxMetadataSize);
  builder.RegisterService(service_.get());
  if (options.install) {
    options.install(builder);
  } else if (options.tether) {
    InstallServer(builder, *std::move(options.tether));
  }
  LoopbackServer started = ListenOnLoopback(builder);
  server_ = std::move(started.server);
  address_ = std::move(started.address);
}

ProbeServer::~ProbeServer() {
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  server_->Wait();
}

namespace {

std::shared_ptr<grpc::Channel> ChannelTo(
    const std::string& address, std::optional<ClientOptions> tether,
    const grpc::ChannelArguments& arguments) {
  const auto credentials = grpc::InsecureChannelCredentials();
  return tether ? CreateChannel(address, credentials, *std::move(tether),
                                arguments)
                : grpc::CreateCustomChannel(address, credentials, arguments);
}

}  // namespace

std::unique_ptr<Probe::Stub> ProbeServer::Stub(
    std::optional<ClientOptions> tether) {
  grpc::ChannelArguments arguments = OwnConnection();
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataSize);
  arguments.SetInt(kAbsoluteMaxMetadataSize, kMaxMetadataSize);
  auto channel = ChannelTo(address_, std::move(tether), arguments);
  // On a loaded machine, gRPC sometimes closes the socket of its first attempt
  // right after connect(), and fails the calls that wait for it with "Invalid
  // argument" (seen with Debian's gRPC 1.51.1). The next attempt succeeds.
  if (!channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kGiveUp))) {
    std::fprintf(stderr, "no connection to %s\n", address_.c_str());
    std::abort();
  }
  return Probe::NewStub(channel);
}

std::unique_ptr<Probe::Stub> ProbeStub(
    const std::string& address, std::optional<ClientOptions> tether,
    const grpc::ChannelArguments& arguments) {
  return Probe::NewStub(ChannelTo(address, std::move(tether), arguments));
}

}  // namespace tether::testing
