// SPDX-License-Identifier: Apache-2.0
//
// Measures tether's cost per RPC: CPU time, latency and allocations of unary
// and server-streaming calls over loopback. The peers are plain gRPC, and an
// interceptor that does nothing. docs/performance.md explains the method.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "rpc_peers.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe.grpc.pb.h"
#include "tether/observability/metrics.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"
#include "worker.h"

namespace tether::benchmarks {
namespace {

using std::chrono::steady_clock;
using ::tether::testing::Ping;
using ::tether::testing::Pong;
using ::tether::testing::Probe;

constexpr int kMessages = 20;  // per stream
// Long enough that no deadline passes, even on an overloaded machine.
constexpr auto kTimeout = std::chrono::seconds(60);

// The measured modes. By hand: plain gRPC, with an application that writes and
// reads the same values in the same headers. This is the unavoidable cost of
// the headers. Observed: tether, with a handler that checks once whether its
// caller is still there.
// Packed: tether, with all values in one header. Counted: tether, with the
// metrics on, in both processes.
enum Mode {
  kPlain,
  kEmpty,
  kByHand,
  kTether,
  kObserved,
  kPacked,
  kCounted,
  kModes
};
bool HasTether(Mode mode) { return mode >= kTether; }

enum Kind { kUnary, kStream, kKinds };

// RPCs per batch. The batches of both kinds take about the same time.
constexpr int kBatch[kKinds] = {40, 10};

// ---- The server

enum ServerOrder { kPort, kUsage, kCountServer };

class Service final : public Probe::Service {
 public:
  explicit Service(Mode mode) : mode_(mode) {}

  grpc::Status Unary(grpc::ServerContext* sc, const Ping* ping,
                     Pong* pong) override {
    Handle(*sc);
    pong->set_number(ping->number());
    return grpc::Status::OK;
  }

  grpc::Status Download(grpc::ServerContext* sc, const Ping*,
                        grpc::ServerWriter<Pong>* writer) override {
    Handle(*sc);
    Pong pong;
    for (int i = 0; i < kMessages; ++i) {
      pong.set_number(i);
      writer->Write(pong);
    }
    return grpc::Status::OK;
  }

 private:
  void Handle(const grpc::ServerContext& sc) const {
    if (mode_ == kByHand) RequireHeaders(sc.client_metadata());
    if (!HasTether(mode_)) return;
    const Context ctx = ContextOf(sc);
    if (RequestIdOf(ctx) == nullptr || TraceOf(ctx) == nullptr) {
      Die("the values have not arrived");
    }
    if (mode_ == kObserved && ctx.Done()) Die("ended too early");
  }

  const Mode mode_;
};

Worker::Respond Serve(Mode mode) {
  auto service = std::make_shared<Service>(mode);
  grpc::ServerBuilder builder;
  builder.RegisterService(service.get());
  if (mode == kCounted) StartMetrics();
  if (mode == kEmpty) InstallEmpty(builder);
  if (HasTether(mode)) {
    ServerOptions options;
    options.packed = mode == kPacked;
    InstallServer(builder, options);
  }
  testing::LoopbackServer started = testing::ListenOnLoopback(builder);
  const std::shared_ptr<grpc::Server> server = std::move(started.server);
  const int port = started.port;
  // The server is destroyed before its service.
  return [service, server, port](const Order& order) {
    if (order.what == kPort) return Answer{static_cast<double>(port)};
    if (order.what == kCountServer) CountAllocations(order.number != 0);
    return Answer{CpuMicroseconds(), static_cast<double>(Allocations())};
  };
}

// ---- The client

enum ClientOrder { kConnect, kCountClient, kRun };

class Client {
 public:
  explicit Client(Mode mode) : mode_(mode), values_(ValuesOfHeaders()) {
    auto [root, cancel] = WithCancel(Background());
    request_ =
        WithRequestId(WithTrace(root, NewTrace(/*sampled=*/true)), values_[1]);
    cancel_ = std::move(cancel);
  }

  Answer Respond(const Order& order) {
    if (order.what == kConnect) {
      Connect("127.0.0.1:" + std::to_string(order.number));
    } else if (order.what == kCountClient) {
      CountAllocations(order.number != 0);
    } else {
      return Run(static_cast<Kind>(order.number));
    }
    return Answer();
  }

 private:
  void Connect(const std::string& address) {
    const auto credentials = grpc::InsecureChannelCredentials();
    if (mode_ == kCounted) StartMetrics();
    if (mode_ == kPlain || mode_ == kByHand) {
      channel_ = grpc::CreateChannel(address, credentials);
    } else if (mode_ == kEmpty) {
      channel_ = EmptyChannel(address);
    } else {
      ClientOptions options;
      options.packed = mode_ == kPacked;
      channel_ = tether::CreateChannel(address, credentials, options);
    }
    stub_ = Probe::NewStub(channel_);
    if (!channel_->WaitForConnected(Late())) {
      Die("not connected");
    }
  }

  static std::chrono::system_clock::time_point Late() {
    return std::chrono::system_clock::now() + kTimeout;
  }

  // Runs a batch. Returns CPU time, the median of the latencies, and
  // allocations.
  Answer Run(Kind kind) {
    const int n = kBatch[kind];
    std::vector<double> latencies;
    latencies.reserve(static_cast<size_t>(n));
    const int64_t allocations_before = Allocations();
    const double cpu_before = CpuMicroseconds();
    for (int i = 0; i < n; ++i) {
      const auto start = steady_clock::now();
      if (HasTether(mode_)) {
        // The user's whole cost, with the request's context and its deadline.
        const auto [ctx, cancel] =
            WithTimeout(request_, absl::FromChrono(kTimeout));
        ClientCall call(ctx);
        Call(call, kind);
      } else {
        grpc::ClientContext call;
        call.set_deadline(std::chrono::system_clock::now() + kTimeout);
        if (mode_ == kByHand) {
          for (size_t j = 0; j < values_.size(); ++j) {
            call.AddMetadata(kHeaders[j], values_[j]);
          }
        }
        Call(call, kind);
      }
      latencies.push_back(MicrosecondsSince(start));
    }
    return {CpuMicroseconds() - cpu_before, Quantile(std::move(latencies), 0.5),
            static_cast<double>(Allocations() - allocations_before)};
  }

  void Call(grpc::ClientContext& call, Kind kind) {
    Ping ping;
    Pong pong;
    ping.set_number(kMessages);
    int messages = 0;
    grpc::Status status;
    if (kind == kUnary) {
      status = stub_->Unary(&call, ping, &pong);
      messages = 1;
    } else {
      const auto reader = stub_->Download(&call, ping);
      while (reader->Read(&pong)) ++messages;
      status = reader->Finish();
    }
    if (!status.ok() || messages != (kind == kUnary ? 1 : kMessages)) {
      Die("an RPC failed: " + status.error_message());
    }
  }

  const Mode mode_;
  const HeaderValues values_;
  Context request_;
  CancelFunc cancel_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Probe::Stub> stub_;
};

// ---- The measurement

// The two processes of a mode.
struct Pair {
  explicit Pair(Mode mode)
      : server([mode] { return Serve(mode); }), client([mode] {
          auto served = std::make_shared<Client>(mode);
          return
              [served](const Order& order) { return served->Respond(order); };
        }) {}

  Worker server;
  Worker client;
};

struct Samples {
  std::vector<double> cpu;
  std::vector<double> latency;
  double allocations = 0;  // per RPC
};

struct Batch {
  double cpu, latency, allocations;  // per RPC
};

Batch Measure(Pair& pair, Kind kind) {
  const Answer before = pair.server.Do({kUsage, 0});
  const Answer client = pair.client.Do({kRun, kind});
  const Answer after = pair.server.Do({kUsage, 0});
  const int n = kBatch[kind];
  return {(client.a + after.a - before.a) / n, client.b,
          (client.c + after.b - before.b) / n};
}

int Main(int argc, char** argv) {
  const double seconds = SecondsOf(argc, argv);
  Pair plain(kPlain);
  Pair empty(kEmpty);
  Pair by_hand(kByHand);
  Pair tether(kTether);
  Pair observed(kObserved);
  Pair packed(kPacked);
  Pair counted(kCounted);
  Pair* const pairs[kModes] = {&plain,    &empty,  &by_hand, &tether,
                               &observed, &packed, &counted};
  for (Pair* pair : pairs) {
    const Answer port = pair->server.Do({kPort, 0});
    pair->client.Do({kConnect, static_cast<int32_t>(port.a)});
  }

  Samples samples[kModes][kKinds];
  for (int mode = 0; mode < kModes; ++mode) {
    for (int kind = 0; kind < kKinds; ++kind) {
      const auto k = static_cast<Kind>(kind);
      Measure(*pairs[mode], k);  // to warm up
      pairs[mode]->server.Do({kCountServer, 1});
      pairs[mode]->client.Do({kCountClient, 1});
      samples[mode][kind].allocations = Measure(*pairs[mode], k).allocations;
      pairs[mode]->server.Do({kCountServer, 0});
      pairs[mode]->client.Do({kCountClient, 0});
    }
  }
  const auto start = steady_clock::now();
  for (int round = 0; round == 0 || MicrosecondsSince(start) < 1e6 * seconds;
       ++round) {
    for (int kind = 0; kind < kKinds; ++kind) {
      for (int i = 0; i < kModes; ++i) {
        // Start with a different mode each time, in both directions.
        const int turn = (round / 2 + i) % kModes;
        const int mode = round % 2 == 0 ? turn : kModes - 1 - turn;
        const Batch batch = Measure(*pairs[mode], static_cast<Kind>(kind));
        samples[mode][kind].cpu.push_back(batch.cpu);
        samples[mode][kind].latency.push_back(batch.latency);
      }
    }
  }

  std::vector<Row> rows;
  for (const Mode own : {kTether, kObserved, kPacked, kCounted}) {
    for (const bool is_cpu : {true, false}) {
      for (int kind = 0; kind < kKinds; ++kind) {
        const auto median = [&](Mode mode) {
          const Samples& s = samples[mode][kind];
          return Quantile(is_cpu ? s.cpu : s.latency, 0.5);
        };
        Row row;
        row.operation = is_cpu ? "cpu " : "latency p50 ";
        row.operation += kind == kUnary ? "unary" : "server stream";
        if (own == kObserved) row.operation += ", observed";
        if (own == kPacked) row.operation += ", packed";
        if (own == kCounted) row.operation += ", with metrics";
        row.tether = median(own);
        row.peers = {{"plain grpc", median(kPlain)},
                     {"headers by hand", median(kByHand)},
                     {"empty interceptor", median(kEmpty)}};
        if (own == kCounted) row.peers = {{"no metrics", median(kTether)}};
        row.allocations =
            samples[own][kind].allocations - samples[kPlain][kind].allocations;
        rows.push_back(std::move(row));
      }
    }
  }
  Print(rows);
  return 0;
}

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) { return tether::benchmarks::Main(argc, argv); }
