// SPDX-License-Identifier: Apache-2.0
//
// A completion queue with its thread. All ports of a sidecar share them.

#ifndef TETHER_SIDECAR_POLLER_H_
#define TETHER_SIDECAR_POLLER_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace tether::sidecar {

// Runs the events of the calls that use it, on one thread.
//
// With gRPC's epoll1, all completion queues of a process share one epoll set,
// and any thread that waits may be the one that takes an event, for which it
// then wakes the thread of the right queue. So a queue for each port would cost
// each call two to five switches between threads more than it needs.
//
// Thread safety: whatever isn't said to be for any thread is for the poller's
// own, but for the constructor and the destructor.
class Poller {
 public:
  // A tag of gRPC's operations.
  class Event {
   public:
    virtual void Run(bool ok) = 0;

   protected:
    virtual ~Event() = default;
  };

  // Something that waits until the queue has no event that is ready: what comes
  // next decides what is best. A member of a circular list.
  class Deferred {
   public:
    Deferred() = default;
    Deferred(const Deferred&) = delete;
    Deferred& operator=(const Deferred&) = delete;

    virtual void OnIdle() = 0;

   protected:
    virtual ~Deferred() { Unlink(); }

   private:
    friend class Poller;
    void Unlink() {
      previous_->next_ = next_;
      next_->previous_ = previous_;
      previous_ = next_ = this;
    }

    Deferred* previous_ = this;
    Deferred* next_ = this;
  };

  // Runs events from now on.
  Poller();
  // Requires that the servers that use it have shut down, and that no call is
  // left.
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Any thread.
  grpc::ServerCompletionQueue* get() const { return queue_.get(); }

  // Calls deferred.OnIdle() once, when no event is ready, or after some events
  // if there always is one. No effect if it is deferred already.
  void Defer(Deferred& deferred);

  // The calls that are being served change by so many.
  void AddInFlight(int64_t change) { in_flight_ += change; }

 private:
  // A busy queue always has an event that is ready. Then nothing is deferred
  // for longer than four events for each call: the more calls, the further
  // apart are the events of one. Limited, since most calls may be idle.
  static constexpr int64_t kFewestEvents = 16;
  static constexpr int64_t kMostEvents = 1024;

  struct End final : Deferred {
    void OnIdle() override {}
  };

  void Run();
  void RunDeferred();

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  End deferred_;  // of the list
  int64_t events_since_deferral_ = 0;
  int64_t in_flight_ = 0;
  std::thread thread_;
};

using Pollers = std::vector<std::unique_ptr<Poller>>;

// Builds the server with the queues of `pollers`. Besides, it has the queue
// that is returned in `own`, since ServerBuilder insists on one of its own;
// nothing uses that queue.
std::unique_ptr<grpc::Server> BuildWith(
    grpc::ServerBuilder& builder, const Pollers& pollers,
    std::unique_ptr<grpc::ServerCompletionQueue>& own);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_POLLER_H_
