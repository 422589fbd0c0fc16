// SPDX-License-Identifier: Apache-2.0
//
// The chain storefront → orders → inventory on loopback, for tests of the
// report's blame. The test sets the handlers, and links can be slow.
//
//   BudgetChain::Options options;
//   options.handlers[BudgetChain::kInventory] = …;
//   BudgetChain chain(options);
//   chain.Call(absl::Seconds(1)).status
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_BUDGET_CHAIN_H_
#define TETHER_INTEGRATION_TESTS_BUDGET_CHAIN_H_

#include <grpcpp/grpcpp.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "testing/tcp_proxy.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/internal/mutex.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {

// Thread safety: any thread.
class BudgetChain {
 public:
  static constexpr int kStorefront = 0;
  static constexpr int kOrders = 1;
  static constexpr int kInventory = 2;
  static constexpr int kHops = 3;

  // Makes one call to the next hop.
  using CallNext =
      std::function<grpc::Status(const Context& ctx, const CallOptions&)>;

  // The work of a hop. It runs on a thread that it may block, whatever the
  // server's API. `sc` is for setting trailing metadata.
  using Handler = std::function<grpc::Status(
      const Context& ctx, const CallNext& next, grpc::ServerContextBase& sc)>;

  struct Options {
    // If a hop has no handler, it calls the next hop and returns its status.
    // The last hop returns OK.
    std::array<Handler, kHops> handlers;

    // The hops that use gRPC's callback API; the others are sync.
    std::array<bool, kHops> callback_api = {};

    // Link i leads to hop i.
    std::array<absl::Duration, kHops> link_delays = {};

    ServerOptions server;                      // of all hops, but for
    std::array<Context, kHops> base_contexts;  // ServerOptions::base_context
    ClientOptions client;  // of all channels, the test's too
    std::string service_config;
  };

  explicit BudgetChain(Options options);
  // Waits until all handlers have returned.
  ~BudgetChain();
  BudgetChain(const BudgetChain&) = delete;
  BudgetChain& operator=(const BudgetChain&) = delete;

  struct Result {
    grpc::Status status;
    v1::CallReport report;
  };

  // Storefront.GetOrderPage, as a client.
  Result Call(absl::Duration timeout);
  Result Call(const Context& ctx, const CallOptions& options = {});

  // Connects all links. False if that takes more than `timeout`.
  bool Connect(absl::Duration timeout);

  // Stalls the link to `hop`: it forwards no bytes any more.
  void StallLink(int hop) { links_[hop].proxy->Stall(); }
  // Resets the connection of the link to `hop`.
  void CutLink(int hop) {
    links_[hop].proxy->Cut(testing::TcpProxy::How::kReset);
  }

  grpc::Server& server(int hop) { return *servers_[hop]; }

 private:
  class SyncStorefront;
  class SyncOrders;
  class SyncInventory;
  class CallbackStorefront;
  class CallbackOrders;
  class CallbackInventory;

  struct Link {
    std::unique_ptr<testing::TcpProxy> proxy;
    std::shared_ptr<grpc::Channel> channel;
    std::function<grpc::Status(grpc::ClientContext*)> call;
  };

  void Serve(int hop, absl::Duration delay);
  grpc::Status Handle(int hop, const Context& ctx, grpc::ServerContextBase& sc);
  grpc::ServerUnaryReactor* HandleOnThread(int hop,
                                           grpc::CallbackServerContext* sc);

  const Options options_;
  std::array<std::unique_ptr<grpc::Service>, kHops> services_;
  std::array<std::unique_ptr<grpc::Server>, kHops> servers_;
  std::array<Link, kHops> links_;

  internal::Mutex mutex_;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
};

// The report's entry for the call to `hop`; null if the request didn't get
// there. If a hop made several calls, returns the last one.
const v1::CallReport* CallTo(int hop, const v1::CallReport& report);

}  // namespace tether

#endif  // TETHER_INTEGRATION_TESTS_BUDGET_CHAIN_H_
