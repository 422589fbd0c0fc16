// SPDX-License-Identifier: Apache-2.0
//
// A process beside a service that doesn't use tether. The calls to the service
// (the app) and the calls that it makes go through the sidecar, which gives the
// latter the deadline and the cancellation of the former.
//
//   tether::sidecar::SidecarOptions options;
//   options.ingress.listen = "0.0.0.0:8080";
//   options.ingress.app = "127.0.0.1:9090";
//   …
//   auto sidecar = tether::sidecar::Sidecar::Start(options);
//   if (!sidecar.ok()) …
//
// docs/sidecar.md says what it does.

#ifndef TETHER_SIDECAR_SIDECAR_H_
#define TETHER_SIDECAR_SIDECAR_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sidecar/access_log.h"
#include "sidecar/address.h"
#include "sidecar/connect_port.h"
#include "sidecar/correlator.h"
#include "sidecar/counters.h"
#include "sidecar/listener.h"
#include "sidecar/options.h"
#include "sidecar/poller.h"
#include "sidecar/retiring.h"
#include "sidecar/routes.h"
#include "tether/context.h"

namespace tether::sidecar {

// Thread safety: any thread, but Drain and the destructor not concurrently with
// anything else.
class Sidecar {
 public:
  // Listens on all ports. The error says which address can't be listened on, or
  // that the access log can't be opened.
  static absl::StatusOr<std::unique_ptr<Sidecar>> Start(SidecarOptions options);

  // Calls Drain(absl::ZeroDuration()) if nobody has.
  ~Sidecar();
  Sidecar(const Sidecar&) = delete;
  Sidecar& operator=(const Sidecar&) = delete;

  // The ports on which it listens, also if the options say 0; 0 for unix
  // sockets. `i`: of the options' egress.
  int ingress_port() const;
  int egress_port(size_t i) const;

  // Takes other options. New calls follow them; calls that are under way end as
  // they began. A port that has gone is drained in the background (for
  // SidecarOptions::drain), and a new one is opened. If a port's `listen` is
  // the same, it stays open. Fails, and changes nothing, if a new port can't be
  // opened; if the credentials of a port that stays have changed, which needs a
  // restart; or if the number of threads, max_requests, tombstone_life or
  // connect_listen has.
  // Connections stay if their target and its credentials do.
  absl::Status Reload(SidecarOptions options);

  // Stops accepting requests, lets those that run go on for `grace`, then ends
  // them: their callers get UNAVAILABLE. The egress accepts calls until they
  // are over. Returns when all calls are.
  void Drain(absl::Duration grace);

  // To the app.
  std::shared_ptr<grpc::Channel> app_channel() const;

  Mode mode() const;
  CounterValues counters() const;
  std::map<std::string, int64_t, std::less<>> would_cut() const {
    return shared_->would_cut.Get();
  }
  Correlator::Stats correlator_stats() const {
    return shared_->correlator.stats();
  }
  // Lines of the access log that were lost since it was opened.
  int64_t access_log_dropped() const;
  int64_t ingress_in_flight() const;
  int64_t egress_in_flight() const;

  // Of SidecarOptions::connect_listen; 0 if it is off.
  int connect_port() const;
  int64_t connects() const;
  int64_t connects_refused() const;

 private:
  struct Ingress {
    std::shared_ptr<Routes<IngressRoute>> routes;
    std::shared_ptr<const Upstream> upstream;
    std::unique_ptr<Listener> listener;
  };
  struct Egress {
    std::shared_ptr<Routes<EgressRoute>> routes;
    std::shared_ptr<const Upstream> upstream;
    std::unique_ptr<Listener> listener;
    // For connections that asked for the target by CONNECT. When the target
    // changes, they go on to the old one until they end, so they have a server
    // and routes of their own. Null until the first.
    std::unique_ptr<Listener> tunnels;
    std::shared_ptr<Routes<EgressRoute>> tunnel_routes;

    void Shutdown(absl::Duration grace);
  };

  explicit Sidecar(SidecarOptions options);

  absl::Status Open();
  absl::StatusOr<Ingress> OpenIngress(const SidecarOptions& options) const;
  absl::StatusOr<Egress> OpenEgress(const SidecarOptions& options,
                                    const EgressOptions& egress) const;
  static std::shared_ptr<const Upstream> AppOf(const SidecarOptions& options);
  static std::shared_ptr<const Upstream> TargetOf(const EgressOptions& egress);
  std::shared_ptr<const IngressRoute> RouteOf(
      const SidecarOptions& options,
      std::shared_ptr<const Upstream> upstream) const;
  std::shared_ptr<const EgressRoute> RouteOf(
      const SidecarOptions& options, const EgressOptions& egress,
      std::shared_ptr<const Upstream> upstream) const;

  // The steps of Reload, under mutex_.
  absl::Status CheckReload(const SidecarOptions& options) const;
  // Opens the ports that aren't open yet. An element without a listener stands
  // for a port that stays.
  absl::Status OpenNew(const SidecarOptions& options, Ingress& ingress,
                       std::vector<Egress>& egress) const;
  void ReplaceIngress(const SidecarOptions& options, Ingress opened);
  void ReplaceEgress(const SidecarOptions& options, std::vector<Egress> opened);
  // Gives a connection of the ConnectPort to the egress with that target.
  absl::Status Connect(const Address& target, int socket);
  // The current egress that listens there; their number if there is none.
  size_t IndexOf(const std::string& listen) const;
  Listener::AcceptOne AcceptorOf(
      std::shared_ptr<Routes<EgressRoute>> routes) const;
  // The one with that target; their number if there is none.
  size_t IndexOf(const Address& target) const;

  const Cancellable base_;  // of all requests
  const std::shared_ptr<Shared> shared_;

  Pollers pollers_;  // of all ports

  mutable std::mutex mutex_;
  SidecarOptions options_;
  std::shared_ptr<AccessLog> access_log_;
  Ingress ingress_;
  std::vector<Egress> egress_;
  Retiring retiring_;  // what a reload removed
  bool is_drained_ = false;

  // Null: off. Its thread locks mutex_.
  std::unique_ptr<ConnectPort> connect_port_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_SIDECAR_H_
