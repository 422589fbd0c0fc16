// SPDX-License-Identifier: Apache-2.0
//
// The three services as processes on this machine.

#ifndef SHOP_SERVICES_DEMO_CHAIN_H_
#define SHOP_SERVICES_DEMO_CHAIN_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "shop/v1/demo.pb.h"
#include "testing/child_process.h"
#include "tether/context.h"

namespace shop {

struct ChainOptions {
  absl::Duration inventory_delay = absl::Milliseconds(5);
  absl::Duration inventory_timeout = absl::Milliseconds(50);
  bool fallback = true;

  // If true, runs the programs NAME_live with --live. They show what they do,
  // on a status page and through tether.v1.Inspector.
  bool live = false;
  // If true, inventory is deaf, and orders loses a context.
  bool faults = false;
};

// A service that runs.
struct RunningService {
  std::string name;
  std::string address;      // host:port
  std::string status_page;  // its URL; "" if there is none
};

// The folder of the build's output, in which this program is
// services/demo/NAME.
std::string BinFolder();

// Returns the next HopEvent that `service` prints, or nullopt if `ctx` or the
// output ends first. Skips other lines.
std::optional<v1::HopEvent> ReadHop(const tether::Context& ctx,
                                    tether::testing::ChildProcess& service);

// storefront → orders → inventory, on free ports of the loopback interface.
// The destructor stops all services that still run.
//
// Thread safety: none.
class Chain {
 public:
  Chain() = default;
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  // Starts the services, and waits until each accepts requests or `ctx` ends.
  // Their programs are ../storefront/storefront and so on, relative to the
  // folder of this process's program. Call it once.
  absl::Status Start(const tether::Context& ctx, const ChainOptions& options);

  // host:port of the storefront. Requires that Start() succeeded.
  const std::string& address() const { return running_.back().address; }

  // All services, the storefront last. Requires that Start() succeeded.
  const std::vector<RunningService>& running() const { return running_; }

  // The events of the first `count` hops for one request, from the client
  // outwards. Events that haven't arrived when `ctx` ends are left out.
  std::vector<v1::HopEvent> ReadHops(const tether::Context& ctx, int count);

  // Stops all services. Returns an error if one of them didn't exit cleanly.
  absl::Status Stop();

 private:
  // Starts one service, and adds it to running_.
  absl::Status StartService(const tether::Context& ctx,
                            tether::testing::ChildProcess& service,
                            const ChainOptions& options,
                            std::vector<std::string> flags);

  tether::testing::ChildProcess storefront_{"storefront"};
  tether::testing::ChildProcess orders_{"orders"};
  tether::testing::ChildProcess inventory_{"inventory"};
  std::vector<RunningService> running_;
};

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_CHAIN_H_
