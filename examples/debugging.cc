// SPDX-License-Identifier: Apache-2.0
//
// Finds out why a request ends too early. docs/debugging.md explains it.
//
// Standard output is the same each time. Texts with times in them go to
// standard error.

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/budget/explain.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"

namespace {

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

// Takes longer than its caller waits.
class SlowInventory final : public Inventory::Service {
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest*, GetStockResponse*) override {
    const tether::Context ctx = tether::ContextOf(*server_context);
    ctx.Wait();
    std::printf("inventory ended: %s\n",
                std::string(EndReasonName(tether::EndReasonOf(ctx))).c_str());
    return tether::StatusOf(ctx);
  }
};

void CallInventory(Inventory::Stub& stub) {
  auto [ctx, cancel] =
      tether::WithTimeout(tether::Background(), absl::Milliseconds(300));
  // Background.WithDeadline(2026-11-26T09:30:00.3+00:00 [300ms])
  std::fprintf(stderr, "%s\n", ctx.DebugString().c_str());

  tether::ClientCall call(ctx);
  GetStockResponse response;
  const grpc::Status status =
      stub.GetStock(&call, GetStockRequest(), &response);
  // context deadline exceeded: 300ms, of which inventory.GetStock 289ms
  std::fprintf(stderr, "%s\n", status.error_message().c_str());
  std::fprintf(stderr, "%s", tether::Explain(call.report()).c_str());

  ctx.Wait();  // the callee may notice the deadline some milliseconds earlier
  std::printf("client ended: %s\n",
              std::string(EndReasonName(tether::EndReasonOf(ctx))).c_str());
  std::printf("client calls alive: %d\n",
              static_cast<int>(tether::GetGrpcStats().client_calls));
}

}  // namespace

int main() {
  SlowInventory inventory;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&inventory);
  tether::InstallServer(builder);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto stub = Inventory::NewStub(tether::CreateChannel(
      "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));

  CallInventory(*stub);
  const tether::GrpcStats stats = tether::GetGrpcStats();
  std::printf("after it: %d client calls, %d dropped headers\n",
              static_cast<int>(stats.client_calls),
              static_cast<int>(stats.bad_timeouts + stats.bad_reports));
}
