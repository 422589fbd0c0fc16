// SPDX-License-Identifier: Apache-2.0

#include "services/orders/orders_service.h"

#include <algorithm>
#include <utility>

#include "tether/context.h"
#include "tether/grpc/caller.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"

namespace shop {
namespace {

constexpr int kDefaultStock = 10;

// The courier moves on a straight line to the customer while anyone watches.
v1::CourierPosition CourierAt(int sequence) {
  v1::CourierPosition position;
  position.set_sequence(sequence);
  position.set_latitude_degrees(52.5200 + 0.0005 * sequence);
  position.set_longitude_degrees(13.4050 + 0.0008 * sequence);
  position.set_remaining_metres(std::max(0, 2400 - 80 * sequence));
  return position;
}

}  // namespace

OrdersService::OrdersService(
    const std::shared_ptr<grpc::ChannelInterface>& inventory,
    OrdersOptions options, HopSink sink)
    : inventory_(v1::Inventory::NewStub(inventory)),
      options_(options),
      sink_(std::move(sink)) {}

grpc::Status OrdersService::GetOrder(grpc::ServerContext* server_context,
                                     const v1::GetOrderRequest* request,
                                     v1::Order* response) {
  const tether::Context ctx = tether::ContextOf(*server_context);
  HopRecorder hop(sink_, "orders", "GetOrder", ctx);
  if (request->order_id().empty()) {
    return hop.End({grpc::INVALID_ARGUMENT, "order_id is missing"});
  }
  response->set_order_id(request->order_id());
  response->set_product_id("tea-5");
  response->set_product_name("Darjeeling, 250 g");
  response->set_quantity(2);
  if (options_.lose_context) {
    tether::ClientCall call(tether::Background());  // on purpose
    v1::GetStockRequest also;
    also.set_product_id("pot-2");
    v1::GetStockResponse ignored;
    inventory_->GetStock(&call, also, &ignored);
  }
  return hop.End(AddStock(ctx, response));
}

grpc::Status OrdersService::AddStock(const tether::Context& ctx,
                                     v1::Order* order) {
  auto [stock_ctx, cancel] =
      tether::WithTimeout(ctx, options_.inventory_timeout);
  tether::ClientCall call(stock_ctx);
  v1::GetStockRequest request;
  request.set_product_id(order->product_id());
  v1::GetStockResponse response;
  const grpc::Status status = inventory_->GetStock(&call, request, &response);
  if (status.ok()) {
    order->set_stock(response.stock());
    return status;
  }
  const bool too_slow = status.error_code() == grpc::DEADLINE_EXCEEDED;
  if (!options_.fallback || !too_slow ||
      !tether::CallerIsWaiting(ctx, stock_ctx, status)) {
    return status;
  }
  order->set_stock(kDefaultStock);
  order->set_stock_is_default(true);
  return grpc::Status::OK;
}

grpc::Status OrdersService::TrackCourier(
    grpc::ServerContext* server_context, const v1::TrackCourierRequest* request,
    grpc::ServerWriter<v1::CourierPosition>* writer) {
  const tether::Context ctx = tether::ContextOf(*server_context);
  HopRecorder hop(sink_, "orders", "TrackCourier", ctx);
  if (request->order_id().empty()) {
    return hop.End({grpc::INVALID_ARGUMENT, "order_id is missing"});
  }
  for (int sequence = 1;; ++sequence) {
    if (!writer->Write(CourierAt(sequence))) {
      // The status of a broken stream is never read.
      return hop.End({grpc::CANCELLED, "the stream is gone"});
    }
    if (ctx.WaitFor(options_.courier_period)) {
      return hop.End(tether::StatusOf(ctx));
    }
  }
}

}  // namespace shop
