// SPDX-License-Identifier: Apache-2.0
//
// OpenTelemetry: a span for each RPC, and the application's own between them.
//
// The storefront's handler also works on another thread, and calls the
// warehouse. Everything runs in one process here. Over a network it works the
// same way.

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "opentelemetry/exporters/memory/in_memory_span_exporter.h"
#include "opentelemetry/sdk/trace/simple_processor.h"
#include "opentelemetry/sdk/trace/span_data.h"
#include "opentelemetry/sdk/trace/tracer_provider.h"
#include "opentelemetry/trace/provider.h"
#include "opentelemetry/trace/scope.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/opentelemetry/interceptors.h"
#include "tether/opentelemetry/span.h"

namespace memory = opentelemetry::exporter::memory;
namespace nostd = opentelemetry::nostd;
namespace sdk = opentelemetry::sdk::trace;
namespace trace = opentelemetry::trace;
using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

nostd::shared_ptr<trace::Tracer> Tracer() {
  return trace::Provider::GetTracerProvider()->GetTracer("example");
}

class Warehouse final : public Inventory::Service {
  grpc::Status GetStock(grpc::ServerContext*, const GetStockRequest*,
                        GetStockResponse* response) override {
    // The server span is active: this is its child.
    const auto span = Tracer()->StartSpan("count the shelves");
    response->set_stock(42);
    span->End();
    return grpc::Status::OK;
  }
};

class Storefront final : public Inventory::Service {
 public:
  explicit Storefront(std::unique_ptr<Inventory::Stub> warehouse)
      : warehouse_(std::move(warehouse)) {}

 private:
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest* request,
                        GetStockResponse* response) override {
    const tether::Context ctx = tether::ContextOf(*server_context);
    // A thread doesn't inherit the active span of another thread.
    std::thread audit([ctx] {
      const auto active = tether::ActivateSpan(ctx);
      Tracer()->StartSpan("audit")->End();
    });
    audit.join();
    const auto span = Tracer()->StartSpan("ask the warehouse");
    const trace::Scope scope(span);
    tether::ClientCall call(ctx);
    return warehouse_->GetStock(&call, *request, response);
  }

  const std::unique_ptr<Inventory::Stub> warehouse_;
};

std::unique_ptr<grpc::Server> Serve(Inventory::Service& service,
                                    std::string* address) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  tether::InstallServerWithOpenTelemetry(builder);
  auto server = builder.BuildAndStart();
  *address = "127.0.0.1:" + std::to_string(port);
  return server;
}

std::unique_ptr<Inventory::Stub> Connect(const std::string& address) {
  return Inventory::NewStub(tether::CreateChannelWithOpenTelemetry(
      address, grpc::InsecureChannelCredentials()));
}

using SpanId = std::string;

SpanId Id(const trace::SpanId& id) {
  return SpanId(reinterpret_cast<const char*>(id.Id().data()), id.Id().size());
}

void PrintBelow(const SpanId& parent, int depth,
                const std::multimap<SpanId, const sdk::SpanData*>& by_parent) {
  const auto [begin, end] = by_parent.equal_range(parent);
  for (auto it = begin; it != end; ++it) {
    const sdk::SpanData& span = *it->second;
    const char* kind = span.GetSpanKind() == trace::SpanKind::kServer ? "server"
                       : span.GetSpanKind() == trace::SpanKind::kClient
                           ? "client"
                           : "within";
    std::printf("%*s%s %s\n", 2 * depth, "", kind,
                std::string(span.GetName()).c_str());
    PrintBelow(Id(span.GetSpanId()), depth + 1, by_parent);
  }
}

int main() {
  // As in any program with OpenTelemetry, except for the exporter.
  auto exporter = std::make_unique<memory::InMemorySpanExporter>();
  const std::shared_ptr<memory::InMemorySpanData> exported =
      exporter->GetData();
  trace::Provider::SetTracerProvider(
      nostd::shared_ptr<trace::TracerProvider>(new sdk::TracerProvider(
          std::make_unique<sdk::SimpleSpanProcessor>(std::move(exporter)))));

  std::string warehouse_address, storefront_address;
  Warehouse warehouse;
  const auto warehouse_server = Serve(warehouse, &warehouse_address);
  Storefront storefront(Connect(warehouse_address));
  const auto storefront_server = Serve(storefront, &storefront_address);
  {
    auto [ctx, cancel] =
        tether::WithTimeout(tether::Background(), absl::Seconds(20));
    tether::ClientCall call(ctx);
    GetStockResponse response;
    const grpc::Status status =
        Connect(storefront_address)
            ->GetStock(&call, GetStockRequest(), &response);
    std::printf("stock: %d%s\n", static_cast<int>(response.stock()),
                status.error_message().c_str());
  }

  const std::vector<std::unique_ptr<sdk::SpanData>> spans =
      exported->GetSpans();
  std::multimap<SpanId, const sdk::SpanData*> by_parent;
  for (const auto& span : spans) {
    by_parent.emplace(Id(span->GetParentSpanId()), span.get());
  }
  PrintBelow(SpanId(8, '\0'), 0, by_parent);
}
