// SPDX-License-Identifier: Apache-2.0
//
// The shop as services that don't know tether, in three languages, each behind
// a tether-sidecar or not.

#ifndef SHOP_SERVICES_DEMO_SIDECAR_CHAIN_H_
#define SHOP_SERVICES_DEMO_SIDECAR_CHAIN_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "shop/v1/demo.pb.h"
#include "testing/child_process.h"
#include "tether/context.h"

namespace shop {

struct SidecarChainOptions {
  // sidecar/apps/run.sh.
  std::string run;

  absl::Duration inventory_delay = absl::Seconds(2);

  // If false, the services call each other.
  bool sidecars = true;
};

// storefront (Node) → orders (Python) → inventory (C++), on free ports of the
// loopback interface. The destructor stops all processes that still run.
//
// Thread safety: none.
class SidecarChain {
 public:
  SidecarChain() = default;
  SidecarChain(const SidecarChain&) = delete;
  SidecarChain& operator=(const SidecarChain&) = delete;

  // Starts the services, and waits until each accepts requests or `ctx` ends.
  // The sidecar and inventory are ../../sidecar/tether-sidecar and
  // ../../sidecar/apps/plain_inventory, relative to the folder of this
  // process's program. Call it once.
  absl::Status Start(const tether::Context& ctx,
                     const SidecarChainOptions& options);

  // host:port for the client. Requires that Start() succeeded.
  const std::string& address() const { return address_; }

  // The events of each service's next request, from the client outwards. Events
  // that haven't arrived when `ctx` ends are left out.
  std::vector<v1::HopEvent> ReadHops(const tether::Context& ctx);

  // Stops all processes. Returns an error if one of them didn't exit cleanly.
  absl::Status Stop();

 private:
  // A service, and what is beside it.
  struct Service {
    explicit Service(const std::string& name)
        : app(name), sidecar(name + "'s sidecar") {}

    tether::testing::ChildProcess app;
    tether::testing::ChildProcess sidecar;
    std::vector<std::string> command;
    std::string callee_flag;  // "" if it calls nobody
  };

  // Starts a service that calls `callee`, on a port (0: a free one), and sets
  // `address` to its own.
  absl::Status StartApp(const tether::Context& ctx, Service& service,
                        const std::string& callee, int port,
                        std::string* address);

  // Starts a service that calls address_ through its sidecar, and sets address_
  // to where others reach it.
  absl::Status StartBehindSidecar(const tether::Context& ctx, Service& service,
                                  const std::string& program);

  // Sends a bad request, which returns at once. The first request loads code
  // and connects, and would be slow.
  absl::Status WarmUp(const tether::Context& ctx);

  Service storefront_{"storefront"};
  Service orders_{"orders"};
  Service inventory_{"inventory"};
  std::string address_;
};

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_SIDECAR_CHAIN_H_
