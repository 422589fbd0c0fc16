// SPDX-License-Identifier: Apache-2.0
//
// Shows what a process serves at this moment, and where it loses contexts: to
// its own log, and to tetherctl on a port for operators.

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/inspect.h"
#include "tether/grpc/server.h"
#include "tether/observability/inspector_service.h"
#include "tether/observability/metrics.h"
#include "tether/observability/propagation_health.h"

namespace {

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

// A server for operators, on a port of its own. Keep both alive for as long as
// operators need to see the process.
struct OperatorsServer {
  std::unique_ptr<grpc::Service> inspector;
  std::unique_ptr<grpc::Server> server;
};

OperatorsServer ServeOperators(const std::string& address) {
  OperatorsServer operators;
  operators.inspector = tether::MakeInspectorService();
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(operators.inspector.get());
  operators.server = builder.BuildAndStart();
  return operators;
}

// Writes one line for each request that works for nobody.
void LogRequestsOfNobody() {
  for (const tether::InFlightRequest& request : tether::Inspect().requests) {
    if (request.ended_by == tether::EndReason::kNone) continue;
    std::printf("%s works on: %s, waits for %zu calls\n",
                request.method.c_str(),
                std::string(tether::EndReasonName(request.ended_by)).c_str(),
                request.waits_for.size());
  }
}

// Ignores the end of its request.
class DeafInventory final : public Inventory::Service {
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest*, GetStockResponse*) override {
    const tether::Context ctx = tether::ContextOf(*server_context);
    // Stands for work that nobody stops.
    while (ctx.Remaining() > -absl::Milliseconds(200)) {
      std::this_thread::yield();
    }
    LogRequestsOfNobody();
    return grpc::Status::OK;
  }
};

}  // namespace

int main() {
  // Before the servers and the channels begin to work.
  tether::StartMetrics();
  const OperatorsServer operators = ServeOperators("127.0.0.1:0");

  DeafInventory service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  tether::InstallServer(builder);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto stub = Inventory::NewStub(tether::CreateChannel(
      "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  {
    const auto [ctx, cancel] =
        tether::WithTimeout(tether::Background(), absl::Milliseconds(500));
    tether::ClientCall call(ctx);
    GetStockResponse response;
    stub->GetStock(&call, GetStockRequest(), &response);
  }
  server->Shutdown();

  const tether::v1::PropagationHealth health = tether::GetPropagationHealth();
  // The most urgent one. Its text has the longest time, which differs.
  if (health.findings_size() > 0) {
    const tether::v1::Finding& first = health.findings(0);
    std::printf("finding: %s, %d request\n",
                tether::v1::Finding::Kind_Name(first.kind()).c_str(),
                static_cast<int>(first.count()));
    std::printf("fix: %s\n", first.fix().c_str());
  }
}
