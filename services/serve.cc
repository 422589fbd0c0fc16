// SPDX-License-Identifier: Apache-2.0

#include "services/serve.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <pthread.h>
#include <signal.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/flag_types.h"
#include "services/stdout_line.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/observability/inspector_service.h"
#include "tether/observability/metrics.h"

ABSL_FLAG(uint16_t, port, 0, "The port to listen on; 0: any free one.");
ABSL_FLAG(shop::Delay, shutdown_grace, shop::Delay{absl::Seconds(2)},
          "How long running requests may go on after SIGTERM.");

ABSL_FLAG(bool, live, false,
          "Count, and show what is in flight, on the port and on a page.");

namespace shop {
namespace {

std::string (*start_live_page)() = nullptr;

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

}  // namespace

void StartProcess(int argc, char** argv, absl::string_view usage) {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ParseFlagsOrExit(argc, argv, usage);
}

std::shared_ptr<grpc::Channel> ConnectTo(const std::string& flag,
                                         const std::string& address) {
  if (address.empty()) {
    ExitOverFlags(absl::StrCat("--", flag, "=host:port is missing"));
  }
  auto channel =
      tether::CreateChannel(address, grpc::InsecureChannelCredentials());
  channel->GetState(/*try_to_connect=*/true);
  return channel;
}

bool IsLive() { return absl::GetFlag(FLAGS_live); }

void SetLivePage(std::string (*start)()) { start_live_page = start; }

int Serve(grpc::Service& service) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = absl::GetFlag(FLAGS_port);
  // The demo has no credentials, so it listens on this machine only.
  const std::string address = absl::StrCat("127.0.0.1:", port);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Service> inspector =
      tether::MakeInspectorService();
  if (IsLive()) {
    tether::StartMetrics();
    builder.RegisterService(inspector.get());
  }
  auto [base_context, cancel_base_context] =
      tether::WithCancel(tether::Background());
  tether::ServerOptions options;
  options.base_context = base_context;
  // The demo also shows where the time goes in successful requests.
  options.report.when = tether::ReportOptions::When::kAlways;
  tether::InstallServer(builder, options);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::cerr << "ERROR: can't listen on " << address << std::endl;
    return 1;
  }
  if (IsLive() && start_live_page != nullptr) {
    // It has said why, if it didn't start.
    const std::string page = start_live_page();
    if (!page.empty()) WriteStdoutLine(absl::StrCat("status page at ", page));
  }
  WriteStdoutLine(absl::StrCat("listening on port ", port));

  const sigset_t signals = StopSignals();
  int signal = 0;
  sigwait(&signals, &signal);
  if (auto* health = server->GetHealthCheckService()) {
    health->SetServingStatus(false);
  }
  tether::ShutdownServer(*server, cancel_base_context,
                         absl::GetFlag(FLAGS_shutdown_grace).value);
  server->Wait();
  return 0;
}

}  // namespace shop
