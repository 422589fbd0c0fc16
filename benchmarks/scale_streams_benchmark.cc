// SPDX-License-Identifier: Apache-2.0
//
// Measures many streams that are open at once through three hops, all in one
// process: memory, CPU time, and the time until all have ended after their
// client cancels. The peer is the same chain with gRPC's own FromServerContext.
// docs/performance.md explains the rows.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "rpc_peers.h"
#include "scale.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe.grpc.pb.h"
#include "worker.h"

ABSL_FLAG(int, largest, 10'000, "The largest number of streams.");
ABSL_FLAG(int, repeats, 3, "How often each number is measured.");
ABSL_FLAG(absl::Duration, idle, absl::Seconds(1),
          "How long the streams stay open.");

namespace tether::benchmarks {
namespace {

using std::chrono::steady_clock;
using ::tether::testing::Ping;
using ::tether::testing::Pong;
using ::tether::testing::Probe;

enum Way { kTether, kPlain, kEmpty, kWays };

constexpr int kHops = 3;
constexpr auto kDeadline = std::chrono::hours(1);
constexpr absl::Duration kLongest = absl::Minutes(2);

// So many streams take long enough to be measured once.
constexpr int kOnce = 10'000;

// The client opens so many at once, and then waits until they are open.
constexpr int kOpening = 100;

// Counts events. Waiting costs no CPU time, which is measured here.
class Counter {
 public:
  void Add() {
    absl::MutexLock lock(&mutex_);
    ++count_;
  }

  void Await(int n) {
    absl::MutexLock lock(&mutex_);
    const auto reached = [this, n]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return count_ >= n;
    };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&reached), kLongest)) {
      Die("a stream is stuck");
    }
  }

 private:
  absl::Mutex mutex_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

// A stream to the next hop. It waits for messages until it ends.
class Upstream final : public grpc::ClientBidiReactor<Ping, Pong> {
 public:
  // `on_first` is called when the first message is there.
  Upstream(std::shared_ptr<grpc::ClientContext> call,
           std::function<void()> on_first,
           std::function<void(const grpc::Status&)> on_end)
      : call_(std::move(call)),
        on_first_(std::move(on_first)),
        on_end_(std::move(on_end)) {}

  // Opens the stream, and holds it until Send().
  void Open(Probe::Stub& stub) {
    stub.async()->Chat(call_.get(), this);
    AddHold();
    StartRead(&pong_);
    StartCall();
  }

  // Sends the only message. False: sends none.
  void Send(bool message) {
    if (message) StartWrite(&ping_);
    RemoveHold();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (!std::exchange(has_first_, true)) on_first_();
    StartRead(&pong_);
  }

  // May destroy this.
  void OnDone(const grpc::Status& status) override { on_end_(status); }

 private:
  const std::shared_ptr<grpc::ClientContext> call_;
  const std::function<void()> on_first_;
  const std::function<void(const grpc::Status&)> on_end_;
  Ping ping_;
  Pong pong_;
  bool has_first_ = false;
};

// A stream at a hop. It passes the first message on, and the answer back, and
// then waits. The last hop answers itself.
class Hopped final : public grpc::ServerBidiReactor<Ping, Pong> {
 public:
  // Null `next`: the last hop.
  Hopped(Probe::Stub* next, std::shared_ptr<grpc::ClientContext> call) {
    if (next != nullptr) {
      upstream_ = std::make_unique<Upstream>(
          std::move(call), [this] { StartWrite(&pong_); },
          [this](const grpc::Status& status) { Finish(status); });
      upstream_->Open(*next);
    }
    StartRead(&ping_);
  }

  void OnReadDone(bool ok) override {
    if (std::exchange(has_first_, true)) return;
    if (upstream_ != nullptr) {
      upstream_->Send(ok);
    } else if (ok) {
      StartWrite(&pong_);
    }
    if (ok) StartRead(&ping_);
  }

  // Any other hop ends when its upstream does, which the cancellation ends.
  void OnCancel() override {
    if (upstream_ == nullptr) Finish(grpc::Status::CANCELLED);
  }

  void OnDone() override { delete this; }

 private:
  std::unique_ptr<Upstream> upstream_;
  Ping ping_;
  Pong pong_;
  bool has_first_ = false;
};

class Service final : public Probe::CallbackService {
 public:
  Service(Way way, Probe::Stub* next) : way_(way), next_(next) {}

  grpc::ServerBidiReactor<Ping, Pong>* Chat(
      grpc::CallbackServerContext* sc) override {
    std::shared_ptr<grpc::ClientContext> call;
    if (next_ != nullptr && way_ == kTether) {
      call = std::make_shared<ClientCall>(ContextOf(*sc));
    } else if (next_ != nullptr) {
      call = grpc::ClientContext::FromServerContext(*sc);
    }
    return new Hopped(next_, std::move(call));
  }

 private:
  const Way way_;
  Probe::Stub* const next_;
};

// Three servers, each with the channel to it.
class Chain {
 public:
  explicit Chain(Way way) {
    Probe::Stub* next = nullptr;
    for (int i = 0; i < kHops; ++i) {
      Hop& hop = hops_.emplace_back();
      hop.service = std::make_unique<Service>(way, next);
      grpc::ServerBuilder builder;
      builder.RegisterService(hop.service.get());
      builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1'000'000);
      if (way == kTether) InstallServer(builder);
      if (way == kEmpty) InstallEmpty(builder);
      testing::LoopbackServer started = testing::ListenOnLoopback(builder);
      hop.server = std::move(started.server);
      hop.stub = Probe::NewStub(Channel(way, started.address));
      next = hop.stub.get();
    }
  }

  // The client calls the last hop, which is destroyed first.
  ~Chain() {
    while (!hops_.empty()) {
      hops_.back().server->Shutdown();
      hops_.pop_back();
    }
  }

  Probe::Stub& stub() { return *hops_.back().stub; }

 private:
  struct Hop {
    std::unique_ptr<grpc::Service> service;
    std::unique_ptr<grpc::Server> server;
    std::unique_ptr<Probe::Stub> stub;  // to this hop
  };

  static std::shared_ptr<grpc::Channel> Channel(Way way,
                                                const std::string& address) {
    const auto credentials = grpc::InsecureChannelCredentials();
    const grpc::ChannelArguments arguments = testing::OwnConnection();
    if (way == kEmpty) return EmptyChannel(address, arguments);
    if (way == kPlain) {
      return grpc::CreateCustomChannel(address, credentials, arguments);
    }
    return tether::CreateChannel(address, credentials, {}, arguments);
  }

  std::vector<Hop> hops_;  // the leaf first
};

// The client's side of all streams.
class Clients {
 public:
  Clients(Chain& chain, Way way)
      : chain_(chain), way_(way), all_(WithCancel(Background())) {}

  void Open(int n) {
    for (int i = 0; i < n; ++i) {
      Stream& stream = streams_.emplace_back();
      std::shared_ptr<grpc::ClientContext> call;
      if (way_ == kTether) {
        stream.request = WithTimeout(all_.ctx, absl::FromChrono(kDeadline));
        call = std::make_shared<ClientCall>(stream.request.ctx);
      } else {
        call = std::make_shared<grpc::ClientContext>();
        call->set_deadline(std::chrono::system_clock::now() + kDeadline);
        stream.call = call.get();
      }
      stream.upstream = std::make_unique<Upstream>(
          std::move(call), [this] { open_.Add(); },
          [this](const grpc::Status& status) { End(status); });
      stream.upstream->Open(chain_.stub());
      stream.upstream->Send(true);
      if ((i + 1) % kOpening == 0) open_.Await(i + 1);
    }
    open_.Await(n);
  }

  void Cancel() {
    cancelled_ = true;
    if (way_ == kTether) {
      all_.cancel();
    } else {
      for (Stream& stream : streams_) stream.call->TryCancel();
    }
    ended_.Await(static_cast<int>(streams_.size()));
  }

 private:
  struct Stream {
    Cancellable request;
    grpc::ClientContext* call = nullptr;
    std::unique_ptr<Upstream> upstream;
  };

  void End(const grpc::Status& status) {
    if (!cancelled_ || status.error_code() != grpc::StatusCode::CANCELLED) {
      Die("a stream ended with " + status.error_message());
    }
    ended_.Add();
  }

  Chain& chain_;
  const Way way_;
  const Cancellable all_;
  Counter open_;
  Counter ended_;
  std::atomic<bool> cancelled_{false};
  std::deque<Stream> streams_;
};

enum Figure {
  kHeap,
  kResident,
  kOpenCpu,
  kIdle,
  kCancelCpu,
  kCancelTime,
  kTimer,
  kCallback
};

Figures Measure(Way way, int n) {
  Chain chain(way);
  {
    Clients first(chain, way);  // connects all hops
    first.Open(1);
    first.Cancel();
  }
  Clients clients(chain, way);
  const double heap = HeapBytes();
  const double resident = ResidentBytes();
  const double timer = ThreadCpuMicroseconds("tether-timer");
  const double callback = ThreadCpuMicroseconds("tether-callback");
  const double cpu = CpuMicroseconds();
  clients.Open(n);
  const double open_cpu = CpuMicroseconds();
  const double heap_each = (HeapBytes() - heap) / n;
  const double resident_each = (ResidentBytes() - resident) / n;
  const auto idle = absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_idle));
  std::this_thread::sleep_for(idle);
  const double idle_cpu = CpuMicroseconds();
  const auto start = steady_clock::now();
  clients.Cancel();
  const double taken = MicrosecondsSince(start);
  const double end_cpu = CpuMicroseconds();
  const double all = end_cpu - cpu;
  return {heap_each,
          resident_each,
          (open_cpu - cpu) / n,
          1e5 * (idle_cpu - open_cpu) / static_cast<double>(idle.count()),
          (end_cpu - idle_cpu) / n,
          taken / 1e3,
          100 * (ThreadCpuMicroseconds("tether-timer") - timer) / all,
          100 * (ThreadCpuMicroseconds("tether-callback") - callback) / all};
}

std::vector<Row> Rows(int n, int repeats) {
  const std::vector<Figures> ways = MeasureInTurn(kWays, repeats, [n](int way) {
    return Measure(static_cast<Way>(way), n);
  });
  std::vector<Row> rows;
  const std::string count = std::to_string(n);
  const auto add = [&](Figure figure, std::string operation, std::string unit) {
    rows.push_back(MakeRow(std::move(operation), std::move(unit),
                           ways[kTether][figure],
                           {{"plain grpc", ways[kPlain][figure]},
                            {"empty interceptor", ways[kEmpty][figure]}}));
  };
  add(kHeap, "stream open through three hops, " + count, "bytes");
  add(kResident, "stream open through three hops, " + count + ", resident",
      "bytes");
  add(kOpenCpu, "open a stream through three hops, of " + count, "us");
  add(kCancelCpu, "cancel a stream through three hops, of " + count, "us");
  add(kCancelTime, "last of " + count + " streams cancelled", "ms");
  add(kIdle, "cpu of " + count + " idle streams", "percent");
  if (n < kOnce) return rows;  // too short for a share
  for (const auto& [figure, name] :
       {std::pair(kTimer, "timer"), std::pair(kCallback, "callback")}) {
    rows.push_back(
        MakeRow(std::string(name) + " thread's share, " + count + " streams",
                "percent", ways[kTether][figure]));
  }
  return rows;
}

int Main() {
  RaiseFileLimit();
  std::vector<Row> rows;
  for (int n = 100; n <= absl::GetFlag(FLAGS_largest); n *= 10) {
    for (Row& row : Rows(n, n < kOnce ? absl::GetFlag(FLAGS_repeats) : 1)) {
      rows.push_back(std::move(row));
    }
  }
  Print(rows);
  return 0;
}

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return tether::benchmarks::Main();
}
