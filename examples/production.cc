// SPDX-License-Identifier: Apache-2.0
//
// A service's options for production, its own metrics and access log, a switch
// that turns tether off, and the figures to export. The program shows what a
// handler knows while only one side of a call has tether.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/context.h"
#include "tether/context_stats.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/request_summary.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/propagation/default.h"
#include "tether/propagation/request_id.h"

namespace {

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

// Stands for the service's library of metrics.
void CountRequest(const std::string& method, grpc::StatusCode code,
                  absl::Duration spent) {
  (void)method, (void)code, (void)spent;
}

// Called once for each request. It must not block.
void OnFinish(const tether::RequestSummary& request) {
  CountRequest(request.method, request.code, request.spent);
  if (request.code == grpc::StatusCode::OK) return;
  const std::string* id = tether::RequestIdOf(request.context);
  std::printf("  %s: status %d, %s, request id %s\n", request.method.c_str(),
              request.code,
              std::string(tether::EndReasonName(request.reason)).c_str(),
              id == nullptr ? "unknown" : id->c_str());
}

tether::ServerOptions ForProduction(const tether::Context& base) {
  tether::ServerOptions options;
  options.on_finish = OnFinish;
  options.base_context = base;  // for ShutdownServer
  options.time.max_timeout = absl::Minutes(1);
  options.time.default_timeout = absl::Seconds(10);
  return options;
}

// The switch. `with_tether` comes from a flag of the service.
void Install(grpc::ServerBuilder& builder, bool with_tether,
             const tether::Context& base) {
  if (with_tether) tether::InstallServer(builder, ForProduction(base));
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address,
                                       bool with_tether) {
  const auto credentials = grpc::InsecureChannelCredentials();
  if (!with_tether) return grpc::CreateChannel(address, credentials);
  return tether::CreateChannel(address, credentials);
}

// Call it from the service's exporter of metrics, every few seconds.
void ExportFigures(
    const std::function<void(const char* name, int64_t value)>& set) {
  const tether::GrpcStats calls = tether::GetGrpcStats();
  set("server_calls", calls.server_calls);
  set("client_calls", calls.client_calls);
  set("watches", calls.watches);
  set("bad_timeouts_total", calls.bad_timeouts);
  set("bad_reports_total", calls.bad_reports);
  set("bad_packed_total", calls.bad_packed);
  set("shed_total", calls.shed);
  set("oversized_total", calls.oversized);
  set("contexts_not_found_total", calls.contexts_not_found);
  set("exceptions_total", calls.exceptions);
  const tether::ContextStats contexts = tether::GetContextStats();
  set("contexts", contexts.contexts);
  set("callbacks", contexts.callbacks);
  set("timers", contexts.timers);
  set("callback_exceptions_total", contexts.callback_exceptions);
  // Or the propagator in your own options.
  set("values_dropped_total", tether::DefaultPropagator()->Dropped());
}

class InventoryService final : public Inventory::Service {
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest*, GetStockResponse*) override {
    const tether::Context ctx = tether::ContextOf(*server_context);
    const bool deadline = ctx.Deadline() != absl::InfiniteFuture();
    std::printf("%s deadline, %s request id\n", deadline ? "a" : "no",
                tether::RequestIdOf(ctx) != nullptr ? "a" : "no");
    return {grpc::StatusCode::NOT_FOUND, "no such product"};
  }
};

void Call(Inventory::Stub& stub, bool with_tether) {
  GetStockResponse response;
  if (with_tether) {
    const tether::Context request =
        tether::WithRequestId(tether::Background(), "r-1");
    auto [ctx, cancel] = tether::WithTimeout(request, absl::Seconds(5));
    tether::ClientCall call(ctx);
    stub.GetStock(&call, GetStockRequest(), &response);
  } else {
    grpc::ClientContext call;
    call.set_deadline(std::chrono::system_clock::now() +
                      std::chrono::seconds(5));
    stub.GetStock(&call, GetStockRequest(), &response);
  }
}

void Try(bool client_has_tether, bool server_has_tether) {
  auto [base, cancel_base] = tether::WithCancel(tether::Background());
  InventoryService inventory;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&inventory);
  Install(builder, server_has_tether, base);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::printf("client %s, server %s: ", client_has_tether ? "with" : "without",
              server_has_tether ? "with" : "without");
  Call(*Inventory::NewStub(
           Connect("127.0.0.1:" + std::to_string(port), client_has_tether)),
       client_has_tether);
  tether::ShutdownServer(*server, cancel_base, absl::Seconds(5));
}

}  // namespace

int main() {
  Try(/*client_has_tether=*/false, /*server_has_tether=*/false);
  Try(/*client_has_tether=*/false, /*server_has_tether=*/true);
  Try(/*client_has_tether=*/true, /*server_has_tether=*/false);
  Try(/*client_has_tether=*/true, /*server_has_tether=*/true);

  int figures = 0;
  ExportFigures([&figures](const char*, int64_t) { ++figures; });
  std::printf("%d figures\n", figures);
}
