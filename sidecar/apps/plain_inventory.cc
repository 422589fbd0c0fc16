// SPDX-License-Identifier: Apache-2.0
//
// shop.v1.Inventory as an ordinary C++ service, without tether. It works for
// --delay, unless gRPC says that the call is cancelled: then it stops.
//
// Prints "listening on port N", and for each request {"began_ms": T}, perhaps
// {"cancelled_ms": T}, and at its end a shop.v1.HopEvent, as lines of JSON. All
// times are of the machine's monotonic clock.

#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"

ABSL_FLAG(int, port, 0, "The port on loopback; 0 picks a free one.");
ABSL_FLAG(absl::Duration, delay, absl::Milliseconds(5),
          "How long an answer takes.");

namespace shop {
namespace {

double NowMs() {
  return absl::ToDoubleMilliseconds(
      absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch()));
}

// One write, so that the lines of two threads don't mix.
void WriteLine(std::string line) {
  line.push_back('\n');
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

class PlainInventory final : public v1::Inventory::Service {
 public:
  grpc::Status GetStock(grpc::ServerContext* context,
                        const v1::GetStockRequest*,
                        v1::GetStockResponse* response) override {
    const double begin = NowMs();
    const double left = LeftMs(*context);
    WriteLine(absl::StrFormat(R"({"began_ms": %.3f})", begin));
    const double end =
        begin + absl::ToDoubleMilliseconds(absl::GetFlag(FLAGS_delay));
    while (NowMs() < end && !context->IsCancelled()) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    std::string outcome = "ok";
    if (NowMs() < end) {
      WriteLine(absl::StrFormat(R"({"cancelled_ms": %.3f})", NowMs()));
      // gRPC doesn't say why. A caller's cancellation may come just before the
      // deadline that made it.
      outcome = LeftMs(*context) > 50 ? "cancelled" : "deadline_exceeded";
    }
    WriteLine(absl::StrCat(
        R"({"service": "inventory", "method": "GetStock", )",
        absl::StrFormat(R"("started_ms": %.3f, "elapsed_ms": %.3f, )", begin,
                        NowMs() - begin),
        left < kForeverMs
            ? absl::StrFormat(R"("remaining_ms_on_arrival": %.3f, )", left)
            : "",
        R"("outcome": ")", outcome, "\"}"));
    response->set_stock(42);
    return grpc::Status::OK;
  }

 private:
  static constexpr double kForeverMs = 1e11;  // without a deadline

  // Until the deadline.
  static double LeftMs(const grpc::ServerContext& context) {
    return absl::ToDoubleMilliseconds(absl::FromChrono(context.deadline()) -
                                      absl::Now());
  }
};

int Main() {
  // Blocked before gRPC starts threads, so that only sigwait sees it.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  PlainInventory service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(
      absl::StrCat("127.0.0.1:", absl::GetFlag(FLAGS_port)),
      grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  WriteLine(absl::StrCat("listening on port ", port));
  int received = 0;
  sigwait(&stop, &received);
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}

}  // namespace
}  // namespace shop

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return shop::Main();
}
