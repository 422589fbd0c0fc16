// SPDX-License-Identifier: Apache-2.0
//
// A hop of faults_test, as a process of its own: a leaf, or a relay. It serves
// the sync API, the callback API, and the callback API with TLS, at the ports
// of settings.h. It prints "ready", and then one line for each line of its
// standard input: what is alive in it. A line "threads N" limits the threads of
// its user before. It ends with its input, or by SIGTERM.
//
// Flags: --listen and --next, addresses without ports; without --next it is a
// leaf. --net_namespace, the file of the namespace that it moves to. --uid, a
// user that it becomes.

#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "integration_tests/faults/hop_services.h"
#include "integration_tests/faults/net_namespace.h"
#include "integration_tests/faults/settings.h"
#include "testing/test_certificate.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/internal/live_counts.h"

ABSL_FLAG(std::string, listen, "", "the address of this hop");
ABSL_FLAG(std::string, next, "", "the address of the next hop");
ABSL_FLAG(std::string, net_namespace, "", "a file for setns");
ABSL_FLAG(int, uid, 0, "0: the user stays the same");

namespace tether::faults {
namespace {

volatile sig_atomic_t stopped = 0;

class Hop {
 public:
  Hop(const std::string& listen, const std::string& next) {
    const auto to_callback = ChannelTo(next, kCallbackPort);
    sync_ = MakeSyncService(work_, ChannelTo(next, kSyncPort));
    callback_ = MakeCallbackService(work_, to_callback);
    tls_ = MakeCallbackService(work_, to_callback);

    const auto insecure = grpc::InsecureServerCredentials();
    grpc::ServerBuilder sync, callback, with_tls;
    sync.RegisterService(sync_.get());
    callback.RegisterCallbackGenericService(callback_.get());
    with_tls.RegisterCallbackGenericService(tls_.get());
    grpc::SslServerCredentialsOptions tls;
    tls.pem_key_cert_pairs.push_back({kTestKey, kTestCertificate});
    Start(sync, listen, kSyncPort, insecure);
    Start(callback, listen, kCallbackPort, insecure);
    Start(with_tls, listen, kTlsPort, grpc::SslServerCredentials(tls));
  }

  ~Hop() {
    for (const auto& server : servers_) {
      server->Shutdown(std::chrono::system_clock::now());
    }
    for (const auto& server : servers_) server->Wait();
  }

  bool started() const { return servers_.size() == 3; }

  // HopCounts of hop_process.h, in its order. Begins with `late_us` anew.
  std::string Counts() {
    using internal::Live;
    using internal::LiveCount;
    const GrpcStats stats = GetGrpcStats();
    return absl::StrCat(
        absl::StrCat(work_.entered.load(), " ", answered_.load(), " ",
                     work_.active.load(), " ", work_.late_us.exchange(0), " "),
        absl::StrCat(stats.server_calls, " ", stats.client_calls, " ",
                     stats.watches, " ", LiveCount(Live::kNode), " "),
        absl::StrCat(LiveCount(Live::kCallback), " ", LiveCount(Live::kTimer)));
  }

 private:
  static std::shared_ptr<grpc::Channel> ChannelTo(const std::string& next,
                                                  int port) {
    if (next.empty()) return nullptr;
    return tether::CreateChannel(absl::StrCat(next, ":", port),
                                 grpc::InsecureChannelCredentials(), {},
                                 ChannelSettings());
  }

  void Start(grpc::ServerBuilder& builder, const std::string& listen, int port,
             const std::shared_ptr<grpc::ServerCredentials>& credentials) {
    SetForServer([&](const char* name, int value) {
      builder.AddChannelArgument(name, value);
    });
    builder.AddListeningPort(absl::StrCat(listen, ":", port), credentials);
    ServerOptions options;
    options.on_finish = [this](const RequestSummary&) { ++answered_; };
    InstallServer(builder, options);
    auto server = builder.BuildAndStart();
    if (server != nullptr) servers_.push_back(std::move(server));
  }

  Work work_;
  std::atomic<int64_t> answered_{0};
  std::unique_ptr<grpc::Service> sync_;
  std::unique_ptr<grpc::CallbackGenericService> callback_, tls_;
  std::vector<std::unique_ptr<grpc::Server>> servers_;
};

void Tell(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void Obey(const std::string& line) {
  constexpr absl::string_view kThreads = "threads ";
  if (!absl::StartsWith(line, kThreads)) return;
  rlimit limit = {};
  getrlimit(RLIMIT_NPROC, &limit);
  limit.rlim_cur = std::strtoull(line.c_str() + kThreads.size(), nullptr, 10);
  setrlimit(RLIMIT_NPROC, &limit);
}

// Answers until the input ends, or SIGTERM comes. `mask`: without SIGTERM.
void Serve(Hop& hop, const sigset_t& mask) {
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  std::string line;
  while (stopped == 0) {
    if (ppoll(&input, 1, nullptr, &mask) <= 0) continue;
    char buffer[256];
    const ssize_t count = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (count <= 0) return;
    for (ssize_t i = 0; i < count; ++i) {
      if (buffer[i] != '\n') {
        line += buffer[i];
        continue;
      }
      Obey(line);
      line.clear();
      Tell(hop.Counts());
    }
  }
}

int Main() {
  // Only ppoll lets the signal in.
  sigset_t stop;
  sigset_t before;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigprocmask(SIG_BLOCK, &stop, &before);
  struct sigaction action = {};
  action.sa_handler = [](int) { stopped = 1; };
  sigaction(SIGTERM, &action, nullptr);

  const std::string net = absl::GetFlag(FLAGS_net_namespace);
  if (!net.empty()) {
    const absl::Status moved = EnterNetNamespace(net);
    if (!moved.ok()) {
      Tell(moved.ToString());
      return 1;
    }
  }
  const auto uid = static_cast<uid_t>(absl::GetFlag(FLAGS_uid));
  if (uid != 0) {
    if (setresuid(uid, uid, uid) != 0) {
      Tell("setresuid failed");
      return 1;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // another user: it was forgotten
  }
  Hop hop(absl::GetFlag(FLAGS_listen), absl::GetFlag(FLAGS_next));
  Tell(hop.started() ? "ready" : "no server started");
  Serve(hop, before);
  return 0;
}

}  // namespace
}  // namespace tether::faults

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return tether::faults::Main();
}
