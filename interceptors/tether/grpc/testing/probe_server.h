// SPDX-License-Identifier: Apache-2.0
//
// A gRPC server on loopback whose handlers the test sets, and stubs for it,
// with tether and without.
//
//   ProbeServer server(ProbeServer::Options());
//   server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) { … };
//   auto stub = server.Stub();
//
// For tests only.

#ifndef TETHER_GRPC_TESTING_PROBE_SERVER_H_
#define TETHER_GRPC_TESTING_PROBE_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/loopback.h"
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
    // nullopt makes a server without tether.
    std::optional<ServerOptions> tether = ServerOptions();
    // Installs something else instead of tether.
    std::function<void(grpc::ServerBuilder&)> install = nullptr;
  };

  explicit ProbeServer(Options options);
  ~ProbeServer();

  // Set the handlers before the first call.
  UnaryHandler unary;
  DownloadHandler download;
  CallbackUnaryHandler callback_unary;
  CallbackDownloadHandler callback_download;

  // Returns a stub on a new channel that is connected, with tether unless
  // `tether` is nullopt.
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

// A stub on a new channel to `address`, with tether; nullopt: without tether.
// The channel isn't connected yet.
std::unique_ptr<Probe::Stub> ProbeStub(
    const std::string& address,
    std::optional<ClientOptions> tether = ClientOptions(),
    const grpc::ChannelArguments& arguments = OwnConnection());

}  // namespace tether::testing

#endif  // TETHER_GRPC_TESTING_PROBE_SERVER_H_
