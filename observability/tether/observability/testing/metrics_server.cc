// SPDX-License-Identifier: Apache-2.0
//
// A program for prometheus_test: a server that is called all the time, and its
// metrics for Prometheus. It prints "metrics on port N", and runs until its
// standard input ends.

#include <grpcpp/grpcpp.h>
#include <prometheus/exposer.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/request_summary.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/mutex.h"
#include "tether/observability/metric_table.h"
#include "tether/observability/metrics.h"
#include "tether/observability/prometheus.h"
#include "tether/observability/testing/sample_metrics.h"

ABSL_FLAG(int, calls_per_second, 50, "How many calls it makes.");
ABSL_FLAG(absl::Duration, deadline, absl::Seconds(5), "Of the calls.");
ABSL_FLAG(int, without_deadline, 4,
          "Of so many calls, one has no deadline; 0: all have one.");
ABSL_FLAG(bool, print_samples, false,
          "Prints a sample of all metrics, and does nothing else.");

namespace tether::testing {
namespace {

// Calls the server until `stop`. If the machine is slow, it catches up.
void MakeCalls(Probe::Stub& stub, const absl::Notification& stop) {
  const auto start = std::chrono::steady_clock::now();
  const int rate = absl::GetFlag(FLAGS_calls_per_second);
  const int without = absl::GetFlag(FLAGS_without_deadline);
  for (int64_t i = 0; !stop.HasBeenNotified(); ++i) {
    std::this_thread::sleep_until(start + std::chrono::seconds(1) * i / rate);
    const bool has_deadline = without == 0 || i % without != 0;
    auto [ctx, cancel] =
        has_deadline ? WithTimeout(Background(), absl::GetFlag(FLAGS_deadline))
                     : WithCancel(Background());
    ClientCall call(ctx);
    Pong pong;
    const grpc::Status status = stub.Unary(&call, Ping(), &pong);
    if (!status.ok()) std::cerr << status.error_message() << std::endl;
  }
}

int Run() {
  StartMetrics();
  ProbeServer server({/*callback_api=*/false});
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  const auto stub = server.Stub();

  const auto metrics = std::make_shared<PrometheusCollectable>();
  prometheus::Exposer exposer("127.0.0.1:0");
  exposer.RegisterCollectable(metrics);

  absl::Notification stop;
  std::thread caller([&] { MakeCalls(*stub, stop); });
  std::cout << "metrics on port " << exposer.GetListeningPorts().at(0)
            << std::endl;
  std::cin.ignore(std::numeric_limits<std::streamsize>::max());
  stop.Notify();
  caller.join();
  return 0;
}

}  // namespace
}  // namespace tether::testing

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  if (absl::GetFlag(FLAGS_print_samples)) {
    std::cout << tether::PrometheusTextOf(tether::testing::SampleMetrics());
    return 0;
  }
  return tether::testing::Run();
}
