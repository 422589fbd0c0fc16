// SPDX-License-Identifier: Apache-2.0
//
// The three-hop chain storefront → orders → inventory on loopback, in this
// process, with tether or without it (the control).
//
//   Chain chain({.with_tether…});
//   auto stub = chain.Stub();
//   … call …
//   chain.WaitUntilIdle(…); chain.EventOf("inventory")
//
// For tests only. Thread safety: any thread.

#ifndef TETHER_INTEGRATION_TESTS_CHAIN_H_
#define TETHER_INTEGRATION_TESTS_CHAIN_H_

#include <grpcpp/grpcpp.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/hop_event.h"
#include "services/inventory/inventory_service.h"
#include "services/orders/orders_service.h"
#include "services/storefront/storefront_service.h"
#include "shop/v1/storefront.grpc.pb.h"

namespace tether {

class Chain {
 public:
  struct Options {
    bool with_tether = true;
    shop::InventoryOptions inventory;
    shop::OrdersOptions orders;
  };

  explicit Chain(Options options);
  // Waits until all running calls have ended.
  ~Chain();

  // A stub on a new channel, with tether if the chain has it.
  std::unique_ptr<shop::v1::Storefront::Stub> Stub();

  // The number of running handlers by hop: storefront, orders, inventory. The
  // test's own interceptor counts them, so this also works without tether.
  std::array<int, 3> Running() const;
  int RunningInAll() const;

  // The largest number of handlers that ran at once on one hop.
  int MostRunning() const { return most_running_.load(); }

  // Waits until no handler runs; false if some still do after `timeout`.
  bool WaitUntilIdle(absl::Duration timeout) const;

  // The hops' records of their finished requests.
  std::vector<shop::v1::HopEvent> Events() const;

 private:
  class Gauge;
  struct Hop;

  std::unique_ptr<Hop> Serve(int index, grpc::Service& service);
  std::shared_ptr<grpc::Channel> ChannelTo(const Hop& hop) const;

  const bool with_tether_;
  std::array<std::atomic<int>, 3> running_ = {};
  std::atomic<int> most_running_{0};

  mutable absl::Mutex mutex_;
  std::vector<shop::v1::HopEvent> events_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<shop::InventoryService> inventory_service_;
  std::unique_ptr<shop::OrdersService> orders_service_;
  std::unique_ptr<shop::StorefrontService> storefront_service_;
  std::unique_ptr<Hop> inventory_;
  std::unique_ptr<Hop> orders_;
  std::unique_ptr<Hop> storefront_;
};

}  // namespace tether

#endif  // TETHER_INTEGRATION_TESTS_CHAIN_H_
