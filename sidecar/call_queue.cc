// SPDX-License-Identifier: Apache-2.0

#include "sidecar/call_queue.h"

#include <pthread.h>

#include <algorithm>

namespace tether::sidecar {

void CallQueue::Start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "sidecar-calls");
    Run();
  });
}

void CallQueue::RemoveUser() {
  if (users_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  unused_.notify_all();
}

void CallQueue::Join() {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    unused_.wait(
        lock, [this] { return users_.load(std::memory_order_acquire) == 0; });
  }
  queue_->Shutdown();
  thread_.join();
}

void CallQueue::Discard() {
  queue_->Shutdown();
  void* tag;
  bool ok;
  while (queue_->Next(&tag, &ok)) {
  }
}

void CallQueue::Defer(Deferred& deferred) {
  if (deferred.next_ != &deferred) return;
  if (deferred_.next_ == &deferred_) events_since_deferral_ = 0;
  deferred.previous_ = deferred_.previous_;
  deferred.next_ = &deferred_;
  deferred.previous_->next_ = &deferred;
  deferred_.previous_ = &deferred;
}

void CallQueue::Run() {
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
    if (++events_since_deferral_ >= std::max(kMostEvents, 4 * in_flight())) {
      RunDeferred();
    }
  }
}

void CallQueue::RunDeferred() {
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
