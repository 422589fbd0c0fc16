// SPDX-License-Identifier: Apache-2.0
//
// Measures how often the report of a slow handler is lost, because the answer
// arrives when the caller's own time is up, for several reserves. The handler
// checks its context every few milliseconds, or waits for its end (0 ms).
// docs/performance.md has the figures and the decision.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/random/random.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/probe_server.h"

ABSL_FLAG(int, calls, 200, "The number of calls for each figure.");
ABSL_FLAG(int, callers, 4, "The number of threads that call.");
ABSL_FLAG(bool, cold, false, "Every call has a new connection.");
ABSL_FLAG(absl::Duration, timeout, absl::ZeroDuration(),
          "The only timeout to measure; 0: all.");

namespace tether::benchmarks {
namespace {

using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

constexpr absl::Duration kTimeouts[] = {
    absl::Milliseconds(20), absl::Milliseconds(50), absl::Milliseconds(80),
    absl::Milliseconds(200), absl::Seconds(1)};

// How often the handler checks its context.
constexpr int kChecks[] = {0, 1, 5, 10};

// `fixed` of the reserves, in milliseconds.
constexpr int kFixed[] = {1, 3, 5, 10};

// The number of calls out of all whose report was lost.
int Lost(ProbeServer& server, absl::Duration timeout, int check, int fixed) {
  ClientOptions options;
  options.reserve.fixed = absl::Milliseconds(fixed);
  std::atomic<int> calls_left{absl::GetFlag(FLAGS_calls)};
  std::atomic<int> lost{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < absl::GetFlag(FLAGS_callers); ++i) {
    callers.emplace_back([&] {
      auto stub = server.Stub(options);
      Ping ping;
      Pong pong;
      if (!absl::GetFlag(FLAGS_cold)) {
        ping.set_number(-1);
        ClientCall call((Background()));
        (void)stub->Unary(&call, ping, &pong);
      }
      ping.set_number(check);
      while (calls_left-- > 0) {
        if (absl::GetFlag(FLAGS_cold)) stub = server.Stub(options);
        auto [ctx, cancel] = WithTimeout(Background(), timeout);
        ClientCall call(ctx);
        (void)stub->Unary(&call, ping, &pong);
        if (!call.report().has_report()) ++lost;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  return lost;
}

void Run() {
  ProbeServer server((ProbeServer::Options()));
  server.unary = [](grpc::ServerContext& sc, const Ping& ping, Pong*) {
    const Context ctx = ContextOf(sc);
    if (ping.number() < 0) return grpc::Status::OK;
    if (ping.number() == 0) ctx.Wait();
    // The deadline can come at any moment between two checks.
    static thread_local absl::BitGen random;
    absl::Duration until_check =
        absl::Uniform(random, 0.0, 1.0) * absl::Milliseconds(ping.number());
    while (!ctx.Done()) {
      absl::SleepFor(
          std::exchange(until_check, absl::Milliseconds(ping.number())));
    }
    return StatusOf(ctx);
  };
  std::printf("timeout  check every");
  for (const int fixed : kFixed) std::printf("  fixed %2d ms", fixed);
  std::printf("\n");
  const absl::Duration only = absl::GetFlag(FLAGS_timeout);
  for (const absl::Duration timeout : kTimeouts) {
    if (only != absl::ZeroDuration() && only != timeout) continue;
    for (const int check : kChecks) {
      std::printf("%5.0f ms        %2d ms", absl::ToDoubleMilliseconds(timeout),
                  check);
      for (const int fixed : kFixed) {
        std::printf("      %5.1f %%", 100.0 *
                                          Lost(server, timeout, check, fixed) /
                                          absl::GetFlag(FLAGS_calls));
        std::fflush(stdout);
      }
      std::printf("\n");
    }
  }
}

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  tether::benchmarks::Run();
}
