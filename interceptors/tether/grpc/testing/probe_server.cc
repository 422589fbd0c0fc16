#include "tether/grpc/testing/probe_server.h"

#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/grpc/stats.h"
#include "tether/internal/live_counts.h"

namespace tether::testing {
namespace {

constexpr int kMaxMetadataSize = 8 * 1024;  // gRPC's default
// 1.51 has no name for it, and ignores it.
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
  // What is too much metadata is decided by size alone, as in 1.51: later
  // releases reject at random between a soft limit and a hard one.
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataSize);
  builder.AddChannelArgument(kAbsoluteMaxMetadataSize, kMaxMetadataSize);
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(service_.get());
  if (options.install) {
    options.install(builder);
  } else if (options.tether) {
    InstallServer(builder, *std::move(options.tether));
  }
  server_ = builder.BuildAndStart();
  address_ = "127.0.0.1:" + std::to_string(port);
}

ProbeServer::~ProbeServer() {
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  server_->Wait();
}

std::unique_ptr<Probe::Stub> ProbeServer::Stub(
    std::optional<ClientOptions> tether) {
  // Not shared with other tests' channels to a server that had the same port.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataSize);
  arguments.SetInt(kAbsoluteMaxMetadataSize, kMaxMetadataSize);
  const auto credentials = grpc::InsecureChannelCredentials();
  return Probe::NewStub(
      tether
          ? CreateChannel(address_, credentials, *std::move(tether), arguments)
          : grpc::CreateCustomChannel(address_, credentials, arguments));
}

void GrpcLeakCheckedTest::TearDown() {
  using internal::Live;
  using internal::LiveCount;
  const auto left = [] {
    const GrpcStats stats = GetGrpcStats();
    return stats.server_calls + stats.client_calls + stats.watches +
           LiveCount(Live::kNode) + LiveCount(Live::kCallback) +
           LiveCount(Live::kTimer);
  };
  const absl::Time give_up = absl::Now() + absl::Seconds(5);
  while (left() != 0 && absl::Now() < give_up) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  const GrpcStats stats = GetGrpcStats();
  EXPECT_EQ(stats.server_calls, 0);
  EXPECT_EQ(stats.client_calls, 0);
  EXPECT_EQ(stats.watches, 0);
  EXPECT_EQ(LiveCount(Live::kNode), 0);
  EXPECT_EQ(LiveCount(Live::kCallback), 0);
  EXPECT_EQ(LiveCount(Live::kTimer), 0);
}

}  // namespace tether::testing
