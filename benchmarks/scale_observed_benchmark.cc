// SPDX-License-Identifier: Apache-2.0
//
// Measures how late deadlines fire in a sync server whose handlers observe
// their contexts for longer than EndWatcher::kDelay, so that each request is
// watched. The controls are the same requests with handlers that don't observe,
// and no requests. docs/performance.md explains the rows.

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/time/time.h"
#include "scale.h"
#include "tether/context.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe.grpc.pb.h"
#include "worker.h"

ABSL_FLAG(int, rate, 10'000, "Requests a second.");
ABSL_FLAG(double, seconds, 5, "How long each measurement takes.");
ABSL_FLAG(int, repeats, 3, "The number of measurements.");

namespace tether::benchmarks {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::tether::testing::Ping;
using ::tether::testing::Pong;
using ::tether::testing::Probe;

enum Mode { kObserved, kNotObserved, kNoRequests, kModes };

// How long a handler runs.
constexpr auto kHandler = milliseconds(3);

// The deadlines that are measured: how far away they are, and how far apart.
constexpr auto kTimeout = milliseconds(20);
constexpr auto kApart = milliseconds(1);

constexpr double kWarmUpSeconds = 0.5;

// There are no more requests at a time. Seven times as many as run at the full
// rate: with more, a machine that is too busy for the rate would spend its time
// on switching between the threads of their handlers.
constexpr int kMostInFlight = 200;

// ---- The server

enum ServerOrder { kPort, kWarmUp, kMeasure, kFigure };

class Service final : public Probe::Service {
 public:
  explicit Service(Mode mode) : mode_(mode) {}

  grpc::Status Unary(grpc::ServerContext* sc, const Ping*, Pong*) override {
    if (mode_ == kObserved) {
      (void)ContextOf(*sc).WaitFor(absl::FromChrono(kHandler));
    } else {
      std::this_thread::sleep_for(kHandler);
    }
    // The process may have watches of other requests, which are as good.
    if (const int64_t now = GetGrpcStats().watches; now > 0) watches_ = now;
    ++served_;
    return grpc::Status::OK;
  }

  int64_t served() const { return served_; }
  // How many requests were watched at some moment, or 0.
  int64_t watches() const { return watches_; }

 private:
  const Mode mode_;
  std::atomic<int64_t> served_{0};
  std::atomic<int64_t> watches_{0};
};

enum ServerFigure {
  kMedian,
  kP99,
  kLatest,
  kServed,      // a second
  kRequestCpu,  // of the server's process
  kWatchShare,
  kTimerShare,
  kCallbackShare,
  kWatches,
  kFigures
};

Figures Measure(const Service& service, double seconds) {
  std::deque<MeasuredDeadline> deadlines;
  const int64_t served = service.served();
  const double cpu = CpuMicroseconds();
  const double watch = ThreadCpuMicroseconds("tether-watch");
  const double timer = ThreadCpuMicroseconds("tether-timer");
  const double callback = ThreadCpuMicroseconds("tether-callback");
  const auto start = steady_clock::now();
  do {
    deadlines.emplace_back(steady_clock::now() + kTimeout);
    std::this_thread::sleep_for(kApart);
  } while (MicrosecondsSince(start) < 1e6 * seconds);
  const double taken = MicrosecondsSince(start);
  const auto requests = static_cast<double>(service.served() - served);
  Figures figures(kFigures);
  figures[kServed] = requests / taken * 1e6;
  figures[kRequestCpu] = (CpuMicroseconds() - cpu) / std::max(requests, 1.0);
  figures[kWatches] = static_cast<double>(service.watches());
  const auto share = [taken](const char* name, double before) {
    return 100 * (ThreadCpuMicroseconds(name) - before) / taken;
  };
  figures[kWatchShare] = share("tether-watch", watch);
  figures[kTimerShare] = share("tether-timer", timer);
  figures[kCallbackShare] = share("tether-callback", callback);
  std::vector<double> late_us;
  for (const MeasuredDeadline& deadline : deadlines) {
    while (!deadline.fired()) std::this_thread::sleep_for(kApart);
    late_us.push_back(deadline.late_us());
  }
  figures[kMedian] = Quantile(late_us, 0.5);
  figures[kP99] = Quantile(late_us, 0.99);
  figures[kLatest] = Quantile(late_us, 1);
  return figures;
}

Worker::Respond Serve(Mode mode, double seconds) {
  auto service = std::make_shared<Service>(mode);
  grpc::ServerBuilder builder;
  builder.RegisterService(service.get());
  // gRPC keeps so many threads. With its default it would start and end a
  // thread for nearly every request.
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 64);
  InstallServer(builder);
  testing::LoopbackServer started = testing::ListenOnLoopback(builder);
  const std::shared_ptr<grpc::Server> server = std::move(started.server);
  const int port = started.port;
  auto figures = std::make_shared<Figures>();
  // The server is destroyed before its service.
  return [service, server, port, seconds, figures](const Order& order) {
    if (order.what == kPort) return Answer{static_cast<double>(port)};
    if (order.what == kWarmUp) *figures = Measure(*service, kWarmUpSeconds);
    if (order.what == kMeasure) *figures = Measure(*service, seconds);
    return Answer{(*figures)[static_cast<size_t>(order.number)]};
  };
}

// ---- The clients

enum ClientOrder { kStart, kStop };

// Sends requests at a fixed rate, without tether.
class Clients {
 public:
  explicit Clients(int rate) : rate_(rate) {}

  Answer Respond(const Order& order) {
    if (order.what == kStart) {
      stub_ = Probe::NewStub(
          grpc::CreateChannel("127.0.0.1:" + std::to_string(order.number),
                              grpc::InsecureChannelCredentials()));
      thread_ = std::thread([this] { Send(); });
    } else {
      stop_ = true;
      thread_.join();
      while (in_flight_ > 0) std::this_thread::sleep_for(milliseconds(1));
    }
    return Answer();
  }

 private:
  struct Call {
    grpc::ClientContext context;
    Ping ping;
    Pong pong;
  };

  void Send() {
    const auto start = steady_clock::now();
    for (int64_t sent = 0; !stop_;) {
      const auto due =
          static_cast<int64_t>(MicrosecondsSince(start) / 1e6 * rate_);
      for (; sent < due; ++sent) {
        // Requests that the server has no time for are left out.
        if (in_flight_ < kMostInFlight) SendOne();
      }
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  void SendOne() {
    ++in_flight_;
    auto* call = new Call;
    call->context.set_wait_for_ready(true);
    call->context.set_deadline(std::chrono::system_clock::now() +
                               std::chrono::minutes(1));
    stub_->async()->Unary(&call->context, &call->ping, &call->pong,
                          [this, call](const grpc::Status& status) {
                            if (!status.ok()) Die(status.error_message());
                            delete call;
                            --in_flight_;
                          });
  }

  const int rate_;
  std::unique_ptr<Probe::Stub> stub_;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::atomic<int> in_flight_{0};
};

// ---- The measurement

Figures MeasureMode(Mode mode, int rate, double seconds) {
  Worker server([=] { return Serve(mode, seconds); });
  Worker clients([=]() -> Worker::Respond {
    auto sending = std::make_shared<Clients>(rate);
    return [sending](const Order& order) { return sending->Respond(order); };
  });
  const auto port = static_cast<int32_t>(server.Do({kPort, 0}).a);
  const bool has_requests = mode != kNoRequests;
  if (has_requests) clients.Do({kStart, port});
  server.Do({kWarmUp, 0});  // starts all threads
  Figures figures = {server.Do({kMeasure, 0}).a};
  for (int32_t i = 1; i < kFigures; ++i) {
    figures.push_back(server.Do({kFigure, i}).a);
  }
  if (has_requests) clients.Do({kStop, 0});
  if ((figures[kWatches] > 0) != (mode == kObserved)) {
    Die("the wrong requests are watched");
  }
  return figures;
}

class Measurement {
 public:
  Measurement(int rate, double seconds, int repeats)
      : load_(std::to_string(rate) + " observed requests a second") {
    for (int round = 0; round < repeats; ++round) {
      for (int i = 0; i < kModes; ++i) {
        const int mode = round % 2 == 0 ? i : kModes - 1 - i;
        all_[mode].push_back(
            MeasureMode(static_cast<Mode>(mode), rate, seconds));
      }
    }
    for (int mode = 0; mode < kModes; ++mode) {
      medians_[mode] = Medians(all_[mode]);
    }
  }

  std::vector<Row> Rows() {
    Add(kMedian, "firing p50 beside " + load_, "us", kModes);
    Add(kP99, "firing p99 beside " + load_, "us", kModes);
    AddLatest();
    Add(kServed, "served, of " + load_, "per second", kNoRequests);
    Add(kRequestCpu, "server's cpu of a request, " + load_, "us", kNoRequests);
    Add(kWatchShare, "watch thread's share, " + load_, "percent", kNotObserved);
    Add(kTimerShare, "timer thread's share, " + load_, "percent", kModes);
    Add(kCallbackShare, "callback thread's share, " + load_, "percent", kModes);
    return std::move(rows_);
  }

 private:
  // The peers are the modes from kNotObserved to before `end`.
  void Add(ServerFigure figure, std::string operation, std::string unit,
           int end) {
    rows_.push_back(MakeRow(std::move(operation), std::move(unit),
                            medians_[kObserved][figure]));
    static constexpr const char* kNames[] = {"", "not observed", "no requests"};
    for (int mode = kNotObserved; mode < end; ++mode) {
      rows_.back().peers.emplace_back(kNames[mode], medians_[mode][figure]);
    }
  }

  // The latest of all measurements.
  void AddLatest() {
    for (int mode = 0; mode < kModes; ++mode) {
      for (const Figures& figures : all_[mode]) {
        medians_[mode][kLatest] =
            std::max(medians_[mode][kLatest], figures[kLatest]);
      }
    }
    Add(kLatest, "latest firing beside " + load_, "us", kModes);
    rows_.back().worst = true;
  }

  const std::string load_;
  std::vector<Figures> all_[kModes];
  Figures medians_[kModes];
  std::vector<Row> rows_;
};

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  tether::benchmarks::Print(
      tether::benchmarks::Measurement(absl::GetFlag(FLAGS_rate),
                                      absl::GetFlag(FLAGS_seconds),
                                      absl::GetFlag(FLAGS_repeats))
          .Rows());
  return 0;
}
