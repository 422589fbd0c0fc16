// SPDX-License-Identifier: Apache-2.0
//
// The inventory service as a process.

#include "absl/flags/flag.h"
#include "absl/time/time.h"
#include "services/flag_types.h"
#include "services/hop_event.h"
#include "services/inventory/inventory_service.h"
#include "services/serve.h"

ABSL_FLAG(shop::Delay, inventory_delay, shop::Delay{absl::Milliseconds(5)},
          "How long an answer takes.");

ABSL_FLAG(bool, deaf, false,
          "Ignore the end of the request while the answer is made: a fault "
          "that tetherctl doctor finds.");

int main(int argc, char** argv) {
  shop::StartProcess(argc, argv,
                     "Returns the stock of a product, after a delay.");
  shop::InventoryOptions options;
  options.delay = absl::GetFlag(FLAGS_inventory_delay).value;
  options.deaf = absl::GetFlag(FLAGS_deaf);
  shop::InventoryService service(
      options, shop::IsLive() ? nullptr : shop::HopsToStdout());
  return shop::Serve(service);
}
