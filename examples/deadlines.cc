// SPDX-License-Identifier: Apache-2.0
//
// Deadlines over three services, storefront → orders → inventory: which hop
// used up the time, and why each context ended. docs/deadlines.md explains it.
//
// Standard output is the same in each run. The report contains times, so it
// goes to standard error.

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "shop/v1/orders.grpc.pb.h"
#include "shop/v1/storefront.grpc.pb.h"
#include "tether/budget/explain.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"

namespace {

using shop::v1::Inventory;
using shop::v1::Orders;
using shop::v1::Storefront;

tether::ServerOptions OrdersOptions() {
  tether::ServerOptions options;
  options.time.max_timeout = absl::Seconds(10);
  options.time.default_timeout = absl::Seconds(2);
  options.time.min_budget = absl::Milliseconds(5);

  // Tracking a courier takes longer.
  tether::MethodPolicy track;
  track.pattern = "/shop.v1.Orders/TrackCourier";
  track.time.max_timeout = absl::Hours(1);
  options.methods.push_back(track);
  return options;
}

tether::ClientOptions SlowNetwork() {
  tether::ClientOptions options;
  options.reserve.fixed = absl::Milliseconds(40);
  options.reserve.cap = absl::Milliseconds(100);
  return options;
}

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  return tether::CreateChannel(address, grpc::InsecureChannelCredentials(),
                               SlowNetwork());
}

// Answers at once for tea. For coffee it takes too long.
class InventoryService final : public Inventory::Service {
  grpc::Status GetStock(grpc::ServerContext* sc,
                        const shop::v1::GetStockRequest* request,
                        shop::v1::GetStockResponse* response) override {
    const tether::Context ctx = tether::ContextOf(*sc);
    if (request->product_id() == "tea") {
      std::printf("inventory: %s\n", ctx.Deadline() == absl::InfiniteFuture()
                                         ? "no deadline"
                                         : "a deadline");
      response->set_stock(42);
      return grpc::Status::OK;
    }
    ctx.Wait();  // simulates the work
    switch (tether::EndReasonOf(ctx)) {
      case tether::EndReason::kInheritedDeadline:
        std::printf("inventory: the caller's time is up\n");
        break;
      case tether::EndReason::kCallerLeft:
        std::printf("inventory: nobody waits for it any more\n");
        break;
      default:
        std::printf("inventory: something else\n");
    }
    return tether::StatusOf(ctx);
  }
};

class OrdersService final : public Orders::Service {
 public:
  explicit OrdersService(const std::shared_ptr<grpc::Channel>& inventory)
      : inventory_(Inventory::NewStub(inventory)) {}
  ~OrdersService() override {
    if (audit_.joinable()) audit_.join();
  }

 private:
  grpc::Status GetOrder(grpc::ServerContext* sc,
                        const shop::v1::GetOrderRequest* request,
                        shop::v1::Order* order) override {
    const tether::Context ctx = tether::ContextOf(*sc);
    audit_ = std::thread([after = tether::WithoutCancel(ctx)] {
      std::printf("audit: %s\n", after.Done() ? "done" : "goes on");
    });
    shop::v1::GetStockRequest stock_request;
    stock_request.set_product_id(request->order_id());
    shop::v1::GetStockResponse stock;
    tether::ClientCall call(ctx);
    const grpc::Status status =
        inventory_->GetStock(&call, stock_request, &stock);
    order->set_stock(stock.stock());
    return status;
  }

  const std::unique_ptr<Inventory::Stub> inventory_;
  std::thread audit_;
};

class StorefrontService final : public Storefront::Service {
 public:
  explicit StorefrontService(const std::shared_ptr<grpc::Channel>& orders)
      : orders_(Orders::NewStub(orders)) {}

 private:
  grpc::Status GetOrderPage(grpc::ServerContext* sc,
                            const shop::v1::GetOrderPageRequest* request,
                            shop::v1::GetOrderPageResponse* page) override {
    shop::v1::GetOrderRequest order_request;
    order_request.set_order_id(request->order_id());
    tether::ClientCall call(tether::ContextOf(*sc));
    return orders_->GetOrder(&call, order_request, page->mutable_order());
  }

  const std::unique_ptr<Orders::Stub> orders_;
};

// True if a second attempt may succeed, for a method that may run twice. `ctx`
// is the request's context, or Background() in a client.
bool IsWorthRetrying(const tether::Context& ctx, const tether::ClientCall& call,
                     const grpc::Status& status) {
  if (ctx.Done()) return false;  // nobody waits for it
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) return true;
  return status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED &&
         tether::EndReasonOf(call) == tether::EndReason::kOwnTimeout;
}

// A server on a free port, and its address.
std::pair<std::unique_ptr<grpc::Server>, std::string> Serve(
    grpc::Service& service, tether::ServerOptions options = {}) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  tether::InstallServer(builder, std::move(options));
  auto server = builder.BuildAndStart();
  return {std::move(server), "127.0.0.1:" + std::to_string(port)};
}

// The result is useful to the next request, even if this one is out of time.
void Prefetch(const tether::Context& ctx, Inventory::Stub& inventory) {
  shop::v1::GetStockRequest request;
  request.set_product_id("tea");
  shop::v1::GetStockResponse stock;
  tether::ClientCall call(ctx, tether::CallOptions::Detached());
  const grpc::Status status = inventory.GetStock(&call, request, &stock);
  std::printf("prefetch: %d in stock, status %d\n", stock.stock(),
              status.error_code());
}

void GetPage(Storefront::Stub& storefront) {
  auto [ctx, cancel] =
      tether::WithTimeout(tether::Background(), absl::Seconds(2));
  shop::v1::GetOrderPageRequest request;
  request.set_order_id("coffee");
  shop::v1::GetOrderPageResponse page;

  tether::ClientCall call(ctx);
  const grpc::Status status = storefront.GetOrderPage(&call, request, &page);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n\n%s", status.error_message().c_str(),
                 tether::Explain(call.report()).c_str());
  }

  std::printf(
      "client: %s, worth retrying: %s\n",
      std::string(EndReasonName(tether::EndReasonOf(call))).c_str(),
      IsWorthRetrying(tether::Background(), call, status) ? "yes" : "no");
  std::printf("client: status %d, %s\n", status.error_code(),
              call.report().has_report() ? "and a report" : "and no report");
  const auto named = status.error_message().find(", of which ");
  std::printf("client: it was %s\n",
              named == std::string::npos
                  ? "nobody"
                  : status.error_message().substr(named + 11, 18).c_str());
}

}  // namespace

int main() {
  InventoryService inventory;
  auto [inventory_server, inventory_address] = Serve(inventory);
  OrdersService orders(ChannelTo(inventory_address));
  auto [orders_server, orders_address] = Serve(orders, OrdersOptions());
  StorefrontService storefront(ChannelTo(orders_address));
  auto [storefront_server, storefront_address] = Serve(storefront);

  GetPage(*Storefront::NewStub(ChannelTo(storefront_address)));

  auto [ctx, cancel] = tether::WithCancel(tether::Background());
  cancel();
  Prefetch(ctx, *Inventory::NewStub(ChannelTo(inventory_address)));

  storefront_server->Shutdown();
  orders_server->Shutdown();
  inventory_server->Shutdown();
}
