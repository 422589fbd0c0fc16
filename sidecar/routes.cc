// SPDX-License-Identifier: Apache-2.0

#include "sidecar/routes.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "sidecar/listener.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether::sidecar {
namespace {

grpc::ChannelArguments ArgumentsFor(const std::string& server_name,
                                    bool is_app) {
  grpc::ChannelArguments arguments =
      TransparentChannelArguments(is_app ? PeerIs::kApp : PeerIs::kElsewhere);
  if (!server_name.empty()) arguments.SetSslTargetNameOverride(server_name);
  if (is_app) {
    // An app that restarts is back in a moment. (The "minimum" is how long
    // gRPC waits for a connection. A busy app may take a while to accept it.)
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  }
  return arguments;
}

// What a context shows of its request: the page and the metrics name it. All
// headers go to the app as they are.
std::shared_ptr<const Propagator> NamesOnly() {
  return std::make_shared<CompositePropagator>(
      std::vector<std::shared_ptr<const Propagator>>{
          std::make_shared<TraceContextPropagator>(),
          std::make_shared<RequestIdPropagator>()});
}

ServerOptions OptionsOfServer(const SidecarOptions& options) {
  ServerOptions server;
  if (options.mode != Mode::kObserve) server = options.ingress.server;
  if (options.mode == Mode::kObserve) {
    // The call goes on, whatever its context does.
    server.answer_grace = absl::InfiniteDuration();
  }
  server.propagator = NamesOnly();
  return server;
}

ClientOptions OptionsOfClient(const SidecarOptions& options) {
  ClientOptions client;
  client.propagator = std::make_shared<CompositePropagator>(
      std::vector<std::shared_ptr<const Propagator>>{});
  client.reserve = options.reserve;
  return client;
}

}  // namespace

Upstream::Upstream(std::string target, std::string credentials_id,
                   std::string server_name,
                   const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                   bool is_app)
    : target_(std::move(target)),
      credentials_id_(std::move(credentials_id)),
      server_name_(std::move(server_name)),
      channel_(grpc::CreateCustomChannel(
          target_,
          credentials != nullptr ? credentials
                                 : grpc::InsecureChannelCredentials(),
          ArgumentsFor(server_name_, is_app))),
      stub_(channel_) {}

IngressRoute::IngressRoute(const SidecarOptions& options, Context base,
                           int64_t most, std::shared_ptr<const Upstream> to_app,
                           std::shared_ptr<AccessLog> log)
    : mode(options.mode),
      most_in_flight(most),
      server([&] {
        ServerOptions server_options = OptionsOfServer(options);
        server_options.base_context = std::move(base);
        return server_options;
      }()),
      is_edge(options.ingress.server.edge.has_value()),
      edge(options.ingress.server.edge.value_or(EdgeOptions())),
      app(std::move(to_app)),
      access_log(std::move(log)) {}

EgressRoute::EgressRoute(const SidecarOptions& options,
                         const EgressOptions& egress, int64_t most,
                         std::shared_ptr<const Upstream> to_target,
                         std::shared_ptr<AccessLog> log)
    : mode(options.mode),
      most_in_flight(most),
      client(OptionsOfClient(options), to_target->channel(),
             to_target->target()),
      target(std::move(to_target)),
      access_log(std::move(log)),
      correlate_(egress.correlate) {
  for (const EgressMethod& method : egress.methods) {
    methods_.try_emplace(method.pattern, method.correlate);
  }
}

Correlate EgressRoute::CorrelateOf(std::string_view method) const {
  if (methods_.empty()) return correlate_;
  const auto find = [this](std::string_view pattern) {
    return methods_.find(absl::string_view(pattern.data(), pattern.size()));
  };
  auto it = find(method);
  if (it == methods_.end()) {
    it = find(std::string(method.substr(0, method.rfind('/') + 1)) + "*");
  }
  if (it == methods_.end()) it = find("*");
  return it == methods_.end() ? correlate_ : it->second;
}

}  // namespace tether::sidecar
