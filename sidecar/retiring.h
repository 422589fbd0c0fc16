// SPDX-License-Identifier: Apache-2.0
//
// Ports that a reload has removed.

#ifndef TETHER_SIDECAR_RETIRING_H_
#define TETHER_SIDECAR_RETIRING_H_

#include <cstdint>
#include <list>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "sidecar/counters.h"
#include "sidecar/listener.h"
#include "tether/internal/mutex.h"

namespace tether::sidecar {

enum class Side { kIngress, kEgress };

// Drains listeners, each on a thread. What they count and what they serve is
// not forgotten meanwhile, and what they have counted never is.
//
// Thread safety: any thread.
class Retiring {
 public:
  Retiring() = default;
  // Waits until all are over.
  ~Retiring();
  Retiring(const Retiring&) = delete;
  Retiring& operator=(const Retiring&) = delete;

  // Lets its calls go on for `grace`. No effect if it is null.
  void Add(std::unique_ptr<Listener> listener, Side side, absl::Duration grace);

  void AddCountersTo(CounterValues& sum) const;
  int64_t InFlight(Side side) const;

 private:
  struct Port {
    Side side;
    std::unique_ptr<Listener> listener;  // null: it is over
    std::thread thread;                  // which then locks nothing any more
  };

  mutable internal::Mutex mutex_;
  std::list<Port> ports_ ABSL_GUARDED_BY(mutex_);
  CounterValues over_
      ABSL_GUARDED_BY(mutex_);  // the sum of those that are over
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_RETIRING_H_
