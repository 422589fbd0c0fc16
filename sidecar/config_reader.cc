// SPDX-License-Identifier: Apache-2.0

#include "sidecar/config_reader.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "sidecar/address.h"
#include "sidecar/config_errors.h"
#include "sidecar/config_tls.h"
#include "sidecar/config_values.h"
#include "sidecar/options.h"
#include "tether/grpc/report_options.h"
#include "tether/grpc/reserve.h"
#include "tether/propagation/edge.h"
#include "tether/v1/sidecar.pb.h"

namespace tether::sidecar {
namespace {

constexpr int kMaxEgress = 1000;
constexpr int kMaxInFlight = 1'000'000;
constexpr int kMaxRequests = 10'000'000;
constexpr int kMaxThreads = 256;
constexpr int kMaxHeadersBytes = 7 << 10;
constexpr absl::Duration kMaxDrain = absl::Hours(1);
constexpr absl::Duration kMaxTombstoneLife = absl::Hours(1);

// Reads one configuration.
class Reader {
 public:
  Reader(const v1::SidecarConfig& config, const ConfigPlace& place,
         ConfigErrors& errors)
      : config_(config), place_(place), errors_(errors) {}

  SidecarOptions Read();

 private:
  struct Listener {
    Address address;
    std::string name;
  };
  struct Target {
    std::string text;
    ConfigPlace place;
  };

  void ReadIngress();
  void ReadEgress(const v1::Egress& egress, const ConfigPlace& place);
  void ReadConnect();
  void ReadReserve();
  void ReadReport();
  void ReadLimits();
  void ReadAdmin();
  void ReadAccessLog();
  EdgeOptions ReadEdge(const v1::Edge& edge, const ConfigPlace& place);
  void ReadListen(const std::string& text, bool is_remote_allowed,
                  const ConfigPlace& place);
  // For sockets that aren't gRPC's. "" is off.
  void ReadHttpListen(const std::string& text, bool is_remote_allowed,
                      const ConfigPlace& place);
  void ReadTarget(const std::string& text, const ConfigPlace& place);

  // No target is one of the listeners.
  void CheckLoops();

  const v1::SidecarConfig& config_;
  const ConfigPlace place_;
  ConfigErrors& errors_;
  SidecarOptions options_;
  std::vector<Listener> listeners_;
  std::vector<Target> targets_;
};

EdgeOptions Reader::ReadEdge(const v1::Edge& edge, const ConfigPlace& place) {
  EdgeOptions options;
  options.keep_trace = edge.keep_trace();
  options.keep_request_id = edge.keep_request_id();
  for (int i = 0; i < edge.keep_headers_size(); ++i) {
    const std::string& name = edge.keep_headers(i);
    options.keep_headers.push_back(absl::AsciiStrToLower(name));
    if (!IsHeaderName(name)) {
      errors_.Add(place.At("keep_headers", i),
                  absl::StrCat(Quoted(name), " is not the name of a header"));
    }
  }
  return options;
}

void Reader::ReadListen(const std::string& text, bool is_remote_allowed,
                        const ConfigPlace& place) {
  if (text.empty()) {
    errors_.Add(place, kRequired);
    return;
  }
  const absl::StatusOr<Address> address = ParseAddress(text);
  if (!address.ok()) {
    errors_.Add(place, absl::StrCat(Quoted(text), " ",
                                    std::string(address.status().message())));
    return;
  }
  if (!is_remote_allowed && !IsLocal(*address)) {
    errors_.Add(place, absl::StrCat(Quoted(text),
                                    " is open to other machines, and "
                                    "allow_remote isn't set"));
  }
  for (const Listener& other : listeners_) {
    if (!Overlap(other.address, *address)) continue;
    errors_.Add(place, absl::StrCat(Quoted(text), " overlaps with ", other.name,
                                    ", ", other.address.ToString()));
    break;
  }
  listeners_.push_back({*address, errors_.NameOf(place)});
}

void Reader::ReadTarget(const std::string& text, const ConfigPlace& place) {
  if (text.empty()) {
    errors_.Add(place, kRequired);
    return;
  }
  const absl::Status status = CheckTarget(text);
  if (!status.ok()) {
    errors_.Add(place,
                absl::StrCat(Quoted(text), " ", std::string(status.message())));
    return;
  }
  targets_.push_back({text, place});
}

void Reader::CheckLoops() {
  for (const Target& target : targets_) {
    for (const Address& address : AddressesOf(target.text)) {
      for (const Listener& listener : listeners_) {
        if (!LeadsTo(address, listener.address)) continue;
        errors_.Add(
            target.place,
            absl::StrCat(Quoted(target.text), " leads back to ", listener.name,
                         ", ", listener.address.ToString()));
        break;
      }
    }
  }
}

void Reader::ReadIngress() {
  const ConfigPlace place = place_.At("ingress");
  if (!config_.has_ingress()) {
    errors_.Add(place, kRequired);
    return;
  }
  const v1::Ingress& ingress = config_.ingress();
  IngressOptions& options = options_.ingress;
  options.listen = ingress.listen();
  ReadListen(ingress.listen(), /*is_remote_allowed=*/true, place.At("listen"));
  options.app = ingress.app();
  ReadTarget(ingress.app(), place.At("app"));
  if (ingress.has_tls()) {
    auto tls = ReadServerTls(ingress.tls(), place.At("tls"), errors_);
    options.credentials = std::move(tls.credentials);
    options.credentials_id = std::move(tls.id);
  }
  auto tls = ReadClientTls(ingress.has_app_tls() ? &ingress.app_tls() : nullptr,
                           ingress.app(), place.At("app_tls"), errors_);
  options.app_credentials = std::move(tls.credentials);
  options.app_credentials_id = std::move(tls.id);
  options.app_server_name = ingress.app_tls().server_name();
  if (ingress.has_edge()) {
    options.server.edge = ReadEdge(ingress.edge(), place.At("edge"));
  }
  options.server.time = ReadTimes(ingress.time(), place.At("time"), errors_);
  Patterns patterns;
  for (int i = 0; i < ingress.methods_size(); ++i) {
    const ConfigPlace entry = place.At("methods", i);
    patterns.Check(ingress.methods(i).pattern(), entry, errors_);
    options.server.methods.push_back(
        {ingress.methods(i).pattern(),
         ReadTimes(ingress.methods(i).time(), entry.At("time"), errors_)});
  }
  if (ingress.has_shed_fraction()) {
    options.server.shed_fraction = ReadFraction(
        ingress.shed_fraction(), place.At("shed_fraction"), errors_);
  }
}

void Reader::ReadEgress(const v1::Egress& egress, const ConfigPlace& place) {
  EgressOptions options;
  options.listen = egress.listen();
  options.allow_remote = egress.allow_remote();
  ReadListen(egress.listen(), egress.allow_remote(), place.At("listen"));
  options.target = egress.target();
  ReadTarget(egress.target(), place.At("target"));
  if (egress.has_listen_tls()) {
    auto tls =
        ReadServerTls(egress.listen_tls(), place.At("listen_tls"), errors_);
    options.listen_credentials = std::move(tls.credentials);
    options.listen_credentials_id = std::move(tls.id);
  }
  auto tls = ReadClientTls(egress.has_tls() ? &egress.tls() : nullptr,
                           egress.target(), place.At("tls"), errors_);
  options.credentials = std::move(tls.credentials);
  options.credentials_id = std::move(tls.id);
  options.server_name = egress.tls().server_name();
  options.correlate = ReadCorrelate(egress.correlate(), /*is_required=*/false,
                                    place.At("correlate"), errors_);
  Patterns patterns;
  for (int i = 0; i < egress.methods_size(); ++i) {
    const v1::EgressMethod& method = egress.methods(i);
    const ConfigPlace entry = place.At("methods", i);
    patterns.Check(method.pattern(), entry, errors_);
    options.methods.push_back(
        {method.pattern(),
         ReadCorrelate(method.correlate(), /*is_required=*/true,
                       entry.At("correlate"), errors_)});
  }
  options_.egress.push_back(std::move(options));
}

void Reader::ReadReserve() {
  const v1::Reserve& reserve = config_.reserve();
  const ConfigPlace place = place_.At("reserve");
  Reserve& options = options_.reserve;
  if (reserve.has_fixed()) {
    options.fixed = ReadDuration(reserve.fixed(), place.At("fixed"), errors_);
  }
  if (reserve.has_fraction()) {
    options.fraction =
        ReadFraction(reserve.fraction(), place.At("fraction"), errors_);
  }
  if (reserve.has_cap()) {
    options.cap = ReadDuration(reserve.cap(), place.At("cap"), errors_);
  }
  // Somebody who sets `fixed` alone expects that it is kept.
  if (options.fixed > options.cap) {
    errors_.Add(place.At("fixed"),
                absl::StrCat(absl::FormatDuration(options.fixed),
                             " is more than ", errors_.NameOf(place.At("cap")),
                             ", ", absl::FormatDuration(options.cap)));
  }
}

void Reader::ReadReport() {
  const v1::Report& report = config_.report();
  const ConfigPlace place = place_.At("report");
  ReportOptions& options = options_.ingress.server.report;
  switch (report.when()) {
    case v1::Report::WHEN_UNSPECIFIED:
      break;
    case v1::Report::NEVER:
      options.when = ReportOptions::When::kNever;
      break;
    case v1::Report::WHEN_IT_MATTERS:
      options.when = ReportOptions::When::kWhenItMatters;
      break;
    case v1::Report::ALWAYS:
      options.when = ReportOptions::When::kAlways;
      break;
    default:
      errors_.Add(place.At("when"),
                  absl::StrCat(static_cast<int>(report.when()),
                               " is not NEVER, WHEN_IT_MATTERS or ALWAYS"));
  }
  if (report.has_min_fraction()) {
    options.min_fraction =
        ReadFraction(report.min_fraction(), place.At("min_fraction"), errors_);
  }
  if (report.has_max_headers_bytes()) {
    options.max_headers_bytes =
        ReadInt(report.max_headers_bytes(), 0, kMaxHeadersBytes,
                place.At("max_headers_bytes"), errors_);
  }
}

void Reader::ReadLimits() {
  if (config_.has_max_in_flight()) {
    options_.max_in_flight = ReadInt(config_.max_in_flight(), 1, kMaxInFlight,
                                     place_.At("max_in_flight"), errors_);
  }
  if (config_.has_max_requests()) {
    options_.max_requests = ReadInt(config_.max_requests(), 1, kMaxRequests,
                                    place_.At("max_requests"), errors_);
  }
  if (config_.has_tombstone_life()) {
    options_.tombstone_life =
        ReadDuration(config_.tombstone_life(), place_.At("tombstone_life"),
                     errors_, kMaxTombstoneLife);
  }
  if (config_.has_threads()) {
    options_.threads = ReadInt(config_.threads(), 0, kMaxThreads,
                               place_.At("threads"), errors_);
  }
  if (config_.has_drain()) {
    options_.drain =
        ReadDuration(config_.drain(), place_.At("drain"), errors_, kMaxDrain);
  }
}

void Reader::ReadHttpListen(const std::string& text, bool is_remote_allowed,
                            const ConfigPlace& place) {
  if (text.empty()) return;
  const auto address = ParseAddress(text);
  if (address.ok() && !IsIpOrLocalhost(*address)) {
    errors_.Add(place, absl::StrCat(Quoted(text),
                                    " has no IP address; write v4:port, "
                                    "[v6]:port or localhost:port"));
  } else {
    ReadListen(text, is_remote_allowed, place);
  }
}

void Reader::ReadConnect() {
  options_.connect_listen = config_.connect_listen();
  const ConfigPlace place = place_.At("connect_listen");
  ReadHttpListen(config_.connect_listen(), /*is_remote_allowed=*/true, place);
  const auto address = ParseAddress(config_.connect_listen());
  if (address.ok() && IsIpOrLocalhost(*address) && !IsLocal(*address)) {
    errors_.Add(place, absl::StrCat(Quoted(config_.connect_listen()),
                                    " is open to other machines"));
  }
  if (!config_.connect_listen().empty() && config_.egress_size() == 0) {
    errors_.Add(place, "there is no egress to connect to");
  }
}

void Reader::ReadAdmin() {
  const v1::Admin& admin = config_.admin();
  const ConfigPlace place = place_.At("admin");
  options_.admin.http_listen = admin.http_listen();
  options_.admin.grpc_listen = admin.grpc_listen();
  options_.admin.allow_remote = admin.allow_remote();
  ReadHttpListen(admin.http_listen(), admin.allow_remote(),
                 place.At("http_listen"));
  if (!admin.grpc_listen().empty()) {
    ReadListen(admin.grpc_listen(), admin.allow_remote(),
               place.At("grpc_listen"));
  }
  for (int i = 0; i < admin.http_allowed_hosts_size(); ++i) {
    const std::string& host = admin.http_allowed_hosts(i);
    options_.admin.http_allowed_hosts.push_back(host);
    if (!IsHostName(host)) {
      errors_.Add(place.At("http_allowed_hosts", i),
                  absl::StrCat(Quoted(host), " is not a name without port"));
    }
  }
}

void Reader::ReadAccessLog() {
  if (!config_.has_access_log()) return;
  const v1::AccessLog& log = config_.access_log();
  const ConfigPlace place = place_.At("access_log");
  if (log.path().empty()) errors_.Add(place.At("path"), kRequired);
  options_.access_log.path = log.path();
  if (log.has_sample()) {
    options_.access_log.sample =
        ReadFraction(log.sample(), place.At("sample"), errors_);
  }
}

SidecarOptions Reader::Read() {
  ReadIngress();
  if (config_.egress_size() > kMaxEgress) {
    errors_.Add(place_.At("egress", kMaxEgress),
                absl::StrCat("more than ", kMaxEgress, " ports"));
  }
  for (int i = 0; i < std::min(config_.egress_size(), kMaxEgress); ++i) {
    ReadEgress(config_.egress(i), place_.At("egress", i));
  }
  ReadConnect();
  options_.mode = ReadMode(config_.mode(), place_.At("mode"), errors_);
  ReadReserve();
  ReadReport();
  ReadLimits();
  ReadAdmin();
  ReadAccessLog();
  CheckLoops();
  return std::move(options_);
}

}  // namespace

SidecarOptions ReadConfig(const v1::SidecarConfig& config,
                          const ConfigPlace& place, ConfigErrors& errors) {
  return Reader(config, place, errors).Read();
}

}  // namespace tether::sidecar
