// SPDX-License-Identifier: Apache-2.0
//
// The orders service as a process.

#include <string>

#include "absl/flags/flag.h"
#include "absl/time/time.h"
#include "services/flag_types.h"
#include "services/hop_event.h"
#include "services/orders/orders_service.h"
#include "services/serve.h"

ABSL_FLAG(std::string, inventory, "", "host:port of the inventory service.");
ABSL_FLAG(shop::Timeout, inventory_timeout,
          shop::Timeout{absl::Milliseconds(50)},
          "The longest wait for the inventory service.");
ABSL_FLAG(bool, fallback, true,
          "Answer with default stock when the inventory service is too slow.");
ABSL_FLAG(shop::Timeout, courier_period, shop::Timeout{absl::Seconds(1)},
          "The time between two positions of a courier.");

ABSL_FLAG(bool, lose_context, false,
          "Also ask inventory for a second product, without the context of the "
          "request: a fault that tetherctl doctor finds.");

int main(int argc, char** argv) {
  shop::StartProcess(argc, argv,
                     "Serves orders, with the stock from inventory.");
  shop::OrdersOptions options;
  options.inventory_timeout = absl::GetFlag(FLAGS_inventory_timeout).value;
  options.fallback = absl::GetFlag(FLAGS_fallback);
  options.courier_period = absl::GetFlag(FLAGS_courier_period).value;
  options.lose_context = absl::GetFlag(FLAGS_lose_context);
  shop::OrdersService service(
      shop::ConnectTo("inventory", absl::GetFlag(FLAGS_inventory)), options,
      shop::IsLive() ? nullptr : shop::HopsToStdout());
  return shop::Serve(service);
}
