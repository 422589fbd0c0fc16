// SPDX-License-Identifier: Apache-2.0

#include "services/inventory/inventory_service.h"

#include <utility>

#include "absl/time/clock.h"
#include "tether/context.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"

namespace shop {

InventoryService::InventoryService(InventoryOptions options, HopSink sink)
    : options_(options), sink_(std::move(sink)) {}

grpc::Status InventoryService::GetStock(grpc::ServerContext* server_context,
                                        const v1::GetStockRequest* request,
                                        v1::GetStockResponse* response) {
  const tether::Context ctx = tether::ContextOf(*server_context);
  HopRecorder hop(sink_, "inventory", "GetStock", ctx);
  if (request->product_id().empty()) {
    return hop.End({grpc::INVALID_ARGUMENT, "product_id is missing"});
  }
  // Simulates the work.
  if (options_.deaf) {
    absl::SleepFor(options_.delay);
  } else if (ctx.WaitFor(options_.delay)) {
    return hop.End(tether::StatusOf(ctx));
  }
  response->set_stock(42);
  return hop.End(grpc::Status::OK);
}

}  // namespace shop
