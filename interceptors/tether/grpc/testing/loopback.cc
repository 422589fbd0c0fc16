// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/testing/loopback.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace tether::testing {

LoopbackServer ListenOnLoopback(
    grpc::ServerBuilder& builder,
    std::shared_ptr<grpc::ServerCredentials> credentials, int port) {
  LoopbackServer started;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port),
                           std::move(credentials), &started.port);
  started.server = builder.BuildAndStart();
  if (started.server == nullptr || started.port == 0) {
    std::fprintf(stderr, "no server can be started on 127.0.0.1\n");
    std::abort();
  }
  started.address = "127.0.0.1:" + std::to_string(started.port);
  return started;
}

grpc::ChannelArguments OwnConnection() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

}  // namespace tether::testing
