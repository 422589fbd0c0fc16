// SPDX-License-Identifier: Apache-2.0

#include "sidecar/sidecar.h"

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sidecar/egress_call.h"
#include "sidecar/ingress_call.h"

namespace tether::sidecar {
namespace {

int ThreadsOf(const SidecarOptions& options) {
  if (options.threads > 0) return options.threads;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1,
                    4);
}

int64_t MostInFlightOfQueue(const SidecarOptions& options) {
  const int threads = ThreadsOf(options);
  return std::max<int64_t>(1, (options.max_in_flight + threads - 1) / threads);
}

Correlator::Options CorrelatorOptionsOf(const SidecarOptions& options) {
  Correlator::Options correlator;
  correlator.max_entries = options.max_requests;
  correlator.tombstone_life = options.tombstone_life;
  return correlator;
}

absl::Status NeedsRestart(const std::string& what) {
  return absl::FailedPreconditionError(
      absl::StrCat(what, " can't be changed without a restart"));
}

}  // namespace

Sidecar::Sidecar(SidecarOptions options)
    : base_(WithCancel(Background())),
      shared_(std::make_shared<Shared>(CorrelatorOptionsOf(options))),
      options_(std::move(options)) {
  for (int i = 0; i < ThreadsOf(options_); ++i) {
    pollers_.push_back(std::make_unique<Poller>());
  }
}

absl::StatusOr<std::unique_ptr<Sidecar>> Sidecar::Start(
    SidecarOptions options) {
  std::unique_ptr<Sidecar> sidecar(new Sidecar(std::move(options)));
  if (absl::Status status = sidecar->Open(); !status.ok()) return status;
  return sidecar;
}

absl::Status Sidecar::Open() {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto log = AccessLog::Open(options_.access_log);
  if (!log.ok()) return log.status();
  access_log_ = *std::move(log);
  for (const EgressOptions& egress : options_.egress) {
    auto opened = OpenEgress(options_, egress);
    if (!opened.ok()) return opened.status();
    egress_.push_back(*std::move(opened));
  }
  auto ingress = OpenIngress(options_);
  if (!ingress.ok()) return ingress.status();
  ingress_ = *std::move(ingress);
  if (options_.connect_listen.empty()) return absl::OkStatus();
  auto port = ConnectPort::Listen(options_.connect_listen,
                                  [this](const Address& target, int socket) {
                                    return Connect(target, socket);
                                  });
  if (!port.ok()) return port.status();
  connect_port_ = *std::move(port);
  return absl::OkStatus();
}

size_t Sidecar::IndexOf(const Address& target) const {
  for (size_t i = 0; i < options_.egress.size(); ++i) {
    if (options_.egress[i].listen_credentials != nullptr) continue;
    for (const Address& address : AddressesOf(options_.egress[i].target)) {
      if (address.ToString() == target.ToString()) return i;
    }
  }
  return options_.egress.size();
}

absl::Status Sidecar::Connect(const Address& target, int socket) {
  // Locked until the server has the socket, so that it isn't shut down before.
  const std::lock_guard<std::mutex> lock(mutex_);
  const size_t i = IndexOf(target);
  if (i == options_.egress.size()) {
    return absl::NotFoundError(
        absl::StrCat("no egress has the target ", target.ToString()));
  }
  Egress& egress = egress_[i];
  if (egress.tunnels == nullptr) {
    egress.tunnel_routes = std::make_shared<Routes<EgressRoute>>(
        RouteOf(options_, options_.egress[i], egress.upstream),
        ThreadsOf(options_));
    auto started = Listener::Start("", nullptr, PeerIs::kApp, pollers_,
                                   AcceptorOf(egress.tunnel_routes));
    if (!started.ok()) return started.status();
    egress.tunnels = *std::move(started);
  }
  if (!ConnectPort::Confirm(socket)) {
    return absl::UnavailableError("the connection is broken");
  }
  egress.tunnels->Add(socket);
  return absl::OkStatus();
}

void Sidecar::Egress::Shutdown(absl::Duration grace) {
  const auto [over, cancel] = WithTimeout(Background(), grace);
  listener->Shutdown(grace);
  if (tunnels == nullptr) return;
  tunnels->Shutdown(std::max(over.Remaining(), absl::ZeroDuration()));
}

Sidecar::~Sidecar() { Drain(absl::ZeroDuration()); }

std::shared_ptr<const IngressRoute> Sidecar::RouteOf(
    const SidecarOptions& options,
    std::shared_ptr<const Upstream> upstream) const {
  return std::make_shared<IngressRoute>(options, base_.ctx,
                                        MostInFlightOfQueue(options),
                                        std::move(upstream), access_log_);
}

std::shared_ptr<const EgressRoute> Sidecar::RouteOf(
    const SidecarOptions& options, const EgressOptions& egress,
    std::shared_ptr<const Upstream> upstream) const {
  return std::make_shared<EgressRoute>(options, egress,
                                       MostInFlightOfQueue(options),
                                       std::move(upstream), access_log_);
}

std::shared_ptr<const Upstream> Sidecar::AppOf(const SidecarOptions& options) {
  const IngressOptions& ingress = options.ingress;
  return std::make_shared<Upstream>(ingress.app, ingress.app_credentials_id,
                                    ingress.app_server_name,
                                    ingress.app_credentials, /*is_app=*/true);
}

std::shared_ptr<const Upstream> Sidecar::TargetOf(const EgressOptions& egress) {
  return std::make_shared<Upstream>(egress.target, egress.credentials_id,
                                    egress.server_name, egress.credentials,
                                    /*is_app=*/false);
}

absl::StatusOr<Sidecar::Ingress> Sidecar::OpenIngress(
    const SidecarOptions& options) const {
  Ingress ingress;
  ingress.upstream = AppOf(options);
  const int threads = ThreadsOf(options);
  ingress.routes = std::make_shared<Routes<IngressRoute>>(
      RouteOf(options, ingress.upstream), threads);
  auto listener = Listener::Start(
      options.ingress.listen, options.ingress.credentials, PeerIs::kElsewhere,
      pollers_,
      [routes = ingress.routes, shared = shared_](
          CallQueue& queue, grpc::AsyncGenericService& service) {
        (new IngressCall(queue, service, routes, shared))->Accept();
      });
  if (!listener.ok()) return listener.status();
  ingress.listener = *std::move(listener);
  return ingress;
}

absl::StatusOr<Sidecar::Egress> Sidecar::OpenEgress(
    const SidecarOptions& options, const EgressOptions& egress) const {
  Egress opened;
  opened.upstream = TargetOf(egress);
  const int threads = ThreadsOf(options);
  opened.routes = std::make_shared<Routes<EgressRoute>>(
      RouteOf(options, egress, opened.upstream), threads);
  auto listener =
      Listener::Start(egress.listen, egress.listen_credentials, PeerIs::kApp,
                      pollers_, AcceptorOf(opened.routes));
  if (!listener.ok()) return listener.status();
  opened.listener = *std::move(listener);
  return opened;
}

Listener::AcceptOne Sidecar::AcceptorOf(
    std::shared_ptr<Routes<EgressRoute>> routes) const {
  return [routes = std::move(routes), shared = shared_](
             CallQueue& queue, grpc::AsyncGenericService& service) {
    (new EgressCall(queue, service, routes, shared))->Accept();
  };
}

absl::Status Sidecar::CheckReload(const SidecarOptions& options) const {
  if (ThreadsOf(options) != ThreadsOf(options_)) return NeedsRestart("threads");
  if (options.max_requests != options_.max_requests) {
    return NeedsRestart("max_requests");
  }
  if (options.tombstone_life != options_.tombstone_life) {
    return NeedsRestart("tombstone_life");
  }
  if (options.connect_listen != options_.connect_listen) {
    return NeedsRestart("connect_listen");
  }
  if (options.ingress.listen == options_.ingress.listen &&
      options.ingress.credentials_id != options_.ingress.credentials_id) {
    return NeedsRestart("the credentials of ingress.listen");
  }
  for (const EgressOptions& egress : options.egress) {
    for (const EgressOptions& old : options_.egress) {
      if (egress.listen == old.listen &&
          egress.listen_credentials_id != old.listen_credentials_id) {
        return NeedsRestart(absl::StrCat("the credentials of ", egress.listen));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Sidecar::Reload(SidecarOptions options) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (is_drained_) return absl::FailedPreconditionError("it is draining");
  if (absl::Status s = CheckReload(options); !s.ok()) return s;
  std::shared_ptr<AccessLog> log = access_log_;
  if (options.access_log.path != options_.access_log.path ||
      options.access_log.sample != options_.access_log.sample) {
    auto opened = AccessLog::Open(options.access_log);
    if (!opened.ok()) return opened.status();
    log = *std::move(opened);
  } else if (log != nullptr) {
    if (absl::Status s = log->Reopen(); !s.ok()) return s;
  }
  log.swap(access_log_);
  // First what may fail.
  std::vector<Egress> opened;
  Ingress new_ingress;
  if (absl::Status s = OpenNew(options, new_ingress, opened); !s.ok()) {
    log.swap(access_log_);
    return s;
  }
  ReplaceIngress(options, std::move(new_ingress));
  ReplaceEgress(options, std::move(opened));
  options_ = std::move(options);
  return absl::OkStatus();
}

size_t Sidecar::IndexOf(const std::string& listen) const {
  size_t i = 0;
  while (i < options_.egress.size() && options_.egress[i].listen != listen) ++i;
  return i;
}

absl::Status Sidecar::OpenNew(const SidecarOptions& options, Ingress& ingress,
                              std::vector<Egress>& egress) const {
  if (options.ingress.listen != options_.ingress.listen) {
    auto opened = OpenIngress(options);
    if (!opened.ok()) return opened.status();
    ingress = *std::move(opened);
  }
  for (const EgressOptions& one : options.egress) {
    if (IndexOf(one.listen) < options_.egress.size()) {
      egress.emplace_back();
      continue;
    }
    auto opened = OpenEgress(options, one);
    if (!opened.ok()) return opened.status();
    egress.push_back(*std::move(opened));
  }
  return absl::OkStatus();
}

void Sidecar::ReplaceIngress(const SidecarOptions& options, Ingress opened) {
  if (opened.listener != nullptr) {
    std::swap(ingress_, opened);
    return retiring_.Add(std::move(opened.listener), Side::kIngress,
                         options_.drain);
  }
  const IngressOptions& in = options.ingress;
  if (!ingress_.upstream->Is(in.app, in.app_credentials_id,
                             in.app_server_name)) {
    ingress_.upstream = AppOf(options);
  }
  ingress_.routes->Set(RouteOf(options, ingress_.upstream));
}

void Sidecar::ReplaceEgress(const SidecarOptions& options,
                            std::vector<Egress> opened) {
  for (size_t i = 0; i < opened.size(); ++i) {
    if (opened[i].listener != nullptr) continue;
    const EgressOptions& one = options.egress[i];
    const size_t old = IndexOf(one.listen);
    opened[i] = std::move(egress_[old]);
    if (one.target != options_.egress[old].target) {
      retiring_.Add(std::move(opened[i].tunnels), Side::kEgress,
                    options_.drain);
    }
    if (!opened[i].upstream->Is(one.target, one.credentials_id,
                                one.server_name)) {
      opened[i].upstream = TargetOf(one);
    }
    const auto route = RouteOf(options, one, opened[i].upstream);
    opened[i].routes->Set(route);
    if (opened[i].tunnels != nullptr) opened[i].tunnel_routes->Set(route);
  }
  for (Egress& old : egress_) {
    retiring_.Add(std::move(old.listener), Side::kEgress, options_.drain);
    retiring_.Add(std::move(old.tunnels), Side::kEgress, options_.drain);
  }
  egress_ = std::move(opened);
}

void Sidecar::Drain(absl::Duration grace) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (std::exchange(is_drained_, true)) return;
  }
  const auto [over, cancel] = WithTimeout(Background(), grace);
  if (ingress_.listener != nullptr) {
    ingress_.listener->Shutdown(grace, &base_.cancel);
  }
  if (connect_port_ != nullptr) connect_port_->Stop();
  // Calls that nobody waits for may go on for as long.
  for (Egress& egress : egress_) {
    egress.Shutdown(std::max(over.Remaining(), absl::ZeroDuration()));
  }
}

int Sidecar::ingress_port() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ingress_.listener->port();
}

int Sidecar::egress_port(size_t i) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return egress_.at(i).listener->port();
}

std::shared_ptr<grpc::Channel> Sidecar::app_channel() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ingress_.upstream->channel();
}

int Sidecar::connect_port() const {
  return connect_port_ == nullptr ? 0 : connect_port_->port();
}

int64_t Sidecar::connects() const {
  return connect_port_ == nullptr ? 0 : connect_port_->served();
}

int64_t Sidecar::connects_refused() const {
  return connect_port_ == nullptr ? 0 : connect_port_->refused();
}

Mode Sidecar::mode() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return options_.mode;
}

CounterValues Sidecar::counters() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  CounterValues sum;
  retiring_.AddCountersTo(sum);
  ingress_.listener->AddCountersTo(sum);
  for (const Egress& egress : egress_) {
    egress.listener->AddCountersTo(sum);
    if (egress.tunnels != nullptr) egress.tunnels->AddCountersTo(sum);
  }
  return sum;
}

int64_t Sidecar::access_log_dropped() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return access_log_ == nullptr ? 0 : access_log_->dropped();
}

int64_t Sidecar::ingress_in_flight() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ingress_.listener->InFlight() + retiring_.InFlight(Side::kIngress);
}

int64_t Sidecar::egress_in_flight() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t sum = 0;
  for (const Egress& egress : egress_) {
    sum += egress.listener->InFlight();
    if (egress.tunnels != nullptr) sum += egress.tunnels->InFlight();
  }
  return sum + retiring_.InFlight(Side::kEgress);
}

}  // namespace tether::sidecar
