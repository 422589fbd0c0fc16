// SPDX-License-Identifier: Apache-2.0

#include "sidecar/retiring.h"

#include <iterator>
#include <utility>

namespace tether::sidecar {

Retiring::~Retiring() {
  std::list<Port> left;
  {
    const internal::MutexLock lock(mutex_);
    left.swap(ports_);  // which moves none of them
  }
  for (Port& port : left) port.thread.join();
}

void Retiring::Add(std::unique_ptr<Listener> listener, Side side,
                   absl::Duration grace) {
  if (listener == nullptr) return;
  const internal::MutexLock lock(mutex_);
  for (auto it = ports_.begin(); it != ports_.end();) {
    const bool is_over = it->listener == nullptr;
    if (is_over) it->thread.join();
    it = is_over ? ports_.erase(it) : std::next(it);
  }
  Port& port = ports_.emplace_back();
  port.side = side;
  port.listener = std::move(listener);
  port.thread =
      std::thread([this, &port, grace, draining = port.listener.get()] {
        draining->Shutdown(grace);
        std::unique_ptr<Listener> over;  // destroyed without the lock
        const internal::MutexLock at_end(mutex_);
        over = std::move(port.listener);
        over->AddCountersTo(over_);
      });
}

void Retiring::AddCountersTo(CounterValues& sum) const {
  const internal::MutexLock lock(mutex_);
  for (size_t i = 0; i < kCountKinds; ++i) sum.values[i] += over_.values[i];
  for (const Port& port : ports_) {
    if (port.listener != nullptr) port.listener->AddCountersTo(sum);
  }
}

int64_t Retiring::InFlight(Side side) const {
  const internal::MutexLock lock(mutex_);
  int64_t sum = 0;
  for (const Port& port : ports_) {
    if (port.listener != nullptr && port.side == side) {
      sum += port.listener->InFlight();
    }
  }
  return sum;
}

}  // namespace tether::sidecar
