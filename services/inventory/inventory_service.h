// SPDX-License-Identifier: Apache-2.0
//
// shop.v1.Inventory: returns the stock, after a configurable time.

#ifndef SHOP_SERVICES_INVENTORY_INVENTORY_SERVICE_H_
#define SHOP_SERVICES_INVENTORY_INVENTORY_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "absl/time/time.h"
#include "services/hop_event.h"
#include "shop/v1/inventory.grpc.pb.h"

namespace shop {

struct InventoryOptions {
  // How long an answer takes.
  absl::Duration delay = absl::Milliseconds(5);

  // If true, the handler takes that long even if nobody waits for the answer
  // any more: a fault for demonstrations.
  bool deaf = false;
};

// A handler stops when its context ends (unless it is deaf), and returns the
// context's reason. On a server without tether it isn't notified, and keeps
// working.
//
// Thread safety: thread-safe, as gRPC requires.
class InventoryService final : public v1::Inventory::Service {
 public:
  explicit InventoryService(InventoryOptions options, HopSink sink = nullptr);

  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const v1::GetStockRequest* request,
                        v1::GetStockResponse* response) override;

 private:
  const InventoryOptions options_;
  const HopSink sink_;
};

}  // namespace shop

#endif  // SHOP_SERVICES_INVENTORY_INVENTORY_SERVICE_H_
