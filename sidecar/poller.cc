// SPDX-License-Identifier: Apache-2.0

#include "sidecar/poller.h"

#include <grpc/grpc.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

namespace tether::sidecar {
namespace {

// The server that this thread is starting has these queues, in this order.
struct Starting {
  const Pollers& pollers;
  size_t first;
};
thread_local const Starting* starting = nullptr;

// gRPC calls this for each server of the process, just before it starts, which
// is when core takes further queues.
class RegisterQueues final : public grpc::Server::GlobalCallbacks {
 public:
  void PreSynchronousRequest(grpc::ServerContext*) override {}
  void PostSynchronousRequest(grpc::ServerContext*) override {}
  void PreServerStart(grpc::Server* server) override {
    if (starting == nullptr) return;
    const Pollers& pollers = starting->pollers;
    for (size_t i = 0; i < pollers.size(); ++i) {
      const Poller& poller = *pollers[(starting->first + i) % pollers.size()];
      grpc_server_register_completion_queue(server->c_server(),
                                            poller.get()->cq(), nullptr);
    }
  }
};

// Before main, since gRPC takes callbacks only before the first server of the
// process, and reads the variable when it is used first. With the strategy
// "poll", core would assign connections to single queues, also to the one of
// BuildWith on which nobody waits.
[[maybe_unused]] const bool is_set_up = [] {
  setenv("GRPC_POLL_STRATEGY", "epoll1", /*overwrite=*/1);
  grpc::Server::SetGlobalCallbacks(new RegisterQueues);
  return true;
}();

std::unique_ptr<grpc::ServerCompletionQueue> MakeQueue() {
  // Only a builder can make one. It builds no server.
  return grpc::ServerBuilder().AddCompletionQueue();
}

}  // namespace

std::unique_ptr<grpc::Server> BuildWith(
    grpc::ServerBuilder& builder, const Pollers& pollers,
    std::unique_ptr<grpc::ServerCompletionQueue>& own) {
  // Core gives a server's connections to its queues in turn, those of the first
  // one, which nobody serves, to the second one. Each server begins with
  // another poller, so that ports with a single connection don't share one.
  static std::atomic<size_t> servers{0};
  const Starting order{pollers,
                       servers.fetch_add(1, std::memory_order_relaxed)};
  own = builder.AddCompletionQueue();
  starting = &order;
  auto server = builder.BuildAndStart();
  starting = nullptr;
  return server;
}

Poller::Poller() : queue_(MakeQueue()) {
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "sidecar-calls");
}

Poller::~Poller() {
  queue_->Shutdown();
  thread_.join();
}

void Poller::Defer(Deferred& deferred) {
  if (deferred.next_ != &deferred) return;
  if (deferred_.next_ == &deferred_) events_since_deferral_ = 0;
  deferred.previous_ = deferred_.previous_;
  deferred.next_ = &deferred_;
  deferred.previous_->next_ = &deferred;
  deferred_.previous_ = &deferred;
}

void Poller::Run() {
  for (;;) {
    void* tag;
    bool ok;
    if (deferred_.next_ == &deferred_) {
      if (!queue_->Next(&tag, &ok)) return;
    } else {
      switch (queue_->AsyncNext(&tag, &ok, gpr_time_0(GPR_CLOCK_MONOTONIC))) {
        case grpc::CompletionQueue::SHUTDOWN:
          return;
        case grpc::CompletionQueue::TIMEOUT:
          RunDeferred();
          continue;
        case grpc::CompletionQueue::GOT_EVENT:
          break;
      }
    }
    static_cast<Event*>(tag)->Run(ok);
    if (++events_since_deferral_ >=
        std::clamp(4 * in_flight_, kFewestEvents, kMostEvents)) {
      RunDeferred();
    }
  }
}

void Poller::RunDeferred() {
  events_since_deferral_ = 0;
  // Those that are deferred again meanwhile wait for the next time.
  Deferred* const last = deferred_.previous_;
  while (deferred_.next_ != &deferred_) {
    Deferred* const first = deferred_.next_;
    first->Unlink();
    first->OnIdle();
    if (first == last) return;
  }
}

}  // namespace tether::sidecar
