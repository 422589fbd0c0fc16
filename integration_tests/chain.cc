// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/chain.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/loopback.h"

namespace tether {

// Counts the handlers of one hop from the arrival of their headers to the end
// of the RPC.
class Chain::Gauge final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  Gauge(std::atomic<int>& running, std::atomic<int>& most)
      : running_(running), most_(most) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new Counter(*this);
  }

 private:
  class Counter final : public grpc::experimental::Interceptor {
   public:
    explicit Counter(Gauge& gauge) : gauge_(gauge) {}
    ~Counter() override {
      if (entered_) --gauge_.running_;
    }
    void Intercept(
        grpc::experimental::InterceptorBatchMethods* methods) override {
      if (methods->QueryInterceptionHookPoint(
              grpc::experimental::InterceptionHookPoints::
                  POST_RECV_INITIAL_METADATA)) {
        entered_ = true;
        const int now = ++gauge_.running_;
        int most = gauge_.most_.load();
        while (now > most && !gauge_.most_.compare_exchange_weak(most, now)) {
        }
      }
      methods->Proceed();
    }

   private:
    Gauge& gauge_;
    bool entered_ = false;
  };

  std::atomic<int>& running_;
  std::atomic<int>& most_;
};

struct Chain::Hop {
  std::unique_ptr<grpc::Server> server;
  std::string address;

  ~Hop() {
    // No deadline, because the control's handlers end by themselves.
    server->Shutdown();
    server->Wait();
  }
};

Chain::Chain(Options options) : with_tether_(options.with_tether) {
  const shop::HopSink sink = [this](const shop::v1::HopEvent& event) {
    absl::MutexLock lock(&mutex_);
    events_.push_back(event);
  };
  inventory_service_ =
      std::make_unique<shop::InventoryService>(options.inventory, sink);
  inventory_ = Serve(2, *inventory_service_);
  orders_service_ = std::make_unique<shop::OrdersService>(
      ChannelTo(*inventory_), options.orders, sink);
  orders_ = Serve(1, *orders_service_);
  storefront_service_ = std::make_unique<shop::StorefrontService>(
      ChannelTo(*orders_), shop::StorefrontOptions(), sink);
  storefront_ = Serve(0, *storefront_service_);
}

Chain::~Chain() {
  // Destroys the first hop first, so that no hop calls a server that is gone.
  storefront_.reset();
  orders_.reset();
  inventory_.reset();
}

std::unique_ptr<Chain::Hop> Chain::Serve(int index, grpc::Service& service) {
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      creators;
  creators.push_back(std::make_unique<Gauge>(running_[index], most_running_));
  if (with_tether_) {
    creators.push_back(std::make_unique<ServerInterceptorFactory>());
  }
  auto hop = std::make_unique<Hop>();
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  builder.experimental().SetInterceptorCreators(std::move(creators));
  testing::LoopbackServer started = testing::ListenOnLoopback(builder);
  hop->server = std::move(started.server);
  hop->address = std::move(started.address);
  return hop;
}

std::shared_ptr<grpc::Channel> Chain::ChannelTo(const Hop& hop) const {
  const grpc::ChannelArguments arguments = testing::OwnConnection();
  const auto credentials = grpc::InsecureChannelCredentials();
  return with_tether_
             ? tether::CreateChannel(hop.address, credentials, {}, arguments)
             : grpc::CreateCustomChannel(hop.address, credentials, arguments);
}

std::unique_ptr<shop::v1::Storefront::Stub> Chain::Stub() {
  return shop::v1::Storefront::NewStub(ChannelTo(*storefront_));
}

std::array<int, 3> Chain::Running() const {
  return {running_[0].load(), running_[1].load(), running_[2].load()};
}

int Chain::RunningInAll() const {
  const std::array<int, 3> running = Running();
  return running[0] + running[1] + running[2];
}

bool Chain::WaitUntilIdle(absl::Duration timeout) const {
  const absl::Time give_up = absl::Now() + timeout;
  while (RunningInAll() != 0) {
    if (absl::Now() > give_up) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

std::vector<shop::v1::HopEvent> Chain::Events() const {
  absl::MutexLock lock(&mutex_);
  return events_;
}

}  // namespace tether
