// SPDX-License-Identifier: Apache-2.0
//
// Values that cross: which values a shop's storefront accepts from strangers,
// which it adds, and which its own warehouse and a partner's receive.
//
//   stranger → storefront (at the edge) ⇉ warehouse
//                                       ⇉ partner (some values are withheld)
//
// Everything runs in one process here. Over a network it works the same way.

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "shop/v1/inventory.grpc.pb.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/propagation/b3.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/codecs.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/default.h"
#include "tether/propagation/header.h"
#include "tether/propagation/proto_codec.h"
#include "tether/propagation/relay.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

// Our own values: each key names a value and its type.
inline constexpr tether::Key<int> kPriority{"priority"};
inline constexpr tether::Key<GetStockRequest> kAskedFor{"asked_for"};

// A type with a format of its own.
enum class Region { kEurope, kAmerica };
inline constexpr tether::Key<Region> kRegion{"region"};

tether::HeaderCodec<Region> RegionCodec() {
  tether::HeaderCodec<Region> codec;
  codec.parse = [](std::string_view text) -> std::optional<Region> {
    if (text == "eu") return Region::kEurope;
    if (text == "us") return Region::kAmerica;
    return std::nullopt;  // malformed, or newer than this program
  };
  codec.format = [](const Region& region) -> std::optional<std::string> {
    return region == Region::kEurope ? "eu" : "us";
  };
  return codec;
}

// Carries our services' values, the most important first.
std::shared_ptr<const tether::Propagator> OurPropagator() {
  static const auto& propagator =
      *new std::shared_ptr<const tether::Propagator>(
          std::make_shared<tether::CompositePropagator>(
              tether::DefaultPropagator(),
              tether::HeaderPropagator<int>(kPriority, "x-priority",
                                            tether::IntCodec(0, 9)),
              tether::HeaderPropagator<GetStockRequest>(
                  kAskedFor, "x-asked-for-bin",
                  tether::ProtoCodec<GetStockRequest>()),
              tether::HeaderPropagator<Region>(kRegion, "x-region",
                                               RegionCodec()),
              tether::RelayPropagator(
                  std::vector<std::string>{"x-canary", "x-session-bin"})));
  return propagator;
}

// For a migration: some services use B3, and some W3C.
std::shared_ptr<const tether::Propagator> BothTraces() {
  tether::B3Options options;
  options.write = tether::B3Format::kSingle;
  return std::make_shared<tether::CompositePropagator>(
      tether::TraceContextPropagator(), tether::B3Propagator(options));
}

// For a server where traces begin, such as the first one behind a load balancer
// that sends none. About one in a hundred new traces is sampled.
std::shared_ptr<const tether::Propagator> WhereTracesBegin() {
  tether::TraceContextOptions options;
  options.start_new = true;
  options.sampled_by = [](const tether::Context&,
                          const tether::TraceContext& trace) {
    return trace.trace_id[15] % 100 == 0;
  };
  return std::make_shared<tether::CompositePropagator>(
      tether::TraceContextPropagator(options), tether::RequestIdPropagator(),
      tether::BaggagePropagator());
}

tether::ServerOptions AtTheEdge() {
  // Our own set, which also makes a request id if none arrived.
  tether::RequestIdOptions ids;
  ids.make_if_absent = true;
  tether::ServerOptions options;
  options.propagator = std::make_shared<tether::CompositePropagator>(
      OurPropagator(), tether::RequestIdPropagator(ids));
  // Strangers can call this server. It accepts one of their headers.
  options.edge.emplace();
  options.edge->keep_headers = {"x-canary"};
  // It ignores their traces and begins new ones. About one in a hundred is
  // sampled.
  options.edge->sampled_by = [](const tether::Context&,
                                const tether::TraceContext& trace) {
    return trace.trace_id[15] % 100 == 0;
  };
  return options;
}

tether::ClientOptions ForPartners() {
  tether::ClientOptions options;
  options.propagator = OurPropagator();
  options.redact.headers = {"x-priority", "x-asked-for-bin"};
  options.redact.baggage_keys = {"user.email"};
  return options;
}

constexpr char kStrangersTrace[] = "0af7651916cd43dd8448eb211c80319c";

class Storefront final : public Inventory::Service {
 public:
  Storefront(std::unique_ptr<Inventory::Stub> warehouse,
             std::unique_ptr<Inventory::Stub> partner)
      : warehouse_(std::move(warehouse)), partner_(std::move(partner)) {}

 private:
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest* request,
                        GetStockResponse* response) override {
    tether::Context ctx = tether::ContextOf(*server_context);
    std::printf("storefront: baggage \"%s\"\n",
                std::string(tether::BaggageOf(ctx).header()).c_str());

    // Every service further down can read these.
    ctx = tether::WithBaggage(ctx, tether::BaggageOf(ctx)
                                       .With("tenant", "acme & sons")
                                       .With("user.email", "a@b.example"));
    // Only code that has the key can read these.
    ctx = tether::WithValue(ctx, kPriority, 3);
    ctx = tether::WithValue(ctx, kAskedFor, *request);
    ctx = tether::WithValue(ctx, kRegion, Region::kEurope);

    // Another thread has no context: Bind passes it on.
    GetStockResponse of_partner;
    const auto ask_partner = [&] {
      grpc::ClientContext call;  // uses Current()
      partner_->GetStock(&call, *request, &of_partner);
    };
    std::thread(tether::Bind(ctx, ask_partner)).join();

    tether::ClientCall call(ctx);
    const grpc::Status status = warehouse_->GetStock(&call, *request, response);
    response->set_stock(response->stock() + of_partner.stock());
    return status;
  }

  const std::unique_ptr<Inventory::Stub> warehouse_;
  const std::unique_ptr<Inventory::Stub> partner_;
};

// Prints the values that it receives.
class Warehouse final : public Inventory::Service {
 public:
  explicit Warehouse(const char* name) : name_(name) {}

 private:
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest*,
                        GetStockResponse* response) override {
    const tether::Context ctx = tether::ContextOf(*server_context);
    std::printf("%s:\n", name_);
    const std::string* id = tether::RequestIdOf(ctx);
    std::printf("  request id of %zu digits\n", id == nullptr ? 0 : id->size());
    const tether::TraceContext* trace = tether::TraceOf(ctx);
    std::printf("  trace: %s\n", trace == nullptr ? "none"
                                 : trace->TraceIdHex() == kStrangersTrace
                                     ? "the stranger's"
                                     : "our own");
    if (auto tenant = tether::BaggageOf(ctx).Get("tenant")) {
      std::printf("  tenant: %s\n", std::string(*tenant).c_str());
    }
    if (auto email = tether::BaggageOf(ctx).Get("user.email")) {
      std::printf("  user.email: %s\n", std::string(*email).c_str());
    }
    if (const int* priority = ctx.Value(kPriority)) {
      std::printf("  priority: %d\n", *priority);
    }
    if (const GetStockRequest* asked_for = ctx.Value(kAskedFor)) {
      std::printf("  asked for: %s\n", asked_for->product_id().c_str());
    }
    if (const Region* region = ctx.Value(kRegion)) {
      std::printf("  region: %s\n",
                  *region == Region::kEurope ? "Europe" : "America");
    }
    // No key exists for this header here. It is passed on anyway.
    std::printf("  x-canary came %zu times\n",
                server_context->client_metadata().count("x-canary"));
    response->set_stock(21);
    return grpc::Status::OK;
  }

  const char* const name_;
};

std::unique_ptr<grpc::Server> Serve(Inventory::Service& service,
                                    tether::ServerOptions options,
                                    std::string* address) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  tether::InstallServer(builder, std::move(options));
  auto server = builder.BuildAndStart();
  *address = "127.0.0.1:" + std::to_string(port);
  return server;
}

std::unique_ptr<Inventory::Stub> Connect(const std::string& address,
                                         tether::ClientOptions options) {
  return Inventory::NewStub(tether::CreateChannel(
      address, grpc::InsecureChannelCredentials(), std::move(options)));
}

// A peer that uses only B3, and a peer that uses both.
void CarryB3() {
  const auto both = BothTraces();
  const tether::Context ctx = both->Extract(
      tether::MapCarrier{
          {"b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"}},
      tether::Background());
  tether::MapCarrier headers;
  both->Inject(ctx, headers);
  for (const auto& [name, value] : headers.map()) {
    const bool same =
        value.find(tether::TraceOf(ctx)->TraceIdHex()) != std::string::npos;
    std::printf("%s: %s trace\n", name.c_str(), same ? "the same" : "another");
  }
}

void BeginTraces() {
  // A request that brought no trace.
  const tether::MapCarrier headers;
  const auto usual = tether::DefaultPropagator();
  tether::Context ctx = usual->Extract(headers, tether::Background());
  std::printf("by default: %s\n",
              tether::TraceOf(ctx) == nullptr ? "no trace" : "a trace");
  ctx = WhereTracesBegin()->Extract(headers, tether::Background());
  std::printf("with start_new: %s\n",
              tether::TraceOf(ctx) == nullptr ? "no trace" : "a trace");

  // Work that no request started.
  ctx = tether::WithTrace(tether::Background(),
                          tether::NewTrace(/*sampled=*/true));
  std::printf("in code: %s\n",
              tether::TraceOf(ctx)->sampled() ? "sampled" : "not sampled");
}

int main() {
  tether::ServerOptions server_options;
  server_options.propagator = OurPropagator();
  tether::ClientOptions client_options;
  client_options.propagator = OurPropagator();

  std::string warehouse_address, partner_address, storefront_address;
  Warehouse warehouse("warehouse"), partner("partner");
  const auto warehouse_server =
      Serve(warehouse, server_options, &warehouse_address);
  const auto partner_server = Serve(partner, server_options, &partner_address);
  Storefront storefront(Connect(warehouse_address, client_options),
                        Connect(partner_address, ForPartners()));
  const auto storefront_server =
      Serve(storefront, AtTheEdge(), &storefront_address);

  // An outside client, without tether, that sends our internal headers.
  const auto stub = Inventory::NewStub(grpc::CreateChannel(
      storefront_address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext call;
  call.AddMetadata("traceparent", std::string("00-") + kStrangersTrace +
                                      "-b7ad6b7169203331-01");
  call.AddMetadata("baggage", "tenant=somebody-else");
  call.AddMetadata("x-priority", "9");
  call.AddMetadata("x-canary", "blue");
  call.AddMetadata("x-canary", "green");
  GetStockRequest request;
  request.set_product_id("tea");
  GetStockResponse response;
  const grpc::Status status = stub->GetStock(&call, request, &response);
  std::printf("stock: %d%s\n", static_cast<int>(response.stock()),
              status.error_message().c_str());

  CarryB3();
  BeginTraces();
}
