// SPDX-License-Identifier: Apache-2.0
//
// Measures the time from a client's cancellation until the leaf of a chain
// knows: client, relay, relay, leaf, each hop over loopback. The peer is the
// same chain with gRPC's own FromServerContext. docs/performance.md explains
// the method.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe.grpc.pb.h"
#include "worker.h"

namespace tether::benchmarks {
namespace {

using std::chrono::steady_clock;
using ::tether::testing::Ping;
using ::tether::testing::Pong;
using ::tether::testing::Probe;

// How often a sync leaf without tether polls whether its caller is gone.
constexpr auto kPoll = std::chrono::milliseconds(1);

// The limit for waits, long enough for an overloaded machine.
constexpr auto kLongest = std::chrono::seconds(60);

// The events that the leaf of one call reports.
struct Leaf {
  // Called once, by the leaf's handler or a gRPC thread.
  void Arrive() { arrived.Notify(); }
  void See() {
    seen_at = steady_clock::now();
    seen.Notify();
  }

  absl::Notification arrived;
  absl::Notification seen;
  steady_clock::time_point seen_at;
};

// The leaf of the current call. The call's handler may outlive the call.
using LeafPointer = std::shared_ptr<Leaf>;

void Await(const absl::Notification& event, const char* what) {
  if (!event.WaitForNotificationWithTimeout(absl::FromChrono(kLongest))) {
    Die(what);
  }
}

// Each of the four services is a relay if it has a next hop, and the leaf
// otherwise.

class SyncTether final : public Probe::Service {
 public:
  SyncTether(Probe::Stub* next, LeafPointer* leaf) : next_(next), leaf_(leaf) {}

  grpc::Status Unary(grpc::ServerContext* sc, const Ping* ping,
                     Pong* pong) override {
    const Context ctx = ContextOf(*sc);
    if (next_ != nullptr) {
      ClientCall call(ctx);
      return next_->Unary(&call, *ping, pong);
    }
    const LeafPointer leaf = *leaf_;
    const Registration registration = AfterFunc(ctx, [&leaf] { leaf->See(); });
    leaf->Arrive();
    // Not ctx.Wait(): that may return before the callback has run.
    Await(leaf->seen, "the leaf's context has not ended");
    return grpc::Status::CANCELLED;
  }

 private:
  Probe::Stub* const next_;
  LeafPointer* const leaf_;
};

class SyncPlain final : public Probe::Service {
 public:
  SyncPlain(Probe::Stub* next, LeafPointer* leaf) : next_(next), leaf_(leaf) {}

  grpc::Status Unary(grpc::ServerContext* sc, const Ping* ping,
                     Pong* pong) override {
    if (next_ != nullptr) {
      const auto call = grpc::ClientContext::FromServerContext(*sc);
      return next_->Unary(call.get(), *ping, pong);
    }
    const LeafPointer leaf = *leaf_;
    leaf->Arrive();
    while (!sc->IsCancelled()) std::this_thread::sleep_for(kPoll);
    leaf->See();
    return grpc::Status::CANCELLED;
  }

 private:
  Probe::Stub* const next_;
  LeafPointer* const leaf_;
};

// Passes a call on, and its status back.
class RelayReactor : public grpc::ServerUnaryReactor {
 public:
  RelayReactor(Probe::Stub& next, std::unique_ptr<grpc::ClientContext> call,
               const Ping& ping, Pong* pong)
      : call_(std::move(call)) {
    next.async()->Unary(call_.get(), &ping, pong,
                        [this](grpc::Status status) { Finish(status); });
  }
  void OnDone() override { delete this; }

 private:
  const std::unique_ptr<grpc::ClientContext> call_;
};

// ClientCall isn't polymorphic, so it needs a separate class.
class TetherRelayReactor final : public grpc::ServerUnaryReactor {
 public:
  TetherRelayReactor(Probe::Stub& next, const Context& ctx, const Ping& ping,
                     Pong* pong)
      : call_(ctx) {
    next.async()->Unary(&call_, &ping, pong,
                        [this](grpc::Status status) { Finish(status); });
  }
  void OnDone() override { delete this; }

 private:
  ClientCall call_;
};

class TetherLeafReactor final : public grpc::ServerUnaryReactor {
 public:
  TetherLeafReactor(const Context& ctx, const LeafPointer& leaf)
      : registration_(ctx, [this, leaf] {
          leaf->See();
          Finish(grpc::Status::CANCELLED);
        }) {
    leaf->Arrive();
  }
  void OnDone() override { delete this; }

 private:
  const Registration registration_;
};

class PlainLeafReactor final : public grpc::ServerUnaryReactor {
 public:
  explicit PlainLeafReactor(LeafPointer leaf) : leaf_(std::move(leaf)) {
    leaf_->Arrive();
  }
  void OnCancel() override {
    leaf_->See();
    Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  const LeafPointer leaf_;
};

class CallbackTether final : public Probe::CallbackService {
 public:
  CallbackTether(Probe::Stub* next, LeafPointer* leaf)
      : next_(next), leaf_(leaf) {}

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* sc,
                                  const Ping* ping, Pong* pong) override {
    const Context ctx = ContextOf(*sc);
    if (next_ == nullptr) return new TetherLeafReactor(ctx, *leaf_);
    return new TetherRelayReactor(*next_, ctx, *ping, pong);
  }

 private:
  Probe::Stub* const next_;
  LeafPointer* const leaf_;
};

class CallbackPlain final : public Probe::CallbackService {
 public:
  CallbackPlain(Probe::Stub* next, LeafPointer* leaf)
      : next_(next), leaf_(leaf) {}

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* sc,
                                  const Ping* ping, Pong* pong) override {
    if (next_ == nullptr) return new PlainLeafReactor(*leaf_);
    return new RelayReactor(*next_, grpc::ClientContext::FromServerContext(*sc),
                            *ping, pong);
  }

 private:
  Probe::Stub* const next_;
  LeafPointer* const leaf_;
};

// ---- A chain: a process with its client and its three servers

class Chain {
 public:
  Chain(bool tether, bool callback) : tether_(tether) {
    Probe::Stub* next = nullptr;
    for (int i = 0; i < 3; ++i) {
      hops_.push_back(std::make_unique<Hop>());
      Hop& hop = *hops_.back();
      if (callback && tether) {
        hop.service = std::make_unique<CallbackTether>(next, &leaf_);
      } else if (callback) {
        hop.service = std::make_unique<CallbackPlain>(next, &leaf_);
      } else if (tether) {
        hop.service = std::make_unique<SyncTether>(next, &leaf_);
      } else {
        hop.service = std::make_unique<SyncPlain>(next, &leaf_);
      }
      grpc::ServerBuilder builder;
      builder.RegisterService(hop.service.get());
      if (tether) InstallServer(builder);
      testing::LoopbackServer started = testing::ListenOnLoopback(builder);
      hop.server = std::move(started.server);
      const std::string& address = started.address;
      const auto credentials = grpc::InsecureChannelCredentials();
      hop.stub =
          Probe::NewStub(tether ? tether::CreateChannel(address, credentials)
                                : grpc::CreateChannel(address, credentials));
      next = hop.stub.get();
    }
  }

  // The client calls the last hop, which is destroyed first.
  ~Chain() {
    while (!hops_.empty()) {
      hops_.back()->server->Shutdown();
      hops_.pop_back();
    }
  }

  // Returns the microseconds from a cancellation until the leaf sees it.
  double Cancel() {
    leaf_ = std::make_shared<Leaf>();
    if (tether_) {
      const auto [ctx, cancel] = WithCancel(Background());
      ClientCall call(ctx);
      return Cancel(*leaf_, call, [&c = cancel] { c(); });
    }
    grpc::ClientContext call;
    return Cancel(*leaf_, call, [&call] { call.TryCancel(); });
  }

 private:
  struct Hop {
    std::unique_ptr<grpc::Service> service;
    std::unique_ptr<grpc::Server> server;
    std::unique_ptr<Probe::Stub> stub;  // to this hop
  };

  double Cancel(Leaf& leaf, grpc::ClientContext& call,
                const std::function<void()>& cancel) {
    Ping ping;
    Pong pong;
    grpc::Status status;
    std::thread caller(
        [&] { status = hops_.back()->stub->Unary(&call, ping, &pong); });
    Await(leaf.arrived, "the call has not arrived");
    // Wait until the chain is idle and each hop has its watch, which starts
    // after two milliseconds. The random part avoids a fixed phase relative to
    // the leaf that polls.
    std::this_thread::sleep_for(std::chrono::microseconds(
        5000 + static_cast<int64_t>(
                   steady_clock::now().time_since_epoch().count() % 1000)));
    const auto start = steady_clock::now();
    cancel();
    Await(leaf.seen, "the leaf has not seen it");
    caller.join();
    if (status.error_code() != grpc::StatusCode::CANCELLED) {
      Die("the call was not cancelled: " + status.error_message());
    }
    return std::chrono::duration<double, std::micro>(leaf.seen_at - start)
        .count();
  }

  const bool tether_;
  LeafPointer leaf_;
  std::vector<std::unique_ptr<Hop>> hops_;  // the leaf first
};

Worker::Respond StartChain(bool tether, bool callback) {
  auto chain = std::make_shared<Chain>(tether, callback);
  chain->Cancel();  // to connect
  return [chain](const Order&) { return Answer{chain->Cancel()}; };
}

int Main(int argc, char** argv) {
  const double seconds = SecondsOf(argc, argv);
  Worker sync_tether([] { return StartChain(true, false); });
  Worker sync_plain([] { return StartChain(false, false); });
  Worker callback_tether([] { return StartChain(true, true); });
  Worker callback_plain([] { return StartChain(false, true); });
  Worker* const chains[] = {&sync_tether, &sync_plain, &callback_tether,
                            &callback_plain};
  std::vector<double> taken[4];
  for (Worker* chain : chains) chain->Do({});  // all have started
  const auto start = steady_clock::now();
  for (int round = 0; round == 0 || MicrosecondsSince(start) < 1e6 * seconds;
       ++round) {
    for (int i = 0; i < 4; ++i) {
      const int which = round % 2 == 0 ? i : 3 - i;
      taken[which].push_back(chains[which]->Do({}).a);
    }
  }
  std::vector<Row> rows;
  for (const int own : {0, 2}) {
    for (const bool is_median : {true, false}) {
      const double part = is_median ? 0.5 : 0.99;
      Row row;
      row.operation = std::string("cancel to leaf ") +
                      (is_median ? "p50, " : "p99, ") +
                      (own == 0 ? "sync" : "callback");
      row.tether = Quantile(taken[own], part);
      row.peers = {{"FromServerContext", Quantile(taken[own + 1], part)}};
      rows.push_back(std::move(row));
    }
  }
  Print(rows);
  return 0;
}

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) { return tether::benchmarks::Main(argc, argv); }
