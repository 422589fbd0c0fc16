// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <memory>
#include <thread>

#include "absl/time/time.h"
#include "hop.h"

namespace tether::benchmarks {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How often a handler without tether polls while it waits.
constexpr milliseconds kPoll(10);

class SyncHop final : public Hop::Service {
 public:
  SyncHop(Variant variant, Meter& meter, Hop::Stub* next)
      : variant_(variant), meter_(meter), next_(next) {}

  grpc::Status Serve(grpc::ServerContext* sc, const Request* request,
                     Reply* reply) override {
    const InFlight in_flight(meter_);
    return next_ == nullptr ? Leaf(*sc, *request) : Relay(*sc, *request, reply);
  }

 private:
  grpc::Status Relay(const grpc::ServerContext& sc, const Request& request,
                     Reply* reply) {
    if (CallerHasGone(variant_, sc)) return CallerGone();
    meter_.Work(kWorkBefore, request.gone_at_ns());
    const auto call = CallFor(variant_, sc);
    grpc::Status status = next_->Serve(call.get(), request, reply);
    if (status.ok()) meter_.Work(kWorkAfter, request.gone_at_ns());
    return status;
  }

  grpc::Status Leaf(const grpc::ServerContext& sc, const Request& request) {
    const Context ctx =
        variant_ == Variant::kTether ? ContextOf(sc) : Background();
    LeafSteps steps(request.slow(), meter_.stalled_until());
    LeafSteps::Step step;
    while (steps.Next(&step)) {
      if (GoneBefore(step.from, sc, ctx)) {
        return CallerGone();
      }
      meter_.Work(step.work, request.gone_at_ns());
    }
    return grpc::Status::OK;
  }

  // Waits until `time`. Returns early with true if the caller has gone.
  bool GoneBefore(Time time, const grpc::ServerContext& sc,
                  const Context& ctx) const {
    if (variant_ == Variant::kTether) {
      const auto left = time - steady_clock::now();
      if (left <= left.zero()) return ctx.Done();
      return ctx.WaitFor(absl::FromChrono(left));
    }
    const bool polls = variant_ == Variant::kByHand;
    while (!(polls && sc.IsCancelled())) {
      const Time now = steady_clock::now();
      if (now >= time) return false;
      std::this_thread::sleep_until(polls ? std::min(time, now + kPoll) : time);
    }
    return true;
  }

  const Variant variant_;
  Meter& meter_;
  Hop::Stub* const next_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeSyncHop(Variant variant, Meter& meter,
                                           Hop::Stub* next) {
  return std::make_unique<SyncHop>(variant, meter, next);
}

}  // namespace tether::benchmarks
