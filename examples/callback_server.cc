// SPDX-License-Identifier: Apache-2.0
//
// A server with gRPC's callback API. Its handler starts an asynchronous query
// and returns. The call is finished by the answer, or when the request's
// context ends.

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/finisher.h"
#include "tether/grpc/server.h"

namespace {

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

// Answers at once for tea. Everything else takes a long time.
class Warehouse {
 public:
  void Ask(const std::string& product, std::function<void(int)> answer) {
    if (product == "tea") return answer(42);
    std::lock_guard<std::mutex> lock(mutex_);
    to_answer_.push_back(std::move(answer));
  }

  void AnswerTheRest() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& answer : to_answer_) answer(0);
    to_answer_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<std::function<void(int)>> to_answer_;
};

class InventoryService final : public Inventory::CallbackService {
 public:
  explicit InventoryService(Warehouse& warehouse) : warehouse_(warehouse) {}

 private:
  grpc::ServerUnaryReactor* GetStock(grpc::CallbackServerContext* sc,
                                     const GetStockRequest* request,
                                     GetStockResponse* response) override {
    grpc::ServerUnaryReactor* reactor = sc->DefaultReactor();
    const tether::Finisher finisher(tether::ContextOf(*sc), reactor);
    warehouse_.Ask(request->product_id(), [=](int stock) {
      if (!finisher.Claim()) {
        std::printf("inventory: nobody waits for it any more\n");
        return;
      }
      response->set_stock(stock);
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }

  Warehouse& warehouse_;
};

void Ask(Inventory::Stub& stub, const std::string& product,
         absl::Duration timeout) {
  auto [ctx, cancel] = tether::WithTimeout(tether::Background(), timeout);
  GetStockRequest request;
  request.set_product_id(product);
  GetStockResponse response;
  tether::ClientCall call(ctx);
  const grpc::Status status = stub.GetStock(&call, request, &response);
  if (status.ok()) {
    std::printf("client: %d of %s\n", response.stock(), product.c_str());
  } else {
    std::printf("client: %s, status %d\n", product.c_str(),
                status.error_code());
  }
}

}  // namespace

int main() {
  Warehouse warehouse;
  InventoryService inventory(warehouse);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&inventory);
  tether::InstallServer(builder);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();

  const auto stub = Inventory::NewStub(tether::CreateChannel(
      "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  Ask(*stub, "tea", absl::Seconds(30));
  Ask(*stub, "coffee", absl::Milliseconds(500));
  server->Shutdown();  // waits for the handlers, which are finished
  warehouse.AnswerTheRest();
}
