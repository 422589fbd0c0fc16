// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/budget_chain.h"

#include <utility>

#include "absl/time/clock.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "shop/v1/orders.grpc.pb.h"
#include "shop/v1/storefront.grpc.pb.h"
#include "tether/grpc/testing/loopback.h"

namespace tether {

using shop::v1::GetOrderPageRequest;
using shop::v1::GetOrderPageResponse;
using shop::v1::GetOrderRequest;
using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;
using shop::v1::Order;
using shop::v1::Orders;
using shop::v1::Storefront;

class BudgetChain::SyncStorefront final : public Storefront::Service {
 public:
  explicit SyncStorefront(BudgetChain& chain) : chain_(chain) {}
  grpc::Status GetOrderPage(grpc::ServerContext* sc, const GetOrderPageRequest*,
                            GetOrderPageResponse*) override {
    return chain_.Handle(kStorefront, ContextOf(*sc), *sc);
  }

 private:
  BudgetChain& chain_;
};

class BudgetChain::SyncOrders final : public Orders::Service {
 public:
  explicit SyncOrders(BudgetChain& chain) : chain_(chain) {}
  grpc::Status GetOrder(grpc::ServerContext* sc, const GetOrderRequest*,
                        Order*) override {
    return chain_.Handle(kOrders, ContextOf(*sc), *sc);
  }

 private:
  BudgetChain& chain_;
};

class BudgetChain::SyncInventory final : public Inventory::Service {
 public:
  explicit SyncInventory(BudgetChain& chain) : chain_(chain) {}
  grpc::Status GetStock(grpc::ServerContext* sc, const GetStockRequest*,
                        GetStockResponse*) override {
    return chain_.Handle(kInventory, ContextOf(*sc), *sc);
  }

 private:
  BudgetChain& chain_;
};

class BudgetChain::CallbackStorefront final
    : public Storefront::CallbackService {
 public:
  explicit CallbackStorefront(BudgetChain& chain) : chain_(chain) {}
  grpc::ServerUnaryReactor* GetOrderPage(grpc::CallbackServerContext* sc,
                                         const GetOrderPageRequest*,
                                         GetOrderPageResponse*) override {
    return chain_.HandleOnThread(kStorefront, sc);
  }

 private:
  BudgetChain& chain_;
};

class BudgetChain::CallbackOrders final : public Orders::CallbackService {
 public:
  explicit CallbackOrders(BudgetChain& chain) : chain_(chain) {}
  grpc::ServerUnaryReactor* GetOrder(grpc::CallbackServerContext* sc,
                                     const GetOrderRequest*, Order*) override {
    return chain_.HandleOnThread(kOrders, sc);
  }

 private:
  BudgetChain& chain_;
};

class BudgetChain::CallbackInventory final : public Inventory::CallbackService {
 public:
  explicit CallbackInventory(BudgetChain& chain) : chain_(chain) {}
  grpc::ServerUnaryReactor* GetStock(grpc::CallbackServerContext* sc,
                                     const GetStockRequest*,
                                     GetStockResponse*) override {
    return chain_.HandleOnThread(kInventory, sc);
  }

 private:
  BudgetChain& chain_;
};

BudgetChain::BudgetChain(Options options) : options_(std::move(options)) {
  const auto& callback = options_.callback_api;
  if (callback[kStorefront]) {
    services_[kStorefront] = std::make_unique<CallbackStorefront>(*this);
  } else {
    services_[kStorefront] = std::make_unique<SyncStorefront>(*this);
  }
  if (callback[kOrders]) {
    services_[kOrders] = std::make_unique<CallbackOrders>(*this);
  } else {
    services_[kOrders] = std::make_unique<SyncOrders>(*this);
  }
  if (callback[kInventory]) {
    services_[kInventory] = std::make_unique<CallbackInventory>(*this);
  } else {
    services_[kInventory] = std::make_unique<SyncInventory>(*this);
  }
  for (int hop = kHops; hop-- > 0;) Serve(hop, options_.link_delays[hop]);

  links_[kStorefront].call =
      [stub = std::shared_ptr<Storefront::Stub>(Storefront::NewStub(
           links_[kStorefront].channel))](grpc::ClientContext* call) {
        GetOrderPageResponse response;
        return stub->GetOrderPage(call, GetOrderPageRequest(), &response);
      };
  links_[kOrders].call = [stub = std::shared_ptr<Orders::Stub>(
                              Orders::NewStub(links_[kOrders].channel))](
                             grpc::ClientContext* call) {
    Order response;
    return stub->GetOrder(call, GetOrderRequest(), &response);
  };
  links_[kInventory].call =
      [stub = std::shared_ptr<Inventory::Stub>(Inventory::NewStub(
           links_[kInventory].channel))](grpc::ClientContext* call) {
        GetStockResponse response;
        return stub->GetStock(call, GetStockRequest(), &response);
      };
}

BudgetChain::~BudgetChain() {
  // Destroys the front first, so that no hop calls a server that is gone.
  for (int hop = 0; hop < kHops; ++hop) {
    links_[hop].proxy->Cut(testing::TcpProxy::How::kClose);
    servers_[hop]->Shutdown();
    servers_[hop]->Wait();
  }
  internal::MutexLock lock(mutex_);
  for (std::thread& thread : threads_) thread.join();
}

void BudgetChain::Serve(int hop, absl::Duration delay) {
  grpc::ServerBuilder builder;
  builder.RegisterService(services_[hop].get());
  ServerOptions server = options_.server;
  server.base_context = options_.base_contexts[hop];
  InstallServer(builder, std::move(server));
  testing::LoopbackServer started = testing::ListenOnLoopback(builder);
  servers_[hop] = std::move(started.server);
  links_[hop].proxy =
      std::make_unique<testing::TcpProxy>(started.address, delay);
  grpc::ChannelArguments arguments = testing::OwnConnection();
  if (!options_.service_config.empty()) {
    arguments.SetServiceConfigJSON(options_.service_config);
  }
  links_[hop].channel = CreateChannel(links_[hop].proxy->address(),
                                      grpc::InsecureChannelCredentials(),
                                      options_.client, arguments);
}

bool BudgetChain::Connect(absl::Duration timeout) {
  const absl::Time give_up = absl::Now() + timeout;
  for (const Link& link : links_) {
    if (!link.channel->WaitForConnected(absl::ToChronoTime(give_up))) {
      return false;
    }
  }
  return true;
}

grpc::Status BudgetChain::Handle(int hop, const Context& ctx,
                                 grpc::ServerContextBase& sc) {
  const CallNext next = [this, hop](const Context& with,
                                    const CallOptions& options) {
    if (hop + 1 == kHops) return grpc::Status::OK;
    ClientCall call(with, options);
    return links_[hop + 1].call(&call);
  };
  const Handler& handler = options_.handlers[hop];
  return handler ? handler(ctx, next, sc) : next(ctx, {});
}

grpc::ServerUnaryReactor* BudgetChain::HandleOnThread(
    int hop, grpc::CallbackServerContext* sc) {
  grpc::ServerUnaryReactor* reactor = sc->DefaultReactor();
  internal::MutexLock lock(mutex_);
  threads_.emplace_back([this, hop, sc, reactor, ctx = ContextOf(*sc)] {
    reactor->Finish(Handle(hop, ctx, *sc));
  });
  return reactor;
}

BudgetChain::Result BudgetChain::Call(absl::Duration timeout) {
  const auto [ctx, cancel] = WithTimeout(Background(), timeout);
  return Call(ctx);
}

BudgetChain::Result BudgetChain::Call(const Context& ctx,
                                      const CallOptions& options) {
  ClientCall call(ctx, options);
  Result result;
  result.status = links_[kStorefront].call(&call);
  result.report = call.report();
  return result;
}

const v1::CallReport* CallTo(int hop, const v1::CallReport& report) {
  const v1::CallReport* call = &report;
  for (int i = 0; i < hop; ++i) {
    if (!call->has_report() || call->report().calls_size() == 0) return nullptr;
    call = &call->report().calls(call->report().calls_size() - 1);
  }
  return call;
}

}  // namespace tether
