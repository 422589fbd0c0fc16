// SPDX-License-Identifier: Apache-2.0

#include <grpcpp/alarm.h>

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "hop.h"
#include "tether/after_func.h"
#include "tether/internal/mutex.h"

namespace tether::benchmarks {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

class RelayReactor final : public grpc::ServerUnaryReactor {
 public:
  RelayReactor(Variant variant, Meter& meter, Hop::Stub& next,
               const grpc::CallbackServerContext& sc, const Request& request,
               Reply* reply)
      : meter_(meter), in_flight_(meter), gone_at_ns_(request.gone_at_ns()) {
    if (CallerHasGone(variant, sc)) {
      Finish(CallerGone());
      return;
    }
    meter_.Work(kWorkBefore, gone_at_ns_);
    call_ = CallFor(variant, sc);
    next.async()->Serve(call_.get(), &request, reply, [this](grpc::Status s) {
      if (s.ok()) meter_.Work(kWorkAfter, gone_at_ns_);
      Finish(std::move(s));
    });
  }

  void OnDone() override { delete this; }

 private:
  Meter& meter_;
  const InFlight in_flight_;
  const int64_t gone_at_ns_;
  std::shared_ptr<grpc::ClientContext> call_;
};

class LeafReactor final : public grpc::ServerUnaryReactor {
 public:
  LeafReactor(Variant variant, Meter& meter,
              const grpc::CallbackServerContext& sc, const Request& request)
      : variant_(variant),
        meter_(meter),
        in_flight_(meter),
        gone_at_ns_(request.gone_at_ns()),
        steps_(request.slow(), meter.stalled_until()) {
    if (variant == Variant::kTether) {
      on_end_.emplace(ContextOf(sc), [this] { Stop(); });
    }
    Run();
  }

  void OnCancel() override {
    if (variant_ == Variant::kByHand) Stop();
  }

  void OnDone() override { delete this; }

 private:
  void Run() {
    LeafSteps::Step step;
    while (steps_.Next(&step)) {
      if (step.from > steady_clock::now()) return WaitFor(step);
      if (!Work(step)) return;
    }
    Finish(grpc::Status::OK);
  }

  // Returns false if the caller has gone. The call is finished then.
  bool Work(const LeafSteps::Step& step) {
    if (gone_) {
      Finish(CallerGone());
      return false;
    }
    meter_.Work(step.work, gone_at_ns_);
    return true;
  }

  // Continues when it is time, or when the caller has gone.
  void WaitFor(const LeafSteps::Step& step) {
    const internal::MutexLock lock(mutex_);
    // A new one: this may be the old one's callback.
    alarm_ = std::make_unique<grpc::Alarm>();
    const auto left = gone_ ? nanoseconds(0) : step.from - steady_clock::now();
    alarm_->Set(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                             gpr_time_from_nanos(left.count(), GPR_TIMESPAN)),
                [this, step](bool) {
                  // WaitFor() may still hold it.
                  { const internal::MutexLock wait(mutex_); }
                  if (Work(step)) Run();
                });
  }

  void Stop() {
    const internal::MutexLock lock(mutex_);
    gone_ = true;
    if (alarm_ != nullptr) alarm_->Cancel();
  }

  const Variant variant_;
  Meter& meter_;
  const InFlight in_flight_;
  const int64_t gone_at_ns_;
  LeafSteps steps_;
  std::atomic<bool> gone_{false};
  internal::Mutex mutex_;
  std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);
  std::optional<Registration> on_end_;
};

class CallbackHop final : public Hop::CallbackService {
 public:
  CallbackHop(Variant variant, Meter& meter, Hop::Stub* next)
      : variant_(variant), meter_(meter), next_(next) {}

  grpc::ServerUnaryReactor* Serve(grpc::CallbackServerContext* sc,
                                  const Request* request,
                                  Reply* reply) override {
    if (next_ == nullptr) {
      return new LeafReactor(variant_, meter_, *sc, *request);
    }
    return new RelayReactor(variant_, meter_, *next_, *sc, *request, reply);
  }

 private:
  const Variant variant_;
  Meter& meter_;
  Hop::Stub* const next_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeCallbackHop(Variant variant, Meter& meter,
                                               Hop::Stub* next) {
  return std::make_unique<CallbackHop>(variant, meter, next);
}

}  // namespace tether::benchmarks
