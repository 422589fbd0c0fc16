// SPDX-License-Identifier: Apache-2.0
//
// What a sidecar is told to do. config.h makes it from a file
// (proto/tether/v1/sidecar.proto, where each field is explained), and flags.h
// from the command line.

#ifndef TETHER_SIDECAR_OPTIONS_H_
#define TETHER_SIDECAR_OPTIONS_H_

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/server_options.h"

namespace tether::sidecar {

// How much the sidecar does. Each mode includes the ones before it.
enum class Mode {
  // Correlates and counts; changes no call.
  kObserve,

  // Calls get the rest of their request's deadline.
  kDeadline,

  // Calls also end when their request is cancelled.
  kFull,
};

// What calls of one method or port get from the request that they are made for,
// at most. SidecarOptions::mode limits it, too.
enum class Correlate {
  // Nothing: the id is removed, and the call passes as it is.
  kOff,

  kDeadline,
  kFull,
};

struct EgressMethod {
  // As MethodPolicy::pattern (tether/grpc/policy.h). The most specific pattern
  // that matches is used; if none does, EgressOptions::correlate.
  std::string pattern;
  Correlate correlate = Correlate::kFull;
};

// A port for the app's calls to one target.
struct EgressOptions {
  // "host:port", "[v6]:port" or "unix:/path", as for grpc::ServerBuilder. Port
  // 0: any free port.
  std::string listen;

  // Any name of gRPC: "orders:443", "dns:///orders:443", "unix:/run/orders".
  std::string target;

  // Null: plaintext.
  std::shared_ptr<grpc::ServerCredentials> listen_credentials;
  std::shared_ptr<grpc::ChannelCredentials> credentials;

  // Tells credentials apart: the text is the same if and only if the contents
  // of the files are. "" for plaintext; "xds" if only the control plane may
  // set TLS. A reload that changes neither this nor
  // `target` keeps the connections.
  std::string listen_credentials_id;
  std::string credentials_id;

  // With TLS: the name that the target's certificate must be for, also the
  // calls' `:authority`. "": the host of `target`.
  std::string server_name;

  Correlate correlate = Correlate::kFull;
  std::vector<EgressMethod> methods;

  // ParseConfig refuses a `listen` that other machines can reach without this.
  bool allow_remote = false;
};

// The port for the app's callers.
struct IngressOptions {
  // As EgressOptions::listen.
  std::string listen;

  // Where the app listens. As EgressOptions::target.
  std::string app;

  // As in EgressOptions.
  std::shared_ptr<grpc::ServerCredentials> credentials;
  std::shared_ptr<grpc::ChannelCredentials> app_credentials;
  std::string credentials_id;
  std::string app_credentials_id;
  std::string app_server_name;

  // `time`, `methods`, `shed_fraction`, `edge` and `report` are configured.
  ServerOptions server;
};

// Pages and services about the sidecar itself. "": off.
struct AdminOptions {
  // The status page, metrics and health, over HTTP. "host:port".
  std::string http_listen;

  // Names by which browsers may call the page (StatusPageOptions).
  std::vector<std::string> http_allowed_hosts;

  // tether.v1.Inspector and grpc.health.v1.Health, over plaintext gRPC. As
  // EgressOptions::listen.
  std::string grpc_listen;

  // As EgressOptions::allow_remote, for both.
  bool allow_remote = false;
};

// One JSON object a line for requests and calls that are over.
struct AccessLogOptions {
  // A file, to which lines are appended; "-": standard output; "": off.
  std::string path;

  // The fraction of the requests that are logged, 0 to 1.
  double sample = 1;
};

struct SidecarOptions {
  IngressOptions ingress;
  std::vector<EgressOptions> egress;

  // A port that takes CONNECT requests for the egresses' targets, as an HTTP
  // proxy does: "host:port", where the host is an IP address or "localhost".
  // "": off.
  std::string connect_listen;

  Mode mode = Mode::kObserve;

  // What a call's deadline leaves of the request's.
  Reserve reserve;

  // Requests, and calls of each egress, that are served at once; those beyond
  // it get RESOURCE_EXHAUSTED. At least 1.
  int max_in_flight = 10'000;

  // Requests that can be found at once, those that have ended included. At
  // least 1.
  size_t max_requests = 65'536;

  // For how long a request is found after its end.
  absl::Duration tombstone_life = absl::Seconds(60);

  // They serve the calls of all ports. 0: the number of cores, at most 4.
  int threads = 0;

  // How long calls may go on after SIGTERM, or after a reload removed their
  // port.
  absl::Duration drain = absl::Seconds(10);

  AdminOptions admin;
  AccessLogOptions access_log;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_OPTIONS_H_
