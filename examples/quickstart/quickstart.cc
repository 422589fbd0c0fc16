// SPDX-License-Identifier: Apache-2.0
//
// A complete server and client. The handler needs a minute. Its caller gives it
// 50 ms, and it stops after that.

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

class Warehouse final : public Inventory::Service {
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest*,
                        GetStockResponse* response) override {
    const tether::Context ctx = tether::ContextOf(*server_context);
    for (int shelf = 0; shelf < 6000; ++shelf) {  // works in small steps
      if (ctx.WaitFor(absl::Milliseconds(10))) return tether::StatusOf(ctx);
      response->set_stock(response->stock() + 1);
    }
    return grpc::Status::OK;
  }
};

int main() {
  Warehouse warehouse;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&warehouse);
  tether::InstallServer(builder);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();

  const auto stub = Inventory::NewStub(tether::CreateChannel(
      "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  auto [ctx, cancel] =
      tether::WithTimeout(tether::Background(), absl::Milliseconds(50));
  tether::ClientCall call(ctx);
  GetStockResponse response;
  const grpc::Status status =
      stub->GetStock(&call, GetStockRequest(), &response);
  std::printf("%s\n", status.error_message().c_str());
}  // the server's destructor waits for its handlers, which have returned
