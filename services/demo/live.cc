// SPDX-License-Identifier: Apache-2.0
//
// The demo that keeps running: the three services under a small load, with
// their status pages, until Ctrl-C. "./demo.sh --live" starts it.

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "services/demo/chain.h"
#include "services/demo/stop_signals.h"
#include "services/flag_types.h"
#include "services/stdout_line.h"
#include "shop/v1/storefront.grpc.pb.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

ABSL_FLAG(uint16_t, clients, 8,
          "How many clients send requests, one after the other.");
ABSL_FLAG(shop::Delay, pause, shop::Delay{absl::Milliseconds(100)},
          "How long a client waits after each request.");
ABSL_FLAG(shop::Timeout, deadline, shop::Timeout{absl::Seconds(1)},
          "How long a client waits for a page.");
ABSL_FLAG(shop::Delay, inventory_delay, shop::Delay{absl::Milliseconds(300)},
          "How long inventory takes to answer.");
ABSL_FLAG(std::optional<shop::Timeout>, inventory_timeout, std::nullopt,
          "How long orders waits for inventory (default: 800ms; 100ms with "
          "--faults, so that inventory is too slow).");
ABSL_FLAG(std::string, tetherctl, "tetherctl",
          "The program in the commands to try.");
ABSL_FLAG(
    bool, faults, false,
    "Plant faults: inventory ignores the ends of its requests, and orders "
    "makes calls without their context. tetherctl doctor finds them.");

namespace shop {
namespace {

// Gets pages until `ctx` ends.
void SendRequests(const tether::Context& ctx, v1::Storefront::Stub& stub) {
  v1::GetOrderPageRequest request;
  request.set_order_id("1042");
  do {
    const tether::TraceContext trace = tether::NewTrace(/*sampled=*/true);
    const auto [request_ctx, cancel] = tether::WithTimeout(
        tether::WithRequestId(tether::WithTrace(ctx, trace),
                              absl::StrCat("live-", trace.SpanIdHex())),
        absl::GetFlag(FLAGS_deadline).value);
    tether::ClientCall call(request_ctx);
    v1::GetOrderPageResponse page;
    stub.GetOrderPage(&call, request, &page);
  } while (!ctx.WaitFor(absl::GetFlag(FLAGS_pause).value));
}

void PrintAddresses(const std::vector<RunningService>& services) {
  std::string text = absl::StrFormat(
      "%d clients send requests. Look at a page, or run a command:\n\n",
      absl::GetFlag(FLAGS_clients));
  std::string addresses;
  // The services were started from the last hop to the first.
  for (auto service = services.rbegin(); service != services.rend();
       ++service) {
    absl::StrAppendFormat(&text, "  %-12s%s\n", service->name,
                          service->status_page);
    absl::StrAppend(&addresses, " ", service->address);
  }
  for (const char* command : {"top", "doctor", "tree TRACE_ID"}) {
    absl::StrAppend(&text, "\n  ", absl::GetFlag(FLAGS_tetherctl), " ", command,
                    addresses);
  }
  absl::StrAppend(&text, "\n\nCtrl-C stops everything.");
  WriteStdoutLine(text);
}

absl::Status RunUntilStopped(const tether::Context& ctx) {
  ChainOptions options;
  options.live = true;
  options.faults = absl::GetFlag(FLAGS_faults);
  options.inventory_delay = absl::GetFlag(FLAGS_inventory_delay).value;
  options.inventory_timeout =
      absl::GetFlag(FLAGS_inventory_timeout)
          .value_or(Timeout{absl::Milliseconds(options.faults ? 100 : 800)})
          .value;
  Chain chain;
  if (absl::Status status = chain.Start(ctx, options); !status.ok()) {
    return status;
  }
  PrintAddresses(chain.running());
  const auto stub = v1::Storefront::NewStub(tether::CreateChannel(
      chain.address(), grpc::InsecureChannelCredentials()));
  std::vector<std::thread> clients;
  for (int i = 0; i < absl::GetFlag(FLAGS_clients); ++i) {
    clients.emplace_back([&ctx, &stub] { SendRequests(ctx, *stub); });
  }
  for (std::thread& client : clients) client.join();
  ctx.Wait();
  return chain.Stop();
}

int Main(int argc, char** argv) {
  ParseFlagsOrExit(argc, argv,
                   "Keeps storefront, orders and inventory running under a "
                   "small load, and shows what they do.");
  StopSignals signals;
  const absl::Status status = RunUntilStopped(signals.ctx());
  if (status.ok() || signals.ctx().Done()) return 0;
  std::cerr << "ERROR: " << status.message() << std::endl;
  return 1;
}

}  // namespace
}  // namespace shop

int main(int argc, char** argv) { return shop::Main(argc, argv); }
