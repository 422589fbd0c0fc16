// SPDX-License-Identifier: Apache-2.0

#include "sidecar/plain_server.h"

#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/impl/server_builder_option.h>

#include <memory>
#include <vector>

namespace tether::sidecar {
namespace {

class NoPlugins final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    plugins->clear();
  }
};

}  // namespace

void MakePlain(grpc::ServerBuilder& builder) {
  builder.SetOption(std::make_unique<NoPlugins>());
  // A null service means: none.
  builder.SetOption(
      std::make_unique<grpc::HealthCheckServiceServerBuilderOption>(nullptr));
}

}  // namespace tether::sidecar
