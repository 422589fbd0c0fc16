// SPDX-License-Identifier: Apache-2.0
//
// How a sync handler notices that nobody waits for it: by looking between steps
// of its work, by waiting with its context, and by a callback that interrupts a
// library that blocks.

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/after_func.h"
#include "tether/channel.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"

namespace {

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

// A library without contexts. This query has no answer.
class Query {
 public:
  // Blocks until there is an answer, or until Abort() is called. False: no
  // answer.
  bool Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return aborted_; });
    return false;
  }

  void Abort() {
    std::lock_guard<std::mutex> lock(mutex_);
    aborted_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool aborted_ = false;
};

// A step of some work.
void CountShelf() { absl::SleepFor(absl::Microseconds(100)); }

grpc::Status CountTheShelves(const tether::Context& ctx) {
  for (int shelf = 0; shelf < 1'000'000; ++shelf) {
    if (ctx.Done()) return tether::StatusOf(ctx);
    CountShelf();
  }
  return grpc::Status::OK;
}

grpc::Status AwaitDelivery(const tether::Context& ctx,
                           tether::Channel<int>& deliveries) {
  const absl::StatusOr<int> delivery = deliveries.Receive(ctx);
  if (!delivery.ok()) return tether::ToGrpcStatus(delivery.status());
  return grpc::Status::OK;
}

grpc::Status AskTheDatabase(const tether::Context& ctx) {
  Query query;
  const tether::Registration abort =
      tether::AfterFunc(ctx, [&query] { query.Abort(); });
  if (!query.Run()) return tether::StatusOf(ctx);
  return grpc::Status::OK;
}

class InventoryService final : public Inventory::Service {
 public:
  void Print() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [how, status] : ended_) {
      std::printf("the handler that %s: status %d\n", how.c_str(), status);
    }
  }

 private:
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest* request,
                        GetStockResponse*) override {
    const tether::Context ctx = tether::ContextOf(*server_context);
    const std::string& how = request->product_id();
    const grpc::Status status = how == "looks"   ? CountTheShelves(ctx)
                                : how == "waits" ? AwaitDelivery(ctx, none_)
                                                 : AskTheDatabase(ctx);
    std::lock_guard<std::mutex> lock(mutex_);
    ended_[how] = status.error_code();
    return status;
  }

  tether::Channel<int> none_{0};
  std::mutex mutex_;
  std::map<std::string, int> ended_;
};

}  // namespace

int main() {
  InventoryService inventory;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&inventory);
  tether::InstallServer(builder);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();

  const auto stub = Inventory::NewStub(tether::CreateChannel(
      "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  for (const char* how : {"looks", "waits", "is interrupted"}) {
    auto [ctx, cancel] =
        tether::WithTimeout(tether::Background(), absl::Milliseconds(200));
    tether::ClientCall call(ctx);
    GetStockRequest request;
    request.set_product_id(how);
    GetStockResponse response;
    const grpc::Status status = stub->GetStock(&call, request, &response);
    std::printf("client: status %d\n", status.error_code());
  }
  server->Shutdown();  // waits for the handlers
  inventory.Print();
}
