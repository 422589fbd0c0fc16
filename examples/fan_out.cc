// SPDX-License-Identifier: Apache-2.0
//
// Asks three warehouses at once, and goes on with the first two answers. The
// third call is cancelled, and so its handler stops.

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/context.h"
#include "tether/first_of.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"

namespace {

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

// Asks one warehouse.
absl::StatusOr<int> StockIn(const tether::Context& ctx,
                            Inventory::Stub& warehouse,
                            const std::string& product) {
  GetStockRequest request;
  request.set_product_id(product);
  GetStockResponse response;
  tether::ClientCall call(ctx);
  const grpc::Status status = warehouse.GetStock(&call, request, &response);
  if (!status.ok()) return tether::FromGrpcStatus(status);
  return response.stock();
}

// The smaller one of the two numbers that arrive first.
absl::StatusOr<int> LeastStock(
    const tether::Context& ctx,
    const std::vector<std::unique_ptr<Inventory::Stub>>& warehouses,
    const std::string& product) {
  std::vector<std::function<absl::StatusOr<int>(const tether::Context&)>> tasks;
  for (const auto& stub : warehouses) {
    tasks.push_back(
        [&product, warehouse = stub.get()](const tether::Context& task_ctx) {
          return StockIn(task_ctx, *warehouse, product);
        });
  }
  const auto answers = tether::FirstOf(ctx, 2, std::move(tasks));
  if (!answers.ok()) return answers.status();
  int least = std::numeric_limits<int>::max();
  for (const tether::Answer<int>& answer : *answers) {
    least = std::min(least, answer.value);
  }
  return least;
}

// A warehouse on a port of its own. It needs a minute for a product that it
// must count.
class Warehouse final : public Inventory::Service {
 public:
  Warehouse(int stock, std::vector<std::string> must_count)
      : stock_(stock), must_count_(std::move(must_count)) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(this);
    tether::InstallServer(builder);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }

  std::unique_ptr<Inventory::Stub> Connect() const {
    return Inventory::NewStub(
        tether::CreateChannel(address_, grpc::InsecureChannelCredentials()));
  }

  void Shutdown() { server_->Shutdown(); }

 private:
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest* request,
                        GetStockResponse* response) override {
    const tether::Context ctx = tether::ContextOf(*server_context);
    const bool slow = std::count(must_count_.begin(), must_count_.end(),
                                 request->product_id()) > 0;
    if (slow && ctx.WaitFor(absl::Minutes(1))) return tether::StatusOf(ctx);
    response->set_stock(stock_);
    return grpc::Status::OK;
  }

  const int stock_;
  const std::vector<std::string> must_count_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace

int main() {
  Warehouse north(42, {});
  Warehouse south(17, {"coffee"});
  Warehouse west(5, {"coffee", "tea"});
  std::vector<std::unique_ptr<Inventory::Stub>> warehouses;
  for (const Warehouse* w : {&north, &south, &west}) {
    warehouses.push_back(w->Connect());
  }

  for (const char* product : {"tea", "coffee"}) {
    auto [ctx, cancel] =
        tether::WithTimeout(tether::Background(), absl::Seconds(2));
    const absl::StatusOr<int> least = LeastStock(ctx, warehouses, product);
    if (least.ok()) {
      std::printf("%s: at least %d\n", product, *least);
    } else {
      // "FirstOf: 1 of 2 answers, 2 of 3 tasks failed: task 1: ..."
      const std::string message(least.status().message());
      std::printf("%s: %s\n", product,
                  message.substr(0, message.find(": task")).c_str());
    }
  }
  // Wait for the handlers. None of them is still counting.
  for (Warehouse* w : {&north, &south, &west}) w->Shutdown();
}
