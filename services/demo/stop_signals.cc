// SPDX-License-Identifier: Apache-2.0

#include "services/demo/stop_signals.h"

#include <pthread.h>
#include <signal.h>

#include "absl/status/status.h"

namespace shop {
namespace {

// The destructor wakes the thread with this signal.
constexpr int kNoMore = SIGUSR1;

sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, kNoMore}) {
    sigaddset(&signals, signal);
  }
  return signals;
}

}  // namespace

StopSignals::StopSignals()
    : cancellable_(tether::WithCancel(tether::Background())) {
  const sigset_t signals = Signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::thread([this] { WaitForSignal(); });
}

StopSignals::~StopSignals() {
  pthread_kill(thread_.native_handle(), kNoMore);
  thread_.join();
}

void StopSignals::WaitForSignal() {
  const sigset_t signals = Signals();
  for (;;) {
    int signal = 0;
    sigwait(&signals, &signal);
    if (signal == kNoMore) return;
    received_.store(signal);
    cancellable_.cancel(absl::CancelledError("stopped by a signal"));
  }
}

}  // namespace shop
