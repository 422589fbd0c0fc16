// SPDX-License-Identifier: Apache-2.0
//
// The work of a hop under load, and how it is measured.

#ifndef TETHER_BENCHMARKS_LOAD_METER_H_
#define TETHER_BENCHMARKS_LOAD_METER_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "tether/internal/mutex.h"

namespace tether::benchmarks {

using Time = std::chrono::steady_clock::time_point;

// What the handlers of a process do. Any thread.
class Meter {
 public:
  Meter();
  ~Meter();
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

  void Enter();
  void Leave();

  // Uses the CPU for `time`. It is wasted if the client of the request had gone
  // when it began (Request::gone_at_ns). So call it for little at a time.
  void Work(std::chrono::nanoseconds time, int64_t gone_at_ns);

  // Forgets all that was measured. Handlers may be running.
  void Begin();

  // What was measured since Begin(), as a JSON object.
  std::string Report();

  // Requests that come meanwhile wait until then, as for a lock or a disk.
  void StallUntil(Time time) { stalled_until_ = time.time_since_epoch(); }
  Time stalled_until() const { return Time(stalled_until_.load()); }

 private:
  struct Sample {
    std::chrono::nanoseconds at;
    int64_t in_flight;
    int64_t threads;
    int64_t resident_kib;
  };

  void SampleUntilStopped();

  std::atomic<int64_t> in_flight_{0};
  std::atomic<int64_t> most_in_flight_{0};
  std::atomic<int64_t> served_{0};
  std::atomic<int64_t> worked_ns_{0};
  std::atomic<int64_t> wasted_ns_{0};
  std::atomic<Time::duration> stalled_until_{Time::duration::min()};
  std::atomic<bool> stop_{false};
  internal::Mutex mutex_;
  std::vector<Sample> samples_ ABSL_GUARDED_BY(mutex_);
  double cpu_before_us_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread sampler_;
};

// A handler is in flight while this lives.
class InFlight {
 public:
  explicit InFlight(Meter& meter) : meter_(meter) { meter_.Enter(); }
  ~InFlight() { meter_.Leave(); }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

 private:
  Meter& meter_;
};

// What the leaf does for a request: it waits, as for a database, and works.
class LeafSteps {
 public:
  LeafSteps(bool slow, Time stalled_until);

  // The next step: wait until `from`, then work for `work`.
  struct Step {
    Time from;
    std::chrono::nanoseconds work;
  };

  // Whether there is a next step.
  bool Next(Step* step);

 private:
  const bool slow_;
  const Time begin_;
  int done_ = 0;
};

// The work of the other hops, before and after their call.
inline constexpr std::chrono::microseconds kWorkBefore(200);
inline constexpr std::chrono::microseconds kWorkAfter(100);

}  // namespace tether::benchmarks

#endif  // TETHER_BENCHMARKS_LOAD_METER_H_
