// SPDX-License-Identifier: Apache-2.0
//
// Counts and checks of soak_test: of the handlers, and of the calls that run.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_SOAK_TALLY_H_
#define TETHER_INTEGRATION_TESTS_SOAK_TALLY_H_

#include <atomic>
#include <iterator>
#include <list>
#include <ostream>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/server.h"
#include "integration_tests/soak_plan.h"
#include "tether/context.h"
#include "tether/end_reason.h"

namespace tether::soak {

// A child of `parent` that ends after `timeout`. Its request id tells the
// handlers when it was made, and when it ends.
Cancellable WithTold(const Context& parent, absl::Duration timeout);

// The longest of many durations. Any thread.
class Longest {
 public:
  void Add(absl::Duration duration);
  absl::Duration get() const { return absl::Nanoseconds(nanos_.load()); }

 private:
  std::atomic<int64_t> nanos_{0};
};

// Measures how late threads of this machine are, and ends the program if a call
// hangs.
class Watchdog {
 public:
  Watchdog();
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // How late a call may end.
  absl::Duration Slack() const;
  // How much too early a handler's deadline may be.
  absl::Duration Tolerance() const;
  absl::Duration late() const { return late_.get(); }

  // A call, as long as it runs.
  class Running {
   public:
    // `plan` must outlive this.
    Running(Watchdog& watchdog, const Plan& plan);
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    friend class Watchdog;
    struct Call {
      const Plan* plan;
      absl::Duration start;
      absl::Duration hangs_at;
    };
    Watchdog& watchdog_;
    std::list<Call>::iterator call_;
  };

 private:
  void Check();

  Longest late_;
  absl::Mutex mutex_;
  std::list<Running::Call> calls_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> over_{false};
  std::thread thread_;
};

// The handlers of all servers of one style. Checks their contexts.
class HandlerTally final : public matrix::HandlerObserver {
 public:
  explicit HandlerTally(const Watchdog& watchdog) : watchdog_(watchdog) {}

  void Begin(const Context& ctx) override;
  void Keep(const Context&) override {}
  void Wait(const Context& ctx) override;
  void End(const Context& ctx) override;
  void Work(const Context&) override {}
  void Fail(const Context&) override {}
  void Over() override { ++over_; }

  int64_t begun() const { return begun_; }
  int64_t over() const { return over_; }
  int64_t ends_of(EndReason reason) const {
    return ends_[static_cast<size_t>(reason)];
  }
  // How late handlers noticed that their deadline had passed.
  absl::Duration late() const { return late_.get(); }

 private:
  const Watchdog& watchdog_;
  std::atomic<int64_t> begun_{0};
  std::atomic<int64_t> over_{0};
  std::atomic<int64_t> ends_[10] = {};
  Longest late_;
};

// The calls of all callers.
class CallTally {
 public:
  void Start() { ++started_; }
  // Checks `outcome`.
  void Finish(const Plan& plan, const Outcome& outcome,
              const Watchdog& watchdog);

  int64_t started() const { return started_; }
  int64_t ended() const;
  int64_t ended(grpc::StatusCode code) const { return codes_[code]; }
  absl::Duration late() const { return late_.get(); }
  int64_t of(matrix::ClientStyle style, matrix::Kind kind) const {
    return cells_[static_cast<int>(style)][static_cast<int>(kind)];
  }
  // The calls that nothing disturbs.
  int64_t calm() const { return calm_; }
  void Print(std::ostream& out) const;

 private:
  std::atomic<int64_t> started_{0};
  std::atomic<int64_t> codes_[17] = {};
  std::atomic<int64_t> cells_[std::size(matrix::kClientStyles)]
                             [std::size(matrix::kKinds)] = {};
  std::atomic<int64_t> calm_{0};
  Longest late_;
};

}  // namespace tether::soak

#endif  // TETHER_INTEGRATION_TESTS_SOAK_TALLY_H_
