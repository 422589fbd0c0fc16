// SPDX-License-Identifier: Apache-2.0
//
// shop.v1.Storefront: passes each request and its values on to Orders.

#ifndef SHOP_SERVICES_STOREFRONT_STOREFRONT_SERVICE_H_
#define SHOP_SERVICES_STOREFRONT_STOREFRONT_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "services/hop_event.h"
#include "shop/v1/orders.grpc.pb.h"
#include "shop/v1/storefront.grpc.pb.h"

namespace shop {

// No options yet.
struct StorefrontOptions {};

// A handler's call to Orders ends when the handler's context does. On a server
// without tether the handler isn't notified, and waits for Orders.
//
// Thread safety: thread-safe, as gRPC requires.
class StorefrontService final : public v1::Storefront::Service {
 public:
  // `orders`: the channel to shop.v1.Orders. Without tether (see
  // tether/grpc/client.h) values don't cross.
  StorefrontService(const std::shared_ptr<grpc::ChannelInterface>& orders,
                    StorefrontOptions options, HopSink sink = nullptr);

  grpc::Status GetOrderPage(grpc::ServerContext* server_context,
                            const v1::GetOrderPageRequest* request,
                            v1::GetOrderPageResponse* response) override;

  grpc::Status TrackCourier(
      grpc::ServerContext* server_context,
      const v1::TrackCourierRequest* request,
      grpc::ServerWriter<v1::CourierPosition>* writer) override;

 private:
  const std::unique_ptr<v1::Orders::StubInterface> orders_;
  const HopSink sink_;
};

}  // namespace shop

#endif  // SHOP_SERVICES_STOREFRONT_STOREFRONT_SERVICE_H_
