// SPDX-License-Identifier: Apache-2.0
//
// A hop of the chain as a process. Prints its address. Reads commands:
//
//   begin       forget all that was measured
//   stall MS    requests at the leaf wait for so many milliseconds
//   report      print what was measured, as JSON on one line
//
// It ends at the end of its input.

#include <grpcpp/grpcpp.h>

#include <iostream>
#include <memory>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "hop.h"
#include "tether/grpc/testing/loopback.h"
#include "worker.h"

ABSL_FLAG(std::string, variant, "tether",
          "no propagation, FromServerContext or tether");
ABSL_FLAG(std::string, api, "sync", "sync or callback");
ABSL_FLAG(std::string, next, "", "The address of the next hop; empty: a leaf");

ABSL_FLAG(absl::Duration, min_budget, absl::ZeroDuration(),
          "tether turns away what arrives with less time");
ABSL_FLAG(absl::Duration, reserve, absl::InfiniteDuration(),
          "What tether's calls keep of the time; inf: the default");

namespace tether::benchmarks {
namespace {

Variant VariantOf(const std::string& name) {
  if (name == "tether") return Variant::kTether;
  if (name == "FromServerContext") return Variant::kByHand;
  if (name == "no propagation") return Variant::kNoPropagation;
  Die("unknown variant '" + name + "'");
}

// The default options, unless --min_budget is set.
ServerOptions Options() {
  ServerOptions options;
  const absl::Duration min_budget = absl::GetFlag(FLAGS_min_budget);
  if (min_budget > absl::ZeroDuration()) {
    options.time.min_budget = min_budget;
    options.shed_fraction = 1;
  }
  return options;
}

void Obey(Meter& meter) {
  for (std::string line; std::getline(std::cin, line);) {
    absl::string_view word = line;
    int stalled_ms = 0;
    if (line == "begin") {
      meter.Begin();
    } else if (line == "report") {
      std::cout << meter.Report() << std::endl;
    } else if (absl::ConsumePrefix(&word, "stall ") &&
               absl::SimpleAtoi(word, &stalled_ms)) {
      meter.StallUntil(std::chrono::steady_clock::now() +
                       std::chrono::milliseconds(stalled_ms));
    } else {
      Die("unknown command '" + line + "'");
    }
  }
}

void Run() {
  const Variant variant = VariantOf(absl::GetFlag(FLAGS_variant));
  const std::string next = absl::GetFlag(FLAGS_next);
  Meter meter;
  std::unique_ptr<Hop::Stub> stub;
  if (!next.empty()) {
    ClientOptions options;
    if (absl::GetFlag(FLAGS_reserve) != absl::InfiniteDuration()) {
      options.reserve = Reserve::Fixed(absl::GetFlag(FLAGS_reserve));
    }
    const auto credentials = grpc::InsecureChannelCredentials();
    stub = Hop::NewStub(variant == Variant::kTether
                            ? CreateChannel(next, credentials, options)
                            : grpc::CreateChannel(next, credentials));
  }
  const std::unique_ptr<grpc::Service> service =
      absl::GetFlag(FLAGS_api) == "callback"
          ? MakeCallbackHop(variant, meter, stub.get())
          : MakeSyncHop(variant, meter, stub.get());
  grpc::ServerBuilder builder;
  builder.RegisterService(service.get());
  if (variant == Variant::kTether) InstallServer(builder, Options());
  const testing::LoopbackServer server = testing::ListenOnLoopback(builder);
  std::cout << server.address << std::endl;
  Obey(meter);
  server.server->Shutdown(std::chrono::system_clock::now());
}

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  tether::benchmarks::Run();
}
