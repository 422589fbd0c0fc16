// SPDX-License-Identifier: Apache-2.0
//
// A completion queue with its thread.

#ifndef TETHER_SIDECAR_CALL_QUEUE_H_
#define TETHER_SIDECAR_CALL_QUEUE_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "sidecar/counters.h"

namespace tether::sidecar {

// Runs the events of the calls that use it, on one thread. Both sides of a
// proxied call are on one queue, so calls need no locks.
//
// Thread safety: Start, Join and the destructor are for one thread at a time.
// Whatever else isn't said to be for any thread is for the queue's own.
class CallQueue {
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
    friend class CallQueue;
    void Unlink() {
      previous_->next_ = next_;
      next_->previous_ = previous_;
      previous_ = next_ = this;
    }

    Deferred* previous_ = this;
    Deferred* next_ = this;
  };

  // `number`: of the queue in its listener.
  CallQueue(std::unique_ptr<grpc::ServerCompletionQueue> queue, size_t number)
      : index(number), queue_(std::move(queue)) {}
  // Requires that the queue hasn't started, or that Join has returned.
  ~CallQueue() = default;
  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;

  const size_t index;

  // Runs events, on a thread of the queue's own.
  void Start();

  // Waits until no call uses the queue, then ends the thread. The server must
  // have shut down, so that no more calls come.
  void Join();

  // Instead of Start: there is no server.
  void Discard();

  grpc::ServerCompletionQueue* get() const { return queue_.get(); }

  // Calls deferred.OnIdle() once, when no event is ready, or after some events
  // if there always is one. No effect if it is deferred already.
  void Defer(Deferred& deferred);

  // Reading: any thread.
  Counters& counters() { return counters_; }

  // The objects of calls, including those that wait for a call to accept.
  void AddUser() { users_.fetch_add(1, std::memory_order_relaxed); }
  void RemoveUser();

  // The calls that are being served. Reading: any thread.
  int64_t in_flight() const {
    return in_flight_.load(std::memory_order_relaxed);
  }
  int64_t AddInFlight(int64_t change) {
    const int64_t now = in_flight() + change;
    in_flight_.store(now, std::memory_order_relaxed);
    return now;
  }

 private:
  // A busy queue always has an event that is ready. Then nothing is deferred
  // for longer than this number of events, or four for each call: the more
  // calls, the further apart are the events of one.
  static constexpr int64_t kMostEvents = 16;

  struct End final : Deferred {
    void OnIdle() override {}
  };

  void Run();
  void RunDeferred();

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  Counters counters_;
  End deferred_;  // of the list
  int64_t events_since_deferral_ = 0;
  std::atomic<int64_t> in_flight_{0};
  std::atomic<int64_t> users_{0};
  std::mutex mutex_;
  std::condition_variable unused_;
  std::thread thread_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_CALL_QUEUE_H_
