// SPDX-License-Identifier: Apache-2.0
//
// Two services of a shop. Orders asks inventory how many items there are.
//
//   shop inventory
//   shop orders ADDRESS_OF_INVENTORY
//
// Prints its port, and then what it does. Stops on SIGTERM.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "shop/v1/orders.grpc.pb.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/propagation/codecs.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/default.h"
#include "tether/propagation/header.h"
#include "tether/propagation/trace_context.h"

namespace {

using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;
using shop::v1::Inventory;
using shop::v1::Orders;

inline constexpr tether::Key<std::string> kTenant{"tenant"};

// The trace and the tenant cross each hop.
std::shared_ptr<const tether::Propagator> OurPropagator() {
  return std::make_shared<tether::CompositePropagator>(
      tether::DefaultPropagator(),
      tether::HeaderPropagator<std::string>(kTenant, "x-tenant",
                                            tether::StringCodec()));
}

class InventoryService final : public Inventory::Service {
  // Knows the stock of tea. To count anything else takes a minute.
  Status GetStock(ServerContext* context,
                  const shop::v1::GetStockRequest* request,
                  shop::v1::GetStockResponse* response) override {
    const tether::Context ctx = tether::ContextOf(*context);
    const std::string* tenant = ctx.Value(kTenant);
    const tether::TraceContext* trace = tether::TraceOf(ctx);
    std::printf("inventory: %s for %s, %s\n", request->product_id().c_str(),
                tenant ? tenant->c_str() : "",
                trace ? tether::FormatTraceParent(*trace).c_str() : "");
    response->set_stock(42);
    if (request->product_id() == "tea") return Status::OK;
    for (int shelf = 0; shelf < 600; ++shelf) {
      if (ctx.WaitFor(absl::Milliseconds(100))) {
        std::printf("inventory: stopped\n");
        return tether::StatusOf(ctx);
      }
    }
    return Status::OK;
  }
};

class OrdersService final : public Orders::Service {
 public:
  explicit OrdersService(const std::shared_ptr<grpc::Channel>& inventory)
      : inventory_(Inventory::NewStub(inventory)) {}

 private:
  // If inventory takes more than a second, the order is shown without it.
  Status GetOrder(ServerContext* context,
                  const shop::v1::GetOrderRequest* request,
                  shop::v1::Order* order) override {
    const tether::Context ctx = tether::ContextOf(*context);
    auto [stock_ctx, cancel] = tether::WithTimeout(ctx, absl::Seconds(1));
    tether::ClientCall call(stock_ctx);
    shop::v1::GetStockRequest stock_request;
    stock_request.set_product_id(request->order_id());
    shop::v1::GetStockResponse stock;
    const Status status = inventory_->GetStock(&call, stock_request, &stock);
    if (status.error_code() == StatusCode::DEADLINE_EXCEEDED && !ctx.Done()) {
      order->set_stock_is_default(true);
      return Status::OK;
    }
    order->set_stock(stock.stock());
    return status;
  }

  // A position each second.
  Status TrackCourier(
      ServerContext* context, const shop::v1::TrackCourierRequest*,
      grpc::ServerWriter<shop::v1::CourierPosition>* writer) override {
    const tether::Context ctx = tether::ContextOf(*context);
    shop::v1::CourierPosition position;
    do {
      position.set_sequence(position.sequence() + 1);
      writer->Write(position);
    } while (!ctx.WaitFor(absl::Seconds(1)));
    std::printf("orders: stopped\n");
    return tether::StatusOf(ctx);
  }

  const std::unique_ptr<Inventory::Stub> inventory_;
};

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  tether::ClientOptions options;
  options.propagator = OurPropagator();
  options.reserve.fixed = absl::Milliseconds(100);  // as before
  options.reserve.cap = absl::Milliseconds(100);
  return tether::CreateChannel(address, grpc::InsecureChannelCredentials(),
                               options);
}

// Serves until SIGTERM.
void Serve(grpc::Service& service, const sigset_t& signals) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  tether::ServerOptions options;
  options.propagator = OurPropagator();
  tether::InstallServer(builder, options);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::printf("%d\n", port);
  int signal = 0;
  sigwait(&signals, &signal);
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::string role = argc > 1 ? argv[1] : "";
  if (role == "inventory" && argc == 2) {
    InventoryService inventory;
    Serve(inventory, signals);
  } else if (role == "orders" && argc == 3) {
    OrdersService orders(Connect(argv[2]));
    Serve(orders, signals);
  } else {
    std::fprintf(stderr, "shop inventory\nshop orders ADDRESS\n");
    return 2;
  }
}
