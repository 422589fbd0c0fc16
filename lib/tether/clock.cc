#include "tether/clock.h"

#include <pthread.h>

#include <chrono>
#include <new>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "tether/internal/mutex.h"
#include "tether/internal/timer_service.h"

namespace tether {
namespace {

using internal::kNever;
using internal::Nanos;

Nanos RealSteadyNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// 2^18 ns, a quarter of a millisecond: how late the wheel may fire, and how
// close together wake-ups may come.
constexpr int kRealTickShift = 18;

// Timers of the machine's clock: one thread, started when first a timer is
// armed, asleep until the next event.
//
// Process exit: the thread is stopped and joined when static objects are
// destroyed; deadlines no longer fire then. fork: the child has no thread; the
// next timer armed there starts one. Lock order: mutex_ before lock_.
class RealTimerService final : public internal::TimerService {
 public:
  RealTimerService() : TimerService(kRealTickShift, RealSteadyNanos()) {}

  void Wake() override {
    internal::MutexLock lock(mutex_);
    if (stopped_) return;
    woken_ = true;
    if (thread_ == nullptr) {
      StopAtExit();
      HandleFork();
      thread_ = new std::thread([this] { Run(); });
    } else {
      wake_.NotifyOne();
    }
  }

 private:
  static RealTimerService& Instance();

  void Run() {
    for (;;) {
      RunDue(RealSteadyNanos());
      internal::MutexLock lock(mutex_);
      if (stopped_) return;
      const Nanos next = PlanSleep(RealSteadyNanos());
      if (!woken_) {
        if (next == kNever) {
          wake_.Wait(mutex_);
        } else {
          wake_.WaitUntil(mutex_, std::chrono::steady_clock::time_point(
                                      std::chrono::nanoseconds(next)));
        }
      }
      woken_ = false;
      if (stopped_) return;
    }
  }

  void Stop() {
    std::thread* thread;
    {
      internal::MutexLock lock(mutex_);
      stopped_ = true;
      wake_.NotifyOne();
      thread = std::exchange(thread_, nullptr);
    }
    if (thread == nullptr) return;
    if (thread->get_id() == std::this_thread::get_id()) {
      thread->detach();  // a callback called exit()
    } else {
      thread->join();
    }
    delete thread;
  }

  static void StopAtExit() {
    struct Stopper {
      ~Stopper() { Instance().Stop(); }
    };
    static Stopper stopper;
    (void)stopper;
  }

  static void HandleFork() {
    static const int registered = pthread_atfork(
        [] { Instance().BeforeFork(); }, [] { Instance().AfterForkInParent(); },
        [] { Instance().AfterForkInChild(); });
    (void)registered;
  }

  void BeforeFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    mutex_.lock();
    lock_.lock();
  }
  void AfterForkInParent() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    lock_.unlock();
    mutex_.unlock();
  }
  void AfterForkInChild() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    // The thread is not in this process. It is still counted as a waiter by
    // the condition variable, which would pass it wake-ups, and wait for it to
    // take them. So both are abandoned, not destroyed.
    thread_ = nullptr;
    new (&wake_) internal::CondVar;
    ForgetSleep();
    lock_.unlock();
    mutex_.unlock();
  }

  internal::Mutex mutex_;
  internal::CondVar wake_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread* thread_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

class RealClock final : public Clock {
 public:
  RealClock() : Clock(std::make_unique<RealTimerService>()) {}

  absl::Time Now() const override { return absl::Now(); }
  Nanos SteadyNanos() const override { return RealSteadyNanos(); }
  RealTimerService& service() {
    return static_cast<RealTimerService&>(timers());
  }
};

RealClock& GetRealClock() {
  static RealClock& clock = *new RealClock;
  return clock;
}

RealTimerService& RealTimerService::Instance() {
  return GetRealClock().service();
}

}  // namespace

Clock::Clock(std::unique_ptr<internal::TimerService> timers)
    : timers_(std::move(timers)),
      root_(internal::NodeKind::kBackground, this) {}

Clock::~Clock() = default;

Clock& Clock::Real() { return GetRealClock(); }

}  // namespace tether
