// SPDX-License-Identifier: Apache-2.0
//
// The demo's client: sends one request, like any client that uses tether.

#ifndef SHOP_SERVICES_DEMO_REQUEST_H_
#define SHOP_SERVICES_DEMO_REQUEST_H_

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "shop/v1/orders.pb.h"
#include "tether/context.h"
#include "tether/v1/budget_report.pb.h"

namespace shop {

struct RequestOptions {
  std::string address;  // host:port of the storefront
  std::string order_id;
  absl::Duration deadline = absl::Seconds(1);

  // When the client gives up.
  std::optional<absl::Duration> cancel_after;

  // If set, the client tracks the courier, and calls this with each position.
  // Otherwise it gets the order's page.
  std::function<void(const v1::CourierPosition&)> on_position;
};

struct RequestResult {
  absl::Status status;  // how the call ended
  std::chrono::steady_clock::time_point start;
  absl::Duration elapsed;

  // Shows where the time went. Contains no server report if the client left
  // before a report arrived.
  tether::v1::CallReport report;

  // From the reply.
  bool stock_is_default = false;
  std::string availability;
};

// Sends one request with the trace and the request id of `ctx`, and waits until
// the call ends.
RequestResult SendRequest(const tether::Context& ctx,
                          const RequestOptions& options);

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_REQUEST_H_
