// SPDX-License-Identifier: Apache-2.0
//
// shop.v1.Orders: gives Inventory little time, and can answer without it.

#ifndef SHOP_SERVICES_ORDERS_ORDERS_SERVICE_H_
#define SHOP_SERVICES_ORDERS_ORDERS_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/time/time.h"
#include "services/hop_event.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "shop/v1/orders.grpc.pb.h"

namespace shop {

struct OrdersOptions {
  // The longest wait for Inventory. The request's own deadline still counts.
  absl::Duration inventory_timeout = absl::Milliseconds(50);

  // If true, and that time runs out, answers with the product's default stock
  // and marks it as such, instead of returning the error.
  bool fallback = true;

  // If true, also asks Inventory for a product that customers buy as well, and
  // doesn't pass on the request's context: a fault for demonstrations.
  bool lose_context = false;

  // The time between two positions of a courier.
  absl::Duration courier_period = absl::Seconds(1);
};

// Handlers stop when their context ends, and return the context's reason. On a
// server without tether they only notice the end of the client's stream.
//
// Thread safety: thread-safe, as gRPC requires.
class OrdersService final : public v1::Orders::Service {
 public:
  // `inventory`: the channel to shop.v1.Inventory. Without tether (see
  // tether/grpc/client.h) values don't cross.
  OrdersService(const std::shared_ptr<grpc::ChannelInterface>& inventory,
                OrdersOptions options, HopSink sink = nullptr);

  grpc::Status GetOrder(grpc::ServerContext* server_context,
                        const v1::GetOrderRequest* request,
                        v1::Order* response) override;

  grpc::Status TrackCourier(
      grpc::ServerContext* server_context,
      const v1::TrackCourierRequest* request,
      grpc::ServerWriter<v1::CourierPosition>* writer) override;

 private:
  // Fills in the stock of the order's product.
  grpc::Status AddStock(const tether::Context& ctx, v1::Order* order);

  const std::unique_ptr<v1::Inventory::StubInterface> inventory_;
  const OrdersOptions options_;
  const HopSink sink_;
};

}  // namespace shop

#endif  // SHOP_SERVICES_ORDERS_ORDERS_SERVICE_H_
