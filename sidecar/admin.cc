// SPDX-License-Identifier: Apache-2.0

#include "sidecar/admin.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/resource_quota.h>

#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tether/observability/inspector_service.h"
#include "tether/observability/metrics.h"

namespace tether::sidecar {
namespace {

constexpr char kReadiness[] = "readiness";
constexpr char kLiveness[] = "liveness";

// Those who ask take few threads and little memory from the proxy.
constexpr int kMostThreads = 8;
constexpr size_t kMostBytes = 16 << 20;

StartAdminPage start_page = nullptr;

// Reflection for one server, whether or not the process has it for all.
class WithReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    plugins->clear();
    plugins->push_back(
        std::make_unique<grpc::reflection::ProtoServerReflectionPlugin>());
  }
};

std::unique_ptr<grpc::Server> BuildWithHealth(grpc::ServerBuilder& builder) {
  const bool before = grpc::DefaultHealthCheckServiceEnabled();
  grpc::EnableDefaultHealthCheckService(true);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  grpc::EnableDefaultHealthCheckService(before);
  return server;
}

}  // namespace

void SetAdminPage(StartAdminPage start) { start_page = start; }

absl::Status Admin::Check(const AdminOptions& options) {
  if (options.http_listen.empty() || start_page != nullptr) {
    return absl::OkStatus();
  }
  return absl::UnimplementedError(
      "admin.http_listen: this program is built without the page; "
      "tether-sidecar-http has it");
}

absl::StatusOr<std::unique_ptr<Admin>> Admin::Start(const AdminOptions& options,
                                                    AdminSource source) {
  std::unique_ptr<Admin> admin(new Admin(std::move(source)));
  Admin* const self = admin.get();
  const bool has_page = !options.http_listen.empty();
  if (!has_page && options.grpc_listen.empty()) return admin;
  if (absl::Status status = Check(options); !status.ok()) return status;
  StartMetrics();
  if (!options.grpc_listen.empty()) {
    absl::Status status = admin->Listen(options.grpc_listen);
    if (!status.ok()) return status;
  }
  admin->watch_ = std::make_unique<AppWatch>(
      admin->source_.app, [self](bool is_ready) { self->SetReady(is_ready); });
  if (has_page) {
    auto page = start_page(options, [self] {
      return AdminStatus{self->source_.figures(), self->watch_->is_ready(),
                         self->watch_->is_draining()};
    });
    if (!page.ok()) {
      return absl::Status(
          page.status().code(),
          absl::StrCat("admin.http_listen: ", page.status().message()));
    }
    admin->page_ = *std::move(page);
  }
  return admin;
}

Admin::Admin(AdminSource source) : source_(std::move(source)) {}

absl::Status Admin::Listen(const std::string& address) {
  inspector_ = MakeInspectorService();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(),
                           &grpc_port_);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(inspector_.get());
  builder.SetOption(std::make_unique<WithReflection>());
  builder.SetResourceQuota(grpc::ResourceQuota("tether-sidecar admin")
                               .Resize(kMostBytes)
                               .SetMaxThreads(kMostThreads));
  // Each queue that is waited for makes every RPC of the process slower.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
  server_ = BuildWithHealth(builder);
  if (server_ == nullptr || grpc_port_ == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("admin.grpc_listen: can't listen on ", address));
  }
  if (absl::StartsWith(address, "unix")) grpc_port_ = 0;
  SetReady(false);
  server_->GetHealthCheckService()->SetServingStatus(kLiveness, true);
  return absl::OkStatus();
}

void Admin::SetReady(bool is_ready) {
  if (server_ == nullptr) return;
  grpc::HealthCheckServiceInterface& health = *server_->GetHealthCheckService();
  health.SetServingStatus("", is_ready);
  health.SetServingStatus(kReadiness, is_ready);
}

Admin::~Admin() {
  page_.reset();
  watch_.reset();
  if (server_ != nullptr) {
    server_->Shutdown(std::chrono::system_clock::now());
  }
}

void Admin::Drain() {
  if (watch_ != nullptr) watch_->Drain();
}

std::string Admin::http_address() const {
  return page_ == nullptr ? "" : page_->address();
}

}  // namespace tether::sidecar
