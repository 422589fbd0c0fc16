// SPDX-License-Identifier: Apache-2.0
//
// Admin: what operators and orchestrators ask a sidecar.
//
// Over gRPC (AdminOptions::grpc_listen):
//   grpc.health.v1.Health   "" and "readiness": the app's port can be
//                           connected, and the sidecar isn't draining;
//                           "liveness": this process runs
//   tether.v1.Inspector     what is in flight, for tetherctl
//   reflection
//
// Over HTTP (AdminOptions::http_listen), if the program is linked with
// admin_http: the status page of observability, /metrics with the sidecar's own
// metrics (FigureTable), and
//   /livez          200
//   /readyz         200 or 503, with a line that says why
//   /sidecar.json   v1::SidecarStatus, as JSON

#ifndef TETHER_SIDECAR_ADMIN_H_
#define TETHER_SIDECAR_ADMIN_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sidecar/app_watch.h"
#include "sidecar/figure_table.h"
#include "sidecar/figures.h"
#include "sidecar/options.h"

namespace tether::sidecar {

// Where Admin has it from. The functions are called on its threads,
// concurrently, and must not be null.
struct AdminSource {
  // The channel to the app. A reload may replace it. Null: there is none yet.
  std::function<std::shared_ptr<grpc::Channel>()> app;
  std::function<SidecarFigures()> figures;
};

// A page over HTTP that is being served.
class AdminPage {
 public:
  virtual ~AdminPage() = default;
  // "127.0.0.1:8080"
  virtual std::string address() const = 0;
};

using StartAdminPage = absl::StatusOr<std::unique_ptr<AdminPage>> (*)(
    const AdminOptions& options, std::function<AdminStatus()> status);

// What starts the page. Call it before main(): see admin_http.cc. It needs
// packages that other programs don't.
void SetAdminPage(StartAdminPage start);

// Serves from Start to the destructor.
//
// Thread safety: any thread, but the destructor must not run in a function of
// the source.
class Admin {
 public:
  // UNIMPLEMENTED: there is no page in this program, but `options` asks for it.
  // Looks at nothing else, and starts nothing. Any thread.
  static absl::Status Check(const AdminOptions& options);

  // Starts what is configured; if that is nothing, also no thread. Otherwise
  // the process counts from now on (StartMetrics).
  //
  // While it runs, no other thread may build a gRPC server: what gives a server
  // its health service is a flag of the process.
  //
  // FAILED_PRECONDITION: it can't listen. UNIMPLEMENTED: there is no page in
  // this program. INVALID_ARGUMENT: an option is malformed.
  static absl::StatusOr<std::unique_ptr<Admin>> Start(
      const AdminOptions& options, AdminSource source);

  // Ends the RPCs that it serves. With a page, takes up to 2 s.
  ~Admin();
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  // Not ready from now on. Call it before the ports are shut down, so that
  // balancers send nothing more.
  void Drain();

  // 0: none, or a unix socket.
  int grpc_port() const { return grpc_port_; }

  // "127.0.0.1:8080"; "": no page.
  std::string http_address() const;

 private:
  explicit Admin(AdminSource source);
  absl::Status Listen(const std::string& address);
  void SetReady(bool is_ready);

  const AdminSource source_;
  std::unique_ptr<grpc::Service> inspector_;
  int grpc_port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<AppWatch> watch_;
  std::unique_ptr<AdminPage> page_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_ADMIN_H_
