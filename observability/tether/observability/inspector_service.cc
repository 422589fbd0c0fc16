// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/inspector_service.h"

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/inspect.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/mutex.h"
#include "tether/observability/internal/inspector.h"
#include "tether/observability/propagation_health.h"
#include "tether/observability/snapshot.h"
#include "tether/v1/inspector.grpc.pb.h"

namespace tether {
namespace internal {
namespace {

constexpr char kOwnMethods[] = "/tether.v1.Inspector/";
constexpr int kDefaultEntries = 1000;
constexpr int kMostEntries = 10'000;
constexpr size_t kTraceIdDigits = 32;
constexpr int64_t kDefaultIntervalUs = 1'000'000;
constexpr int64_t kLeastIntervalUs = 100'000;
constexpr int64_t kMostIntervalUs = 60'000'000;

bool IsOwn(const std::string& method) {
  return absl::StartsWith(method, kOwnMethods);
}

template <typename Entries>
void RemoveOwn(Entries& entries) {
  entries.erase(
      std::remove_if(entries.begin(), entries.end(),
                     [](const auto& entry) { return IsOwn(entry.method()); }),
      entries.end());
}

template <typename Entries>
int64_t CountOwn(const Entries& entries) {
  return std::count_if(entries.begin(), entries.end(),
                       [](const auto& entry) { return IsOwn(entry.method()); });
}

template <typename Entries>
void Shorten(Entries& entries, int most) {
  if (entries.size() <= most) return;
  entries.DeleteSubrange(most, entries.size() - most);
}

grpc::Status Invalid(const char* message) {
  return {grpc::StatusCode::INVALID_ARGUMENT, message};
}

// Writes the values that count into `list`, or returns an error.
grpc::Status Normalize(v1::ListRequest& list) {
  if (list.max_entries() < 0) return Invalid("max_entries is negative");
  list.set_max_entries(list.max_entries() == 0
                           ? kDefaultEntries
                           : std::min(list.max_entries(), kMostEntries));
  const std::string& id = list.trace_id();
  if (!id.empty() &&
      (id.size() != kTraceIdDigits ||
       !std::all_of(id.begin(), id.end(), absl::ascii_isxdigit))) {
    return Invalid("trace_id isn't 32 hex digits");
  }
  list.set_trace_id(absl::AsciiStrToLower(id));
  return grpc::Status::OK;
}

grpc::Status Normalize(v1::WatchRequest& watch) {
  if (watch.interval_us() < 0) return Invalid("interval_us is negative");
  watch.set_interval_us(
      watch.interval_us() == 0
          ? kDefaultIntervalUs
          : std::clamp(watch.interval_us(), kLeastIntervalUs, kMostIntervalUs));
  return Normalize(*watch.mutable_list());
}

// Calls `get`. An exception becomes INTERNAL, with `message`.
template <typename Get>
grpc::Status Catch(const char* message, const Get& get) {
  TETHER_TRY { return get(); }
  TETHER_CATCH(...) {}
  return {grpc::StatusCode::INTERNAL, message};
}

// What all RPCs of the service use.
struct Inspector {
  grpc::Status Authorize(const grpc::ServerContextBase& caller) const {
    if (!options.authorize) return grpc::Status::OK;
    return Catch("authorize threw an exception",
                 [&] { return options.authorize(caller); });
  }

  // `list` is normalized.
  grpc::Status Take(const v1::ListRequest& list, v1::Snapshot* snapshot) const {
    return Catch("the snapshot failed", [&] {
      // The totals count own requests, whether they are listed or not, so they
      // are listed alone first.
      v1::ListRequest own_list;
      own_list.set_method_contains(kOwnMethods);
      own_list.set_max_entries(kMostEntries);
      const v1::Snapshot own = sources.snapshot(own_list);
      const int64_t own_requests = CountOwn(own.requests());
      const int64_t own_calls = CountOwn(own.other_calls());

      // Own requests take no room in the list.
      v1::ListRequest whole = list;
      whole.set_max_entries(static_cast<int>(std::min<int64_t>(
          kMostEntries,
          list.max_entries() + std::max(own_requests, own_calls))));
      *snapshot = sources.snapshot(whole);
      RemoveOwn(*snapshot->mutable_requests());
      RemoveOwn(*snapshot->mutable_other_calls());
      Shorten(*snapshot->mutable_requests(), list.max_entries());
      Shorten(*snapshot->mutable_other_calls(), list.max_entries());
      // Some may have ended since.
      snapshot->set_requests_in_flight(
          std::max<int64_t>(snapshot->requests_in_flight() - own_requests, 0));
      snapshot->set_calls_in_flight(
          std::max<int64_t>(snapshot->calls_in_flight() - own_calls, 0));
      return grpc::Status::OK;
    });
  }

  grpc::Status Diagnose(v1::PropagationHealth* health) const {
    return Catch("the diagnosis failed", [&]() -> grpc::Status {
      std::optional<v1::PropagationHealth> found = sources.health();
      if (!found.has_value()) {
        return {grpc::StatusCode::FAILED_PRECONDITION,
                "the process doesn't count: it hasn't called "
                "tether::StartMetrics()"};
      }
      *health = *std::move(found);
      RemoveOwn(*health->mutable_findings());
      RemoveOwn(*health->mutable_methods());
      return grpc::Status::OK;
    });
  }

  const InspectorOptions options;
  const InspectorSources sources;
  std::atomic<int> watchers{0};
};

// Answers with a status only.
class Refusal final : public grpc::ServerWriteReactor<v1::Snapshot> {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }

 private:
  void OnDone() override { delete this; }
};

// One Watch. No thread belongs to it: it is a write in flight, or an alarm.
//
// Lifetime: gRPC's reference, which OnDone drops, and one in the callback of
// each alarm. OnDone comes when all other reactions have returned.
class Watcher final : public grpc::ServerWriteReactor<v1::Snapshot>,
                      public std::enable_shared_from_this<Watcher> {
 public:
  // Starts a Watch if there is room for it, and refuses it otherwise.
  static grpc::ServerWriteReactor<v1::Snapshot>* Start(
      Inspector& inspector, v1::WatchRequest request,
      const grpc::CallbackServerContext& call) {
    const auto watcher =
        std::make_shared<Watcher>(inspector, std::move(request));
    if (inspector.watchers.fetch_add(1) >= inspector.options.max_watchers) {
      inspector.watchers.fetch_sub(1);
      return new Refusal({grpc::StatusCode::RESOURCE_EXHAUSTED,
                          "too many callers watch; List still works"});
    }
    watcher->self_ = watcher;
    // Without tether on the server, OnCancel has to do.
    if (IsInstalled(call)) {
      const Context ctx = ContextOf(call);
      watcher->at_end_.emplace(
          ctx, [raw = watcher.get(), ctx] { raw->End(StatusOf(ctx)); });
    }
    watcher->Write();
    return watcher.get();
  }

  Watcher(Inspector& inspector, v1::WatchRequest request)
      : inspector_(inspector), request_(std::move(request)) {}

 private:
  // kWriting: the thread that set it, or the write that it started, decides
  // what comes next. kWaiting: the alarm or the end does, whichever is first.
  enum class State { kWriting, kWaiting, kFinished };

  // Requires kWriting.
  void Write() {
    next_ = gpr_time_add(
        gpr_now(GPR_CLOCK_MONOTONIC),
        gpr_time_from_micros(request_.interval_us(), GPR_TIMESPAN));
    grpc::Status status = inspector_.Take(request_.list(), &snapshot_);
    if (status.ok()) status = EndedWith();
    if (status.ok()) {
      StartWrite(&snapshot_);
    } else {
      Conclude(status);
    }
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      Conclude({grpc::StatusCode::CANCELLED, "the caller left"});
      return;
    }
    {
      MutexLock lock(mutex_);
      if (end_.ok()) state_ = State::kWaiting;
    }
    // If End comes now, it finishes the call, and the alarm finds that.
    if (const grpc::Status end = EndedWith(); !end.ok()) {
      if (Claim(State::kWriting)) Finish(end);
      return;
    }
    // A new one each time: the last one may still be running its callback.
    const auto alarm = std::make_shared<grpc::Alarm>();
    SetAlarm(alarm);
    alarm->Set(next_, [self = self_](bool) {
      if (self->Resume()) self->Write();
    });
  }

  void OnCancel() override {
    End({grpc::StatusCode::CANCELLED, "the caller left"});
  }

  void OnDone() override {
    at_end_.reset();
    SetAlarm(nullptr);
    inspector_.watchers.fetch_sub(1);
    const std::shared_ptr<Watcher> self = std::move(self_);
  }

  // The call has ended. If a write is under way, its end finishes the call.
  void End(const grpc::Status& status) {
    {
      MutexLock lock(mutex_);
      if (end_.ok() && !status.ok()) end_ = status;
    }
    if (Claim(State::kWaiting)) Finish(status);
  }

  // Finishes the call. Requires kWriting.
  void Conclude(const grpc::Status& status) {
    const grpc::Status end = EndedWith();
    if (Claim(State::kWriting)) Finish(end.ok() ? status : end);
  }

  grpc::Status EndedWith() {
    MutexLock lock(mutex_);
    return end_;
  }

  // True for one caller only, if the state is `from`. The caller finishes the
  // call, without the lock, because Finish runs callbacks.
  bool Claim(State from) {
    MutexLock lock(mutex_);
    if (state_ != from) return false;
    state_ = State::kFinished;
    return true;
  }

  bool Resume() {
    MutexLock lock(mutex_);
    if (state_ != State::kWaiting) return false;
    state_ = State::kWriting;
    return true;
  }

  // The last alarm is cancelled, if nobody else holds it, without the lock.
  void SetAlarm(std::shared_ptr<grpc::Alarm> alarm) {
    MutexLock lock(mutex_);
    alarm_.swap(alarm);
  }

  Inspector& inspector_;
  const v1::WatchRequest request_;
  std::shared_ptr<Watcher> self_;
  v1::Snapshot snapshot_;  // gRPC reads it during a write
  gpr_timespec next_;
  std::optional<Registration> at_end_;

  Mutex mutex_;
  std::shared_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);
  State state_ ABSL_GUARDED_BY(mutex_) = State::kWriting;
  // OK until the call has ended.
  grpc::Status end_ ABSL_GUARDED_BY(mutex_);
};

class InspectorService final : public v1::Inspector::CallbackService {
 public:
  InspectorService(InspectorOptions options, InspectorSources sources)
      : inspector_{std::move(options), std::move(sources)} {}

 private:
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* call,
                                 const v1::ListRequest* request,
                                 v1::Snapshot* snapshot) override {
    v1::ListRequest list = *request;
    grpc::Status status = inspector_.Authorize(*call);
    if (status.ok()) status = Normalize(list);
    if (status.ok()) status = inspector_.Take(list, snapshot);
    return Answer(call, status);
  }

  grpc::ServerWriteReactor<v1::Snapshot>* Watch(
      grpc::CallbackServerContext* call,
      const v1::WatchRequest* request) override {
    v1::WatchRequest watch = *request;
    grpc::Status status = inspector_.Authorize(*call);
    if (status.ok()) status = Normalize(watch);
    if (!status.ok()) return new Refusal(status);
    return Watcher::Start(inspector_, std::move(watch), *call);
  }

  grpc::ServerUnaryReactor* GetPropagationHealth(
      grpc::CallbackServerContext* call, const v1::GetPropagationHealthRequest*,
      v1::PropagationHealth* health) override {
    grpc::Status status = inspector_.Authorize(*call);
    if (status.ok()) status = inspector_.Diagnose(health);
    return Answer(call, status);
  }

  static grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* call,
                                          const grpc::Status& status) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  Inspector inspector_;
};

}  // namespace

InspectorSources SourcesOfThisProcess() {
  InspectorSources sources;
  sources.snapshot = [](const v1::ListRequest& list) {
    return TakeSnapshot(list);
  };
  sources.health = []() -> std::optional<v1::PropagationHealth> {
    v1::PropagationHealth health = GetPropagationHealth();
    if (health.counted_us() <= 0) return std::nullopt;
    return health;
  };
  return sources;
}

std::unique_ptr<grpc::Service> MakeInspectorService(InspectorOptions options,
                                                    InspectorSources sources) {
  return std::make_unique<InspectorService>(std::move(options),
                                            std::move(sources));
}

}  // namespace internal

std::unique_ptr<grpc::Service> MakeInspectorService(InspectorOptions options) {
  return internal::MakeInspectorService(std::move(options),
                                        internal::SourcesOfThisProcess());
}

}  // namespace tether
