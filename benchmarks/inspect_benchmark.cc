// SPDX-License-Identifier: Apache-2.0
//
// The time that it takes to look at what is in flight, and to read the metrics.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "harness.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/inspect.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/observability/metrics.h"
#include "tether/propagation/trace_context.h"

namespace tether::benchmarks {
namespace {

using ::tether::testing::Ping;
using ::tether::testing::Pong;
using ::tether::testing::ProbeServer;

// Answers when its caller has left.
class Held final : public grpc::ServerUnaryReactor {
  void OnCancel() override { Finish(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }
};

// A server with `count` requests whose handlers wait, and their clients, in
// this process. Without tether, the clients' calls aren't listed.
class Waiting {
 public:
  Waiting(int count, bool clients_have_tether)
      : all_(WithTimeout(WithTrace(Background(), NewTrace(/*sampled=*/true)),
                         absl::Hours(1))) {
    server_.callback_unary = [this](grpc::CallbackServerContext*, const Ping*,
                                    Pong*) {
      ++arrived_;
      return new Held;
    };
    stub_ =
        server_.Stub(clients_have_tether ? std::make_optional<ClientOptions>()
                                         : std::nullopt);
    for (int i = 0; i < count; ++i) {
      calls_.push_back(std::make_unique<Call>(all_.ctx));
      Call& call = *calls_.back();
      call.rpc = stub_->AsyncUnary(&call.call, Ping(), &queue_);
      call.rpc->Finish(&call.pong, &call.status, &call);
    }
    const absl::Time give_up = absl::Now() + absl::Seconds(50);
    while (!all_wait() && absl::Now() < give_up) {
      absl::SleepFor(absl::Milliseconds(1));
    }
  }

  ~Waiting() {
    all_.cancel();
    void* tag;
    bool ok;
    for (size_t i = 0; i < calls_.size(); ++i) queue_.Next(&tag, &ok);
    queue_.Shutdown();
    while (queue_.Next(&tag, &ok)) {
    }
  }

  bool all_wait() const { return arrived_ == calls_.size(); }

 private:
  struct Call {
    explicit Call(const Context& ctx) : call(ctx) {}
    ClientCall call;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Pong>> rpc;
    Pong pong;
    grpc::Status status;
  };

  static ProbeServer::Options CallbackApi() {
    ProbeServer::Options options;
    options.callback_api = true;
    return options;
  }

  Cancellable all_;
  std::atomic<size_t> arrived_{0};
  ProbeServer server_{CallbackApi()};
  std::unique_ptr<testing::Probe::Stub> stub_;
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Call>> calls_;
};

void InspectRequests(benchmark::State& state, int count, bool and_calls) {
  const Waiting waiting(count, and_calls);
  if (!waiting.all_wait()) return Fail(state, "not all requests arrived");
  InspectOptions options;
  options.max_entries = static_cast<size_t>(count);
  for (auto _ : state) {
    const InFlight seen = Inspect(options);
    if (seen.requests.size() != static_cast<size_t>(count)) {
      return Fail(state, "a request is missing");
    }
  }
}
BENCHMARK_CAPTURE(InspectRequests, hundred, 100, false)
    ->Name("inspect 100 requests in flight");
BENCHMARK_CAPTURE(InspectRequests, ten_thousand, 10'000, false)
    ->Name("inspect 10000 requests in flight");
BENCHMARK_CAPTURE(InspectRequests, with_calls, 10'000, true)
    ->Name("inspect 10000 requests and 10000 calls in flight");

void ReadTheMetrics(benchmark::State& state) {
  StartMetrics();
  { const Waiting counted(100, /*clients_have_tether=*/true); }
  for (auto _ : state) {
    if (ReadMetrics().servers.empty()) return Fail(state, "nothing counted");
  }
}
BENCHMARK(ReadTheMetrics)->Name("read the metrics of a method");

}  // namespace
}  // namespace tether::benchmarks
