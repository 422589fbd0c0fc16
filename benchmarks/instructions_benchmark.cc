// SPDX-License-Identifier: Apache-2.0
//
// RPCs for instructions.py, which counts their instructions with callgrind.
// Client and server are in this process. The handlers are empty.
//
//   instructions_benchmark --mode=MODE [--calls=40] [--rounds=9]
//
// The RPCs of a mode run in phases, the unary ones first. Each phase is between
// two calls of TetherPhaseEnds, where callgrind writes and resets its counters.
// At the end, the program prints its phases and its allocations.
//
// Counts depend on neither the number of processors nor the time: the server
// has one completion queue, and gRPC doesn't probe the connection's bandwidth.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
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

// The name by which callgrind knows the end of a phase.
extern "C" __attribute__((noinline)) void TetherPhaseEnds() {
  __asm__ volatile("" ::: "memory");
}

namespace tether::benchmarks {
namespace {

using ::tether::testing::Ping;
using ::tether::testing::Pong;
using ::tether::testing::Probe;

// Long enough that no deadline passes, even on an overloaded machine.
constexpr auto kTimeout = std::chrono::seconds(90);

// By hand: plain gRPC, and an application that writes and reads the headers.
// Floor: interceptors that write and read the headers, and nothing else.
// Observed: the handler asks whether its context is done, once for an RPC, or
// once for each message of a stream.
// Packed: tether, with all values in one header. Counted: tether, with the
// metrics on.
enum Mode {
  kPlain,
  kEmpty,
  kByHand,
  kFloor,
  kTether,
  kObserved,
  kPacked,
  kCounted,
  kModes
};
constexpr const char* kNames[kModes] = {"plain",  "empty",  "by_hand",
                                        "floor",  "tether", "observed",
                                        "packed", "counted"};
bool HasTether(Mode mode) { return mode >= kTether; }

// ---- The server

class Service final : public Probe::Service {
 public:
  explicit Service(Mode mode) : mode_(mode) {}

  // From now on, the handlers are empty.
  void SetArrived() { arrived_ = true; }

 private:
  grpc::Status Unary(grpc::ServerContext* sc, const Ping* ping,
                     Pong* pong) override {
    Begin(*sc);
    if (mode_ == kObserved) Observe(ContextOf(*sc));
    pong->set_number(ping->number());
    return grpc::Status::OK;
  }

  grpc::Status Chat(grpc::ServerContext* sc,
                    grpc::ServerReaderWriter<Pong, Ping>* stream) override {
    Begin(*sc);
    const Context ctx = mode_ == kObserved ? ContextOf(*sc) : Background();
    Ping ping;
    Pong pong;
    while (stream->Read(&ping)) {
      if (mode_ == kObserved) Observe(ctx);
      pong.set_number(ping.number());
      stream->Write(pong);
    }
    return grpc::Status::OK;
  }

  void Begin(const grpc::ServerContext& sc) const {
    if (mode_ == kByHand) RequireHeaders(sc.client_metadata());
    if (!HasTether(mode_) || arrived_) return;
    const Context ctx = ContextOf(sc);
    if (RequestIdOf(ctx) == nullptr || TraceOf(ctx) == nullptr) {
      Die("the values have not arrived");
    }
  }

  static void Observe(const Context& ctx) {
    if (ctx.Done()) Die("ended too early");
  }

  const Mode mode_;
  bool arrived_ = false;  // set between two calls
};

testing::LoopbackServer Serve(Mode mode, Service& service) {
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  if (mode == kCounted) StartMetrics();
  if (mode == kEmpty) InstallEmpty(builder);
  if (mode == kFloor) InstallHeaders(builder);
  if (HasTether(mode)) {
    ServerOptions options;
    options.packed = mode == kPacked;
    InstallServer(builder, options);
  }
  return testing::ListenOnLoopback(builder);
}

// ---- The client

class Client {
 public:
  Client(Mode mode, const std::string& address)
      : mode_(mode), values_(ValuesOfHeaders()) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    const auto credentials = grpc::InsecureChannelCredentials();
    switch (mode) {
      case kEmpty:
        channel_ = EmptyChannel(address, arguments);
        break;
      case kFloor:
        channel_ = HeadersChannel(address, values_, arguments);
        break;
      case kTether:
      case kObserved:
      case kPacked:
      case kCounted: {
        ClientOptions options;
        options.packed = mode == kPacked;
        channel_ =
            tether::CreateChannel(address, credentials, options, arguments);
        break;
      }
      default:
        channel_ = grpc::CreateCustomChannel(address, credentials, arguments);
    }
    stub_ = Probe::NewStub(channel_);
    auto [root, cancel] = WithCancel(Background());
    request_ =
        WithRequestId(WithTrace(root, NewTrace(/*sampled=*/true)), values_[1]);
    cancel_ = std::move(cancel);
  }

  // A unary call if `messages` is 0. Otherwise a stream with that many messages
  // in each direction.
  void Call(int messages) {
    if (HasTether(mode_)) {
      // The user's whole cost, with the request's context and its deadline.
      const auto [ctx, cancel] =
          WithTimeout(request_, absl::FromChrono(kTimeout));
      ClientCall call(ctx);
      Call(call, messages);
      return;
    }
    grpc::ClientContext call;
    call.set_deadline(std::chrono::system_clock::now() + kTimeout);
    if (mode_ == kByHand) {
      for (size_t i = 0; i < values_.size(); ++i) {
        call.AddMetadata(kHeaders[i], values_[i]);
      }
    }
    Call(call, messages);
  }

 private:
  void Call(grpc::ClientContext& call, int messages) {
    Ping ping;
    Pong pong;
    ping.set_number(1);
    grpc::Status status;
    int received = 0;
    if (messages == 0) {
      status = stub_->Unary(&call, ping, &pong);
    } else {
      // In turns, so that gRPC never sends two messages at once.
      const auto stream = stub_->Chat(&call);
      while (received < messages && stream->Write(ping) &&
             stream->Read(&pong)) {
        ++received;
      }
      stream->WritesDone();
      status = stream->Finish();
    }
    if (!status.ok() || received != messages) {
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

struct Options {
  Mode mode = kModes;
  int calls = 40;
  int rounds = 9;
};

Options OptionsOf(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string value =
        equals == std::string::npos ? "" : word.substr(equals + 1);
    if (name == "--mode") {
      for (int mode = 0; mode < kModes; ++mode) {
        if (value == kNames[mode]) options.mode = static_cast<Mode>(mode);
      }
    } else if (name == "--calls" || name == "--rounds") {
      const int number = std::atoi(value.c_str());
      if (number < 1) Die(name + " needs a positive number");
      (name == "--calls" ? options.calls : options.rounds) = number;
    } else {
      Die("unknown option " + word);
    }
  }
  if (options.mode == kModes) {
    std::string names;
    for (const char* name : kNames) names += std::string(" ") + name;
    Die("--mode is one of:" + names);
  }
  return options;
}

// What a phase does.
struct Phase {
  int calls;
  int messages;  // of each call, in each direction, or 0 for unary calls
};

// A stream costs something by itself, so two lengths are measured.
constexpr int kLengths[] = {0, 10, 60};

void Run(Client& client, const Phase& phase) {
  for (int i = 0; i < phase.calls; ++i) client.Call(phase.messages);
  // The server's end of the last RPC belongs to its phase.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

void Main(const Options& options) {
  Service service(options.mode);
  const testing::LoopbackServer served = Serve(options.mode, service);
  Client client(options.mode, served.address);
  client.Call(0);
  client.Call(1);
  service.SetArrived();

  std::printf("{\"phases\": [");
  const char* separator = "";
  std::vector<double> allocations;
  for (const int messages : kLengths) {
    const Phase phase = {messages == 0 ? options.calls : options.calls / 8 + 1,
                         messages};
    Run(client, phase);  // to warm up
    for (int round = 0; round <= options.rounds; ++round) {
      TetherPhaseEnds();
      // What precedes the first round isn't a round.
      std::printf("%s{\"calls\": %d, \"messages\": %d}", separator,
                  round == 0 ? 0 : phase.calls, messages);
      separator = ", ";
      if (round < options.rounds) Run(client, phase);
    }
    CountAllocations(true);
    const auto before = Allocations();
    Run(client, phase);
    allocations.push_back(static_cast<double>(Allocations() - before) /
                          phase.calls);
    CountAllocations(false);
  }
  std::printf(
      "],\n \"allocations\": {\"unary\": %g, \"message\": %g}}\n",
      allocations[0],
      (allocations[2] - allocations[1]) / (kLengths[2] - kLengths[1]) / 2);
}

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) {
  tether::benchmarks::Main(tether::benchmarks::OptionsOf(argc, argv));
}
