// A gRPC server on loopback whose handlers are given by the test, and channels
// to it, with tether and without.
//
//   ProbeServer server(ProbeServer::Options());
//   server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) { … };
//   auto stub = server.Stub();
//
// For tests only.

#ifndef TETHER_GRPC_TESTING_PROBE_SERVER_H_
#define TETHER_GRPC_TESTING_PROBE_SERVER_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/probe.grpc.pb.h"

namespace tether::testing {

class ProbeServer {
 public:
  using UnaryHandler =
      std::function<grpc::Status(grpc::ServerContext&, const Ping&, Pong*)>;
  using DownloadHandler = std::function<grpc::Status(
      grpc::ServerContext&, const Ping&, grpc::ServerWriter<Pong>*)>;
  using CallbackUnaryHandler = std::function<grpc::ServerUnaryReactor*(
      grpc::CallbackServerContext*, const Ping*, Pong*)>;
  using CallbackDownloadHandler = std::function<grpc::ServerWriteReactor<Pong>*(
      grpc::CallbackServerContext*, const Ping*)>;

  struct Options {
    bool callback_api = false;
    std::optional<ServerOptions> tether =
        ServerOptions();  // nullopt: without tether
    // Installs something in the place of tether.
    std::function<void(grpc::ServerBuilder&)> install = nullptr;
  };

  explicit ProbeServer(Options options);
  ~ProbeServer();

  // Set before the first call.
  UnaryHandler unary;
  DownloadHandler download;
  CallbackUnaryHandler callback_unary;
  CallbackDownloadHandler callback_download;

  // A stub on a channel of its own; nullopt: without tether.
  std::unique_ptr<Probe::Stub> Stub(
      std::optional<ClientOptions> tether = ClientOptions());

  grpc::Server& server() { return *server_; }
  const std::string& address() const { return address_; }

 private:
  class SyncService;
  class CallbackService;

  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

// Asserts that every context, callback, timer, call and watch is gone when a
// test ends. gRPC lets go of a call on its own threads, a little after the RPC:
// it has five seconds, far more than it needs on a loaded machine.
class GrpcLeakCheckedTest : public ::testing::Test {
 protected:
  void TearDown() override;
};

}  // namespace tether::testing

#endif  // TETHER_GRPC_TESTING_PROBE_SERVER_H_
