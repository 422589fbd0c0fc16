// SPDX-License-Identifier: Apache-2.0
//
// The storefront service as a process.

#include <string>

#include "absl/flags/flag.h"
#include "services/hop_event.h"
#include "services/serve.h"
#include "services/storefront/storefront_service.h"

ABSL_FLAG(std::string, orders, "", "host:port of the orders service.");

int main(int argc, char** argv) {
  shop::StartProcess(argc, argv,
                     "Serves the pages of the shop, from what orders has.");
  shop::StorefrontService service(
      shop::ConnectTo("orders", absl::GetFlag(FLAGS_orders)), {},
      shop::IsLive() ? nullptr : shop::HopsToStdout());
  return shop::Serve(service);
}
