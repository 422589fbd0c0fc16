// SPDX-License-Identifier: Apache-2.0
//
// AppWatch: whether the app's port can be connected, which is the sidecar's
// readiness.

#ifndef TETHER_SIDECAR_APP_WATCH_H_
#define TETHER_SIDECAR_APP_WATCH_H_

#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "tether/internal/mutex.h"

namespace tether::sidecar {

// What follows from the states of a channel: without a connection, the app is
// still up for as long as connecting to it again takes at most. So an app that
// closes connections that have become old isn't down.
//
// Thread safety: none.
class AppVerdict {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kReconnect{1000};

  // `state` is the channel's state at `now`.
  bool IsUp(grpc_connectivity_state state, Time now);

 private:
  bool is_up_ = false;
  Time last_ready_;
};

// Looks at the app's channel ten times a second, on a thread of its own, and
// makes it connect. An app that listens again is found within about half a
// second, whatever the channel's backoff is by then.
//
// It doesn't wait for the channel's changes (NotifyOnStateChange), because one
// more completion queue that is waited for makes every RPC of the process
// slower.
//
// Thread safety: any thread.
class AppWatch {
 public:
  // `app` returns the app's channel now; null: there is none yet. `on_change`
  // is called whenever the readiness changes; at first it is false. Both are
  // called on the watch's thread.
  AppWatch(std::function<std::shared_ptr<grpc::Channel>()> app,
           std::function<void(bool is_ready)> on_change);
  ~AppWatch();
  AppWatch(const AppWatch&) = delete;
  AppWatch& operator=(const AppWatch&) = delete;

  // The app's port can be connected, and Drain() hasn't been called.
  bool is_ready() const { return is_ready_; }
  bool is_draining() const { return is_draining_; }

  // Not ready from now on: when it returns, on_change(false) has returned, if
  // it was necessary.
  void Drain();

 private:
  void Run();
  bool AppIsUp();

  const std::function<std::shared_ptr<grpc::Channel>()> app_;
  const std::function<void(bool)> on_change_;

  // Of the thread.
  AppVerdict verdict_;
  std::chrono::steady_clock::time_point next_reset_;

  std::atomic<bool> is_ready_{false};
  std::atomic<bool> is_draining_{false};

  internal::Mutex mutex_;
  internal::CondVar changed_;
  bool is_closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_drained_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_APP_WATCH_H_
