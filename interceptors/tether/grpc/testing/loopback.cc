#include "tether/grpc/testing/loopback.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace tether::testing {

LoopbackServer ListenOnLoopback(
    grpc::ServerBuilder& builder,
    std::shared_ptr<grpc::ServerCredentials> credentials) {
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", std::move(credentials), &port);
  LoopbackServer started;
  started.server = builder.BuildAndStart();
  if (started.server == nullptr || port == 0) {
    std::fprintf(stderr, "no server can be started on 127.0.0.1\n");
    std::abort();
  }
  started.address = "127.0.0.1:" + std::to_string(port);
  return started;
}

grpc::ChannelArguments OwnConnection() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

}  // namespace tether::testing
