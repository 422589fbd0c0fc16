// SPDX-License-Identifier: Apache-2.0
//
// The servers of soak_test, the links between them, and the disturbances of
// both.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_SOAK_CHAIN_H_
#define TETHER_INTEGRATION_TESTS_SOAK_CHAIN_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/server.h"
#include "integration_tests/soak_plan.h"
#include "integration_tests/soak_tally.h"
#include "testing/tcp_proxy.h"
#include "tether/context.h"
#include "tether/grpc/server_options.h"

namespace tether::soak {

// A port of 127.0.0.1 that stays ours while no server listens on it.
class ReservedPort {
 public:
  ReservedPort();
  ~ReservedPort();
  ReservedPort(const ReservedPort&) = delete;
  ReservedPort& operator=(const ReservedPort&) = delete;

  int number() const { return number_; }

 private:
  int socket_;
  int number_ = 0;
};

// A server that is stopped and started again on the same port, and a link to
// it. Its functions, except address() and link(), are for one thread at a time.
class Hop {
 public:
  using Start =
      std::function<std::unique_ptr<matrix::Server>(ServerOptions, int port)>;
  enum class How { kDrain, kShutdown, kShutdownWithGrace };

  explicit Hop(const Start& start);
  ~Hop();

  void Stop(How how);
  void Restart(const Start& start);

  std::string address(bool by_link) const;
  testing::TcpProxy& link() { return *link_; }

 private:
  const ReservedPort port_;
  Cancellable base_;
  std::unique_ptr<matrix::Server> server_;
  std::unique_ptr<testing::TcpProxy> link_;
};

// Channels to all hops, by address.
using Channels = std::map<std::string, std::shared_ptr<grpc::Channel>>;

// Relays in front of leaves of all server styles. Calls may also go to the
// leaves directly.
class Chain {
 public:
  // `watchdog` must outlive it.
  Chain(const Watchdog& watchdog, std::mt19937& random);
  ~Chain();

  // New channels, for several callers.
  Channels MakeChannels() const;
  // The address for `plan`'s call. Prepares `call` for the route.
  std::string Prepare(const Plan& plan, grpc::ClientContext& call) const;

  // Stops a server and starts it again, possibly in another style. For one
  // thread.
  void Reload(std::mt19937& random);
  // Cuts or stalls a link, also for one thread. It is the only one that may
  // block, until `end` at the latest.
  void Disturb(std::mt19937& random, const Context& end);

  void Print(std::ostream& out) const;
  const HandlerTally& relays() const { return *relay_tally_; }
  const HandlerTally& leaves(matrix::ServerStyle style) const {
    return *leaf_tallies_[static_cast<size_t>(style)];
  }
  int drains() const { return drains_; }
  int shutdowns() const { return shutdowns_; }
  int cuts() const { return cuts_; }
  int stalls() const { return stalls_; }

 private:
  Hop::Start LeafOf(matrix::ServerStyle style) const;
  Hop::Start Relay() const;

  std::shared_ptr<HandlerTally> relay_tally_;
  std::vector<std::shared_ptr<HandlerTally>> leaf_tallies_;
  std::vector<std::unique_ptr<Hop>> leaves_;
  Channels to_leaves_;
  std::vector<std::unique_ptr<Hop>> relays_;
  std::atomic<int> drains_{0};
  std::atomic<int> shutdowns_{0};
  std::atomic<int> cuts_{0};
  std::atomic<int> stalls_{0};
};

}  // namespace tether::soak

#endif  // TETHER_INTEGRATION_TESTS_SOAK_CHAIN_H_
