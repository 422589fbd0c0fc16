// SPDX-License-Identifier: Apache-2.0

#include "services/storefront/storefront_service.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"

namespace shop {
namespace {

std::string Availability(const v1::Order& order) {
  return order.stock_is_default()
             ? absl::StrCat("usually ", order.stock(), " in stock")
             : absl::StrCat(order.stock(), " in stock");
}

}  // namespace

StorefrontService::StorefrontService(
    const std::shared_ptr<grpc::ChannelInterface>& orders, StorefrontOptions,
    HopSink sink)
    : orders_(v1::Orders::NewStub(orders)), sink_(std::move(sink)) {}

grpc::Status StorefrontService::GetOrderPage(
    grpc::ServerContext* server_context, const v1::GetOrderPageRequest* request,
    v1::GetOrderPageResponse* response) {
  const tether::Context ctx = tether::ContextOf(*server_context);
  HopRecorder hop(sink_, "storefront", "GetOrderPage", ctx);
  tether::ClientCall call(ctx);
  v1::GetOrderRequest order_request;
  order_request.set_order_id(request->order_id());
  const grpc::Status status =
      orders_->GetOrder(&call, order_request, response->mutable_order());
  if (status.ok()) response->set_availability(Availability(response->order()));
  return hop.End(status);
}

grpc::Status StorefrontService::TrackCourier(
    grpc::ServerContext* server_context, const v1::TrackCourierRequest* request,
    grpc::ServerWriter<v1::CourierPosition>* writer) {
  const tether::Context ctx = tether::ContextOf(*server_context);
  HopRecorder hop(sink_, "storefront", "TrackCourier", ctx);
  auto [orders_ctx, cancel] = tether::WithCancel(ctx);
  tether::ClientCall call(orders_ctx);
  const auto reader = orders_->TrackCourier(&call, *request);
  v1::CourierPosition position;
  while (reader->Read(&position)) {
    if (!writer->Write(position)) {
      cancel();  // the client is gone, so Orders can stop
      break;
    }
  }
  return hop.End(reader->Finish());
}

}  // namespace shop
