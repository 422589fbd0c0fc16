// SPDX-License-Identifier: Apache-2.0
//
// tether-sidecar: a process beside a service that doesn't use tether.

#include <pthread.h>
#include <signal.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "sidecar/access_log.h"
#include "sidecar/admin.h"
#include "sidecar/flags.h"
#include "sidecar/options.h"
#include "sidecar/sidecar.h"
#include "sidecar/sidecar_figures.h"

namespace tether::sidecar {
namespace {

constexpr int kExitTrouble = 1;

// All threads block them. Make this before any other thread.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP})
    sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// `listen` with the port that was chosen for port 0.
std::string WithPort(const std::string& listen, int port) {
  if (port == 0) return listen;  // a unix socket
  return absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
}

// Another process may wait for these lines, so each is flushed.
void PrintPorts(const SidecarOptions& options, const Sidecar& sidecar) {
  std::cout << "ingress "
            << WithPort(options.ingress.listen, sidecar.ingress_port())
            << std::endl;
  for (size_t i = 0; i < options.egress.size(); ++i) {
    std::cout << "egress "
              << WithPort(options.egress[i].listen, sidecar.egress_port(i))
              << " -> " << options.egress[i].target << std::endl;
  }
  if (!options.connect_listen.empty()) {
    std::cout << "connect "
              << WithPort(options.connect_listen, sidecar.connect_port())
              << std::endl;
  }
}

int Fail(const absl::Status& status) {
  std::cerr << "ERROR: " << std::string(status.message()) << std::endl;
  return kExitTrouble;
}

// What is wrong with a configuration, a line for each error.
int FailOverConfig(const absl::Status& status) {
  std::cerr << std::string(status.message()) << std::endl;
  return kExitTrouble;
}

bool SameAdmin(const AdminOptions& a, const AdminOptions& b) {
  return a.http_listen == b.http_listen && a.grpc_listen == b.grpc_listen &&
         a.http_allowed_hosts == b.http_allowed_hosts;
}

absl::Status ReloadTo(const SidecarOptions& changed,
                      const SidecarOptions& options, Sidecar& sidecar) {
  if (!SameAdmin(changed.admin, options.admin)) {
    return absl::FailedPreconditionError(
        "admin can't be changed without a restart");
  }
  return sidecar.Reload(changed);
}

// Replaces `options` if the sidecar takes the new ones.
void Reload(Sidecar& sidecar, SidecarOptions& options) {
  absl::StatusOr<SidecarOptions> changed = OptionsFromFlags();
  if (!changed.ok()) {
    FailOverConfig(changed.status());
    std::cerr << "ERROR: not reloaded" << std::endl;
    return;
  }
  const absl::Status status = ReloadTo(*changed, options, sidecar);
  if (!status.ok()) {
    std::cerr << "ERROR: not reloaded: " << std::string(status.message())
              << std::endl;
    return;
  }
  options = *std::move(changed);
  PrintPorts(options, sidecar);
  std::cout << "reloaded" << std::endl;
}

absl::StatusOr<std::unique_ptr<Admin>> StartAdmin(const AdminOptions& options,
                                                  const Sidecar& sidecar) {
  AdminSource source;
  source.app = [&sidecar] { return sidecar.app_channel(); };
  source.figures = [&sidecar] { return FiguresOf(sidecar); };
  return Admin::Start(options, std::move(source));
}

void PrintAdmin(const AdminOptions& options, const Admin& admin) {
  if (!options.grpc_listen.empty()) {
    std::cout << "admin " << WithPort(options.grpc_listen, admin.grpc_port())
              << std::endl;
  }
  if (!admin.http_address().empty()) {
    std::cout << "page http://" << admin.http_address() << "/" << std::endl;
  }
}

// What would fail at the start, too, and doesn't depend on what runs now.
int Check(const SidecarOptions& options) {
  for (const absl::Status& status :
       {Admin::Check(options.admin), AccessLog::Check(options.access_log)}) {
    if (!status.ok()) return Fail(status);
  }
  std::cout << "ok" << std::endl;
  return 0;
}

int Serve(const sigset_t& signals, SidecarOptions options) {
  auto sidecar = Sidecar::Start(options);
  if (!sidecar.ok()) return Fail(sidecar.status());
  const auto admin = StartAdmin(options.admin, **sidecar);
  if (!admin.ok()) return Fail(admin.status());
  PrintPorts(options, **sidecar);
  PrintAdmin(options.admin, **admin);
  std::cout << "ready" << std::endl;
  for (;;) {
    int signal = 0;
    sigwait(&signals, &signal);
    if (signal != SIGHUP) break;
    Reload(**sidecar, options);
  }
  // A second one ends the process at once.
  sigset_t stop = signals;
  sigdelset(&stop, SIGHUP);
  pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);
  std::cout << "draining" << std::endl;
  (*admin)->Drain();
  (*sidecar)->Drain(options.drain);
  return 0;
}

int Main(int argc, char** argv) {
  const sigset_t signals = BlockSignals();
  // Debian's Abseil looks for deadlocks whenever a mutex is taken: a seventh of
  // the instructions of a call, in gRPC's mutexes.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  ParseFlagsOrExit(argc, argv);
  if (const absl::Status status = CheckFlags(); !status.ok()) {
    ExitOverFlags(std::string(status.message()));
  }
  absl::StatusOr<SidecarOptions> options = OptionsFromFlags();
  if (!options.ok()) return FailOverConfig(options.status());
  if (IsCheck()) return Check(*options);
  return Serve(signals, *std::move(options));
}

}  // namespace
}  // namespace tether::sidecar

int main(int argc, char** argv) { return tether::sidecar::Main(argc, argv); }
