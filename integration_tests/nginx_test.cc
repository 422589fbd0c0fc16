// SPDX-License-Identifier: Apache-2.0
//
// Debian's nginx, with its default configuration, between a client and a server
// with tether. An error's metadata must not turn it into another error.
//
// The test needs nginx (tools/setup.sh proxy), so it is "manual".

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "testing/temp_folder.h"
#include "tether/budget/report.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"

namespace tether {
namespace {

using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

// Returns a port on which nothing listens.
int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

// A foreground process. The destructor ends it.
class Nginx {
 public:
  explicit Nginx(const std::string& target) {
    address_ = "127.0.0.1:" + std::to_string(FreePort());
    const std::string conf = folder_.File("nginx.conf");
    std::ofstream out(conf);
    out << "daemon off; master_process off; error_log stderr;\n"
        << "pid " << folder_.File("pid") << ";\n"
        << "events {}\n"
        << "http {\n"
        << "  access_log off;\n";
    for (const char* kind :
         {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
      out << "  " << kind << "_temp_path " << folder_.File(kind) << ";\n";
    }
    out << "  server {\n"
        << "    listen " << address_ << " http2;\n"
        << "    location / { grpc_pass grpc://" << target << "; }\n"
        << "  }\n"
        << "}\n";
    out.close();
    const char* argv[] = {
        "nginx", "-e",         "stderr", "-p", folder_.path().c_str(),
        "-c",    conf.c_str(), nullptr};
    EXPECT_EQ(posix_spawn(&pid_, "/usr/sbin/nginx", nullptr, nullptr,
                          const_cast<char**>(argv), environ),
              0)
        << "tools/setup.sh proxy installs it";
  }
  ~Nginx() {
    if (pid_ > 0) {
      kill(pid_, SIGTERM);
      waitpid(pid_, nullptr, 0);
    }
  }

  const std::string& address() const { return address_; }

 private:
  const testing::TempFolder folder_;
  std::string address_;
  pid_t pid_ = 0;
};

class NginxTest : public testing::GrpcLeakCheckedTest {
 protected:
  // The status and the report's size of a call through nginx. The handler makes
  // sixteen calls, each of which makes sixteen calls, and all fail. `own` is
  // the size of the handler's own trailing metadata.
  struct Answer {
    grpc::Status status;
    size_t report_bytes = 0;
  };
  static Answer Call(ReportOptions report, size_t own) {
    ServerOptions options;
    options.report = report;
    ProbeServer server({/*callback_api=*/false, options});
    const auto below = server.Stub();
    server.unary = [&](grpc::ServerContext& sc, const Ping& ping, Pong*) {
      for (int i = 0; ping.number() > 0 && i < 16; ++i) {
        ClientCall call(ContextOf(sc));
        Ping next;
        next.set_number(ping.number() - 1);
        Pong pong;
        below->Unary(&call, next, &pong);
      }
      if (ping.number() == 2) {
        sc.AddTrailingMetadata("x-own", std::string(own, 'x'));
      }
      return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such thing");
    };
    Nginx nginx(server.address());
    const auto channel = grpc::CreateChannel(
        nginx.address(), grpc::InsecureChannelCredentials());
    const auto stub = Probe::NewStub(channel);
    grpc::ClientContext call;
    call.set_wait_for_ready(true);
    call.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    Ping ping;
    ping.set_number(2);
    Pong pong;
    Answer answer;
    answer.status = stub->Unary(&call, ping, &pong);
    const auto& metadata = call.GetServerTrailingMetadata();
    const auto it = metadata.find(std::string(kReportHeader));
    if (it != metadata.end()) answer.report_bytes = it->second.size();
    return answer;
  }
};

TEST_F(NginxTest, AnErrorWithALargeReportStaysWhatItIs) {
  const Answer answer = Call({}, 0);
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(answer.status.error_message(), "no such thing");
  EXPECT_GT(answer.report_bytes, 2000u);
}

TEST_F(NginxTest, TheReportGivesWayToTheApplicationsOwn) {
  size_t last = SIZE_MAX;
  for (size_t own : {1000, 2000, 3000, 3500, 3700}) {
    const Answer answer = Call({}, own);
    EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::NOT_FOUND) << own;
    EXPECT_LE(answer.report_bytes, last);
    last = answer.report_bytes;
  }
  EXPECT_EQ(last, 0u);
}

// The control: a report as large as gRPC accepts is too large for nginx.
TEST_F(NginxTest, BeyondItsPageNginxMakesAnotherErrorOfIt) {
  ReportOptions report;
  report.max_headers_bytes = 8192;
  const Answer answer = Call(report, 0);
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace tether
