// SPDX-License-Identifier: Apache-2.0
//
// The middle hop of clock_jump_test. It is a separate process, so that the test
// can make its wall clock jump. It prints "listening on port N", and then a
// line for each request: what it saw before its first call, during which the
// clock jumps, after that call, and at the end.
//
// Flags: --leaf and --silent, two addresses; --tether=false, for plain gRPC.

#include "integration_tests/clock_jump_hop.h"

#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe.grpc.pb.h"

ABSL_FLAG(std::string, leaf, "", "the address of the leaf");
ABSL_FLAG(std::string, silent, "", "an address that does not answer");
ABSL_FLAG(bool, tether, true, "false: plain gRPC");

namespace tether {
namespace {

using testing::Ping;
using testing::Pong;
using testing::Probe;

// "wall0=… time0=… steady0=… left0=… deadline0=… ". The time is in seconds, the
// other values in microseconds.
std::string Reading(int number, const Context& ctx) {
  const int64_t left = absl::ToInt64Microseconds(ctx.Remaining());
  return absl::StrCat("wall", number, "=",
                      std::chrono::duration_cast<std::chrono::microseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count(),
                      " time", number, "=", std::time(nullptr), " steady",
                      number, "=",
                      std::chrono::duration_cast<std::chrono::microseconds>(
                          std::chrono::steady_clock::now().time_since_epoch())
                          .count(),
                      " left", number, "=", left, " deadline", number, "=",
                      absl::ToUnixMicros(ctx.Deadline()), " ");
}

void Tell(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

class Hop final : public Probe::Service {
 public:
  Hop(const std::string& leaf, const std::string& silent, bool with_tether)
      : with_tether_(with_tether),
        leaf_(Connect(leaf)),
        silent_(Connect(silent)) {}

  grpc::Status Unary(grpc::ServerContext* sc, const Ping* ping,
                     Pong* pong) override {
    return with_tether_ ? PassOn(*sc, *ping, pong)
                        : PassOnPlainly(*sc, *ping, pong);
  }

 private:
  std::unique_ptr<Probe::Stub> Connect(const std::string& address) const {
    const auto credentials = grpc::InsecureChannelCredentials();
    return Probe::NewStub(with_tether_
                              ? tether::CreateChannel(address, credentials)
                              : grpc::CreateChannel(address, credentials));
  }

  grpc::Status PassOn(grpc::ServerContext& sc, const Ping& ping, Pong* pong) {
    const Context ctx = ContextOf(sc);
    std::string line = Reading(0, ctx);
    grpc::Status status = Call(*leaf_, ctx, ping, pong);
    line += Reading(1, ctx);
    if (status.ok() && ping.number() == kTwice) {
      status = Call(*leaf_, ctx, ping, pong);
    }
    if (status.ok() && ping.number() == kHopLimits) {
      const auto [limited, cancel] = WithTimeout(ctx, kHopsOwnTimeout);
      status = Call(*silent_, limited, ping, pong);
    }
    Tell(absl::StrCat(line, Reading(2, ctx), "code=", status.error_code()));
    return status;
  }

  static grpc::Status Call(Probe::Stub& stub, const Context& ctx,
                           const Ping& ping, Pong* pong) {
    ClientCall call(ctx);
    return stub.Unary(&call, ping, pong);
  }

  grpc::Status PassOnPlainly(const grpc::ServerContext& sc, const Ping& ping,
                             Pong* pong) {
    // Many programs without FromServerContext do this. It uses the wall clock.
    const auto deadline = sc.deadline();
    std::string line = Reading(0, Background());
    grpc::Status status = PlainCall(*leaf_, deadline, ping, pong);
    line += Reading(1, Background());
    if (status.ok() && ping.number() == kTwice) {
      status = PlainCall(*leaf_, deadline, ping, pong);
    }
    if (status.ok() && ping.number() == kHopLimits) {
      status = PlainCall(*silent_,
                         std::chrono::system_clock::now() +
                             absl::ToChronoMilliseconds(kHopsOwnTimeout),
                         ping, pong);
    }
    Tell(absl::StrCat(line, Reading(2, Background()),
                      "code=", status.error_code()));
    return status;
  }

  static grpc::Status PlainCall(Probe::Stub& stub,
                                std::chrono::system_clock::time_point deadline,
                                const Ping& ping, Pong* pong) {
    grpc::ClientContext call;
    call.set_deadline(deadline);
    return stub.Unary(&call, ping, pong);
  }

  const bool with_tether_;
  const std::unique_ptr<Probe::Stub> leaf_;
  const std::unique_ptr<Probe::Stub> silent_;
};

int Main() {
  // For sigwait: no other thread may receive the signal.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  const bool with_tether = absl::GetFlag(FLAGS_tether);
  Hop hop(absl::GetFlag(FLAGS_leaf), absl::GetFlag(FLAGS_silent), with_tether);
  grpc::ServerBuilder builder;
  builder.RegisterService(&hop);
  if (with_tether) InstallServer(builder);
  const testing::LoopbackServer started = testing::ListenOnLoopback(builder);
  Tell(absl::StrCat(kListening, started.port));
  int signal = 0;
  sigwait(&stop, &signal);
  started.server->Shutdown();
  started.server->Wait();
  return 0;
}

}  // namespace
}  // namespace tether

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return tether::Main();
}
