// SPDX-License-Identifier: Apache-2.0

#include "sidecar/app_watch.h"

#include <utility>

namespace tether::sidecar {
namespace {

using internal::MutexLock;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook{100};
// Between two attempts to connect to an app that is down.
constexpr std::chrono::milliseconds kRetry{500};

}  // namespace

bool AppVerdict::IsUp(grpc_connectivity_state state, Time now) {
  switch (state) {
    case GRPC_CHANNEL_READY:
      is_up_ = true;
      last_ready_ = now;
      break;
    case GRPC_CHANNEL_IDLE:
    case GRPC_CHANNEL_CONNECTING:
      is_up_ = is_up_ && now - last_ready_ <= kReconnect;
      break;
    case GRPC_CHANNEL_TRANSIENT_FAILURE:
    case GRPC_CHANNEL_SHUTDOWN:
      is_up_ = false;
      break;
  }
  return is_up_;
}

AppWatch::AppWatch(std::function<std::shared_ptr<grpc::Channel>()> app,
                   std::function<void(bool is_ready)> on_change)
    : app_(std::move(app)), on_change_(std::move(on_change)) {
  thread_ = std::thread([this] { Run(); });
}

AppWatch::~AppWatch() {
  {
    const MutexLock lock(mutex_);
    is_closing_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void AppWatch::Drain() {
  is_draining_ = true;
  const MutexLock lock(mutex_);
  changed_.NotifyAll();
  while (!has_drained_) changed_.Wait(mutex_);
}

bool AppWatch::AppIsUp() {
  const std::shared_ptr<grpc::Channel> channel = app_();
  const grpc_connectivity_state state =
      channel == nullptr ? GRPC_CHANNEL_IDLE
                         : channel->GetState(/*try_to_connect=*/true);
  const auto now = SteadyClock::now();
  if (state == GRPC_CHANNEL_TRANSIENT_FAILURE && now >= next_reset_) {
    grpc::experimental::ChannelResetConnectionBackoff(channel.get());
    next_reset_ = now + kRetry;
  }
  return verdict_.IsUp(state, now);
}

void AppWatch::Run() {
  while (true) {
    const bool drains = is_draining_;
    const bool is_ready = !drains && AppIsUp();
    if (is_ready != is_ready_) {
      is_ready_ = is_ready;
      on_change_(is_ready);
    }
    const auto next = SteadyClock::now() + kLook;
    const MutexLock lock(mutex_);
    if (drains && !has_drained_) {
      has_drained_ = true;
      changed_.NotifyAll();
    }
    while (!is_closing_ && is_draining_ == drains &&
           (drains || SteadyClock::now() < next)) {
      if (drains) {
        changed_.Wait(mutex_);
      } else {
        changed_.WaitUntil(mutex_, next);
      }
    }
    if (is_closing_) return;
  }
}

}  // namespace tether::sidecar
