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
#include <thread>
#include <utility>

#include "by_hand.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "shop/v1/orders.grpc.pb.h"
#include "tether/grpc/server.h"

namespace {

using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;
using shop::v1::Inventory;
using shop::v1::Orders;
using std::chrono::milliseconds;

class InventoryService final : public Inventory::Service {
  // Knows the stock of tea. To count anything else takes a minute.
  Status GetStock(ServerContext* context,
                  const shop::v1::GetStockRequest* request,
                  shop::v1::GetStockResponse* response) override {
    std::printf("inventory: %s for %s, %s\n", request->product_id().c_str(),
                by_hand::Header(*context, "x-tenant").c_str(),
                by_hand::Header(*context, "traceparent").c_str());
    response->set_stock(42);
    if (request->product_id() == "tea") return Status::OK;
    for (int shelf = 0; shelf < 600; ++shelf) {
      std::this_thread::sleep_for(milliseconds(100));
      const Status ended = by_hand::Ended(*context);
      if (!ended.ok()) {
        std::printf("inventory: stopped\n");
        return ended;
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
    grpc::ClientContext call;
    call.set_deadline(by_hand::CallDeadline(*context, milliseconds(1000)));
    by_hand::PassOn(*context, call);
    shop::v1::GetStockRequest stock_request;
    stock_request.set_product_id(request->order_id());
    shop::v1::GetStockResponse stock;
    const Status status = inventory_->GetStock(&call, stock_request, &stock);
    if (status.error_code() == StatusCode::DEADLINE_EXCEEDED &&
        !by_hand::OutOfTime(*context)) {
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
    shop::v1::CourierPosition position;
    while (by_hand::Ended(*context).ok()) {
      position.set_sequence(position.sequence() + 1);
      writer->Write(position);
      std::this_thread::sleep_for(milliseconds(1000));
    }
    std::printf("orders: stopped\n");
    return by_hand::Ended(*context);
  }

  const std::unique_ptr<Inventory::Stub> inventory_;
};

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
}

// Serves until SIGTERM.
void Serve(grpc::Service& service, const sigset_t& signals) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  tether::InstallServer(builder);
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
