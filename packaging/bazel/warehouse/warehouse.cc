// SPDX-License-Identifier: Apache-2.0

#include "warehouse/warehouse.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

namespace {

class Waiting final : public Inventory::Service {
 public:
  std::string seen;

 private:
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest*, GetStockResponse*) override {
    const tether::Context ctx = tether::ContextOf(*server_context);
    if (ctx.Remaining() > absl::Milliseconds(100)) return grpc::Status::OK;
    ctx.Wait();
    seen = absl::StrCat("the server's context ended: ",
                        absl::StatusCodeToString(ctx.Err().code()));
    return tether::StatusOf(ctx);
  }
};

}  // namespace

std::string AskOnce() {
  Waiting waiting;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&waiting);
  tether::InstallServer(builder);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return "there is no server";

  const auto stub = Inventory::NewStub(tether::CreateChannel(
      absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials()));
  auto [ctx, cancel] =
      tether::WithTimeout(tether::Background(), absl::Milliseconds(100));
  tether::ClientCall call(ctx);
  GetStockResponse response;
  const grpc::Status status =
      stub->GetStock(&call, GetStockRequest(), &response);
  server.reset();  // waits for the handler
  if (status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) {
    return absl::StrCat("the call's status is ", status.error_code());
  }
  return waiting.seen;
}
