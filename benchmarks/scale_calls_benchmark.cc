// SPDX-License-Identifier: Apache-2.0
//
// Measures what many calls in a row, many channels and a long chain of hops
// cost, with tether and with plain gRPC. docs/performance.md explains the rows.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/time/time.h"
#include "scale.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/deadline_chain.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe.grpc.pb.h"
#include "worker.h"

ABSL_FLAG(int, calls, 1'000'000, "The number of calls in a row.");
ABSL_FLAG(int, channels, 1'000, "The largest number of channels.");
ABSL_FLAG(int, repeats, 3, "How often all but the calls in a row is measured.");

namespace tether::benchmarks {
namespace {

using std::chrono::steady_clock;
using ::tether::testing::BrokenBound;
using ::tether::testing::DeadlineChain;
using ::tether::testing::Passage;
using ::tether::testing::Ping;
using ::tether::testing::Pong;
using ::tether::testing::Probe;

enum Way { kTether, kPlain, kWays };

// Long enough that no deadline passes, even on an overloaded machine.
constexpr auto kTimeout = std::chrono::seconds(60);

constexpr int kClients = 4;  // threads
constexpr int kBatches = 10;

constexpr int kHops = 32;
constexpr int kChainCalls = 20;
constexpr absl::Duration kChainTimeout = absl::Seconds(20);

class Service final : public Probe::Service {
 public:
  explicit Service(Way way) : way_(way) {}

  grpc::Status Unary(grpc::ServerContext* sc, const Ping*, Pong*) override {
    if (way_ == kTether && ContextOf(*sc).Done()) Die("ended too early");
    return grpc::Status::OK;
  }

 private:
  const Way way_;
};

// A server in this process.
class Served {
 public:
  explicit Served(Way way) : way_(way), service_(way) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    if (way == kTether) InstallServer(builder);
    started_ = testing::ListenOnLoopback(builder);
  }
  ~Served() { started_.server->Shutdown(); }

  // A new channel, with its own connection.
  std::unique_ptr<Probe::Stub> Stub() const {
    const auto credentials = grpc::InsecureChannelCredentials();
    const grpc::ChannelArguments arguments = testing::OwnConnection();
    return Probe::NewStub(
        way_ == kTether ? tether::CreateChannel(started_.address, credentials,
                                                {}, arguments)
                        : grpc::CreateCustomChannel(started_.address,
                                                    credentials, arguments));
  }

  // A call, with all that it costs its user.
  void Call(Probe::Stub& stub) const {
    if (way_ == kTether) {
      const auto [ctx, cancel] =
          WithTimeout(Background(), absl::FromChrono(kTimeout));
      ClientCall call(ctx);
      return Call(stub, call);
    }
    grpc::ClientContext call;
    call.set_deadline(std::chrono::system_clock::now() + kTimeout);
    Call(stub, call);
  }

 private:
  static void Call(Probe::Stub& stub, grpc::ClientContext& call) {
    call.set_wait_for_ready(true);
    Pong pong;
    const grpc::Status status = stub.Unary(&call, Ping(), &pong);
    if (!status.ok()) Die("a call failed: " + status.error_message());
  }

  const Way way_;
  Service service_;
  testing::LoopbackServer started_;
};

// ---- Calls in a row

enum CallFigure { kFirst, kLast, kGrowth, kHeapGrowth, kTimerShare };

void CallFromEachThread(const Served& served, Probe::Stub& stub, int calls) {
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&] {
      for (int j = 0; j < calls; ++j) served.Call(stub);
    });
  }
  for (std::thread& client : clients) client.join();
}

Figures MeasureCalls(Way way, int calls) {
  const Served served(way);
  const auto stub = served.Stub();
  const int each = calls / kBatches / kClients;
  std::vector<double> cpu;  // of a call, by batch
  double resident = 0;
  double heap = 0;
  const double start = CpuMicroseconds();
  for (int batch = 0; batch < kBatches; ++batch) {
    const double before = CpuMicroseconds();
    CallFromEachThread(served, *stub, each);
    cpu.push_back((CpuMicroseconds() - before) / (each * kClients));
    // The first batch takes the memory that calls use again and again.
    if (batch == 0) resident = ResidentBytes();
    if (batch == 0) heap = HeapBytes();
  }
  return {cpu.front(), cpu.back(), ResidentBytes() - resident,
          HeapBytes() - heap,
          100 * ThreadCpuMicroseconds("tether-timer") /
              (CpuMicroseconds() - start)};
}

void AddCalls(int calls, std::vector<Row>& rows) {
  const std::vector<Figures> ways = MeasureInTurn(
      kWays, /*repeats=*/1,
      [calls](int way) { return MeasureCalls(static_cast<Way>(way), calls); });
  const std::string count = std::to_string(calls);
  const auto add = [&](CallFigure figure, std::string operation,
                       std::string unit) {
    rows.push_back(MakeRow(std::move(operation), std::move(unit),
                           ways[kTether][figure],
                           {{"plain grpc", ways[kPlain][figure]}}));
  };
  add(kFirst, "cpu of a call, the first tenth of " + count, "us");
  add(kLast, "cpu of a call, the last tenth of " + count, "us");
  add(kGrowth,
      "growth over the last nine tenths of " + count + " calls, resident",
      "bytes");
  add(kHeapGrowth, "growth over the last nine tenths of " + count + " calls",
      "bytes");
  rows.push_back(MakeRow("timer thread's share, " + count + " calls", "percent",
                         ways[kTether][kTimerShare]));
}

// ---- Channels

Figures MeasureChannels(Way way, int channels) {
  RaiseFileLimit();
  const Served served(way);
  const auto first = served.Stub();
  served.Call(*first);
  std::vector<std::unique_ptr<Probe::Stub>> stubs;
  stubs.reserve(static_cast<size_t>(channels));
  const double heap = HeapBytes();
  const double resident = ResidentBytes();
  const double cpu = CpuMicroseconds();
  for (int i = 0; i < channels; ++i) {
    stubs.push_back(served.Stub());
    served.Call(*stubs.back());
  }
  return {(HeapBytes() - heap) / channels,
          (ResidentBytes() - resident) / channels,
          (CpuMicroseconds() - cpu) / channels};
}

void AddChannels(int channels, int repeats, std::vector<Row>& rows) {
  const std::vector<Figures> ways =
      MeasureInTurn(kWays, repeats, [channels](int way) {
        return MeasureChannels(static_cast<Way>(way), channels);
      });
  const std::string name = "channel, of " + std::to_string(channels);
  const auto add = [&](size_t figure, const char* suffix, const char* unit) {
    rows.push_back(MakeRow(name + suffix, unit, ways[kTether][figure],
                           {{"plain grpc", ways[kPlain][figure]}}));
  };
  add(0, "", "bytes");
  add(1, ", resident", "bytes");
  add(2, ", with its first call", "us");
}

// ---- A chain of hops

enum ChainFigure { kTime, kCpu, kDrift };

Figures CallThrough(DeadlineChain& chain,
                    const std::optional<Reserve>& reserve) {
  const double cpu = CpuMicroseconds();
  const auto start = steady_clock::now();
  const std::optional<Passage> passage = chain.Call(kChainTimeout);
  const double time = MicrosecondsSince(start);
  if (!passage) Die("a call through the chain failed");
  if (reserve) {
    const std::string broken = BrokenBound(*passage, *reserve);
    if (!broken.empty()) Die(broken);
  }
  return {time, CpuMicroseconds() - cpu,
          absl::ToDoubleMilliseconds(passage->Drift())};
}

// The ways take turns in one process. The figures of one follow those of the
// other.
Figures MeasureChains() {
  const std::optional<Reserve> reserves[] = {ClientOptions().reserve,
                                             Reserve::None(), std::nullopt};
  std::vector<std::unique_ptr<DeadlineChain>> chains;
  for (const auto& reserve : reserves) {
    chains.push_back(std::make_unique<DeadlineChain>(reserve, kHops));
    if (!chains.back()->Connect()) Die("no connection");
  }
  std::vector<Figures> calls[3];
  for (int i = 0; i < kChainCalls; ++i) {
    for (size_t way = 0; way < 3; ++way) {
      calls[way].push_back(CallThrough(*chains[way], reserves[way]));
    }
  }
  Figures all;
  for (const auto& of_way : calls) {
    for (const double figure : Medians(of_way)) all.push_back(figure);
  }
  return all;
}

void AddChain(int repeats, std::vector<Row>& rows) {
  const Figures all =
      MeasureInTurn(1, repeats, [](int) { return MeasureChains(); })[0];
  const auto of = [&](size_t way, ChainFigure figure) {
    return all[3 * way + static_cast<size_t>(figure)];
  };
  const std::string name = "chain of " + std::to_string(kHops) + " hops";
  const auto add = [&](const char* suffix, const char* unit, size_t way,
                       ChainFigure figure) {
    rows.push_back(MakeRow(name + suffix, unit, of(way, figure),
                           {{"plain grpc", of(2, figure)}}));
  };
  add("", "us", 0, kTime);
  add(", cpu", "us", 0, kCpu);
  add(", drift, default reserve", "ms", 0, kDrift);
  add(", drift, zero reserve", "ms", 1, kDrift);
}

int Main() {
  const int repeats = absl::GetFlag(FLAGS_repeats);
  std::vector<Row> rows;
  AddCalls(absl::GetFlag(FLAGS_calls), rows);
  for (int n = 10; n <= absl::GetFlag(FLAGS_channels); n *= 10) {
    AddChannels(n, repeats, rows);
  }
  AddChain(repeats, rows);
  Print(rows);
  return 0;
}

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return tether::benchmarks::Main();
}
