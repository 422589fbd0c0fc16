// SPDX-License-Identifier: Apache-2.0
//
// The calls of a port on one thread.

#ifndef TETHER_SIDECAR_CALL_QUEUE_H_
#define TETHER_SIDECAR_CALL_QUEUE_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "sidecar/counters.h"
#include "sidecar/poller.h"

namespace tether::sidecar {

// What the calls of one port on one poller share.
//
// Thread safety: Join and the destructor are for one thread at a time. Whatever
// else isn't said to be for any thread is for the poller's own.
class CallQueue {
 public:
  using Event = Poller::Event;
  using Deferred = Poller::Deferred;

  // `number`: of the queue in its listener.
  CallQueue(Poller& poller, size_t number) : index(number), poller_(poller) {}
  // Requires that there were no calls, or that Join has returned.
  ~CallQueue() = default;
  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;

  const size_t index;

  // Waits until no call uses the queue. The server must have shut down, so that
  // no more calls come.
  void Join();

  grpc::ServerCompletionQueue* get() const { return poller_.get(); }
  void Defer(Deferred& deferred) { poller_.Defer(deferred); }

  // Reading: any thread.
  Counters& counters() { return counters_; }

  // The objects of calls, including those that wait for a call to accept.
  // Any thread.
  void AddUser();
  void RemoveUser();

  // The calls that are being served. Reading: any thread.
  int64_t in_flight() const {
    return in_flight_.load(std::memory_order_relaxed);
  }
  int64_t AddInFlight(int64_t change) {
    poller_.AddInFlight(change);
    const int64_t now = in_flight() + change;
    in_flight_.store(now, std::memory_order_relaxed);
    return now;
  }

 private:
  Poller& poller_;
  Counters counters_;
  std::atomic<int64_t> in_flight_{0};
  std::mutex mutex_;
  std::condition_variable unused_;
  int64_t users_ = 0;  // guarded by mutex_
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_CALL_QUEUE_H_
