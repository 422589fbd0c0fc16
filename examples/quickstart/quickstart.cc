// SPDX-License-Identifier: Apache-2.0
//
// A complete server and client. The handler needs a minute. Its caller waits
// for three seconds and keeps half a second of them for the answer, which is
// enough on a busy machine. The handler stops after the rest.

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
      tether::WithTimeout(tether::Background(), absl::Seconds(3));
  tether::CallOptions options;
  options.reserve = tether::Reserve::Fixed(absl::Milliseconds(500));
  tether::ClientCall call(ctx, options);
  GetStockResponse response;
  const grpc::Status status =
      stub->GetStock(&call, GetStockRequest(), &response);
  std::printf("%s\n", status.error_message().c_str());
}  // the server's destructor waits for its handlers, which have returned
