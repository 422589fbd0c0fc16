// SPDX-License-Identifier: Apache-2.0
//
// Work that goes on after the reply, and a shutdown that waits for it. A
// handler answers at once and writes an audit record afterwards. SIGTERM stops
// the server: requests get some time to finish, then the background work does.

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/propagation/request_id.h"
#include "tether/task_group.h"

namespace {

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

// Writing the record of coffee takes a minute.
class AuditLog {
 public:
  void Write(const tether::Context& ctx, const std::string& product) {
    const bool stopped = product == "coffee" && ctx.WaitFor(absl::Minutes(1));
    const std::string* id = tether::RequestIdOf(ctx);
    std::lock_guard<std::mutex> lock(mutex_);
    records_[product] = "request " + (id == nullptr ? "?" : *id) + ", " +
                        (stopped ? std::string(ctx.Cause().message()) : "done");
  }

  void Print() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [product, record] : records_) {
      std::printf("audit of %s: %s\n", product.c_str(), record.c_str());
    }
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> records_;
};

class InventoryService final : public Inventory::Service {
 public:
  InventoryService(AuditLog& log, tether::TaskGroup& background)
      : log_(log), background_(background) {}

 private:
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest* request,
                        GetStockResponse* response) override {
    // The request's values, without its deadline and its end.
    const auto values =
        tether::WithoutCancel(tether::ContextOf(*server_context));
    const bool started =
        background_.TryGo([this, values, product = request->product_id()](
                              const tether::Context& server_life) {
          // Ends with the server's background work.
          auto [ctx, cancel] = tether::Merge(values, server_life);
          log_.Write(ctx, product);
        });
    // Too much is in progress already. A queue without a limit would only move
    // the problem.
    if (!started) return {grpc::StatusCode::RESOURCE_EXHAUSTED, "overloaded"};
    response->set_stock(42);
    return grpc::Status::OK;
  }

  AuditLog& log_;
  tether::TaskGroup& background_;
};

// Waits for the tasks of `background`. After `grace`, `cancel` ends them.
void Finish(tether::TaskGroup& background, tether::CancelFunc& cancel,
            absl::Duration grace) {
  auto [ctx, stop] = tether::WithTimeout(tether::Background(), grace);
  const tether::Registration at_end = tether::AfterFunc(ctx, [&cancel] {
    cancel(absl::CancelledError("the server is shutting down"));
  });
  background.Wait().IgnoreError();  // the tasks return no errors
}

// Asks for two products, and then acts as the system that stops the server.
void Client(const std::string& address) {
  const auto stub = Inventory::NewStub(
      tether::CreateChannel(address, grpc::InsecureChannelCredentials()));
  for (const auto& [product, id] :
       {std::pair("tea", "r-1"), std::pair("coffee", "r-2")}) {
    tether::ClientCall call(tether::WithRequestId(tether::Background(), id));
    GetStockRequest request;
    request.set_product_id(product);
    GetStockResponse response;
    const grpc::Status status = stub->GetStock(&call, request, &response);
    std::printf("client: %d of %s, status %d\n", response.stock(), product,
                status.error_code());
  }
  kill(getpid(), SIGTERM);
}

}  // namespace

int main() {
  // Before any thread starts, so that the signal goes to sigwait alone.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  auto [base, cancel_requests] = tether::WithCancel(tether::Background());
  auto [life, cancel_background] = tether::WithCancel(tether::Background());
  AuditLog log;
  tether::TaskGroup background(life);
  background.SetLimit(100);
  InventoryService inventory(log, background);
  tether::ServerOptions options;
  options.base_context = base;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&inventory);
  tether::InstallServer(builder, options);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();

  std::thread client(Client, "127.0.0.1:" + std::to_string(port));
  int signal = 0;
  sigwait(&signals, &signal);
  tether::ShutdownServer(*server, cancel_requests, absl::Seconds(5));
  Finish(background, cancel_background, absl::Milliseconds(200));
  client.join();
  log.Print();
}
