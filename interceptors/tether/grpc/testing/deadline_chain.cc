// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/testing/deadline_chain.h"

#include <grpc/grpc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/internal/mutex.h"

namespace tether::testing {
namespace {

// The error that several readings of the clock add to one figure.
constexpr absl::Duration kReadings = absl::Microseconds(100);

absl::Duration Now() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

// Tries again if the thread was interrupted between the readings.
absl::Duration DeadlineOf(const Context& ctx) {
  absl::Duration best = absl::InfiniteDuration();
  absl::Duration deadline;
  for (int i = 0; i < 1000 && best > kReadings / 5; ++i) {
    const absl::Duration before = Now();
    const absl::Duration left = ctx.Remaining();
    const absl::Duration taken = Now() - before;
    if (taken < best) {
      best = taken;
      deadline = before + taken / 2 + left;
    }
  }
  return deadline;
}

absl::Duration SinceGrpcsEpoch(gpr_timespec at) {
  return absl::Seconds(at.tv_sec) + absl::Nanoseconds(at.tv_nsec);
}

// How far gRPC's monotonic clock is ahead of std::chrono::steady_clock: not at
// all in gRPC 1.51, 5 s in 1.83.
absl::Duration GrpcIsAhead() {
  static const absl::Duration ahead = [] {
    absl::Duration best = absl::InfiniteDuration();
    absl::Duration result;
    for (int i = 0; i < 1000; ++i) {
      const absl::Duration before = Now();
      const absl::Duration grpc = SinceGrpcsEpoch(gpr_now(GPR_CLOCK_MONOTONIC));
      const absl::Duration taken = Now() - before;
      if (taken < best) {
        best = taken;
        result = grpc - (before + taken / 2);
      }
    }
    return result;
  }();
  return ahead;
}

absl::Duration DeadlineOf(const grpc::ServerContext& sc) {
  const gpr_timespec deadline =
      gpr_convert_clock_type(sc.raw_deadline(), GPR_CLOCK_MONOTONIC);
  if (gpr_time_cmp(deadline, gpr_inf_future(GPR_CLOCK_MONOTONIC)) == 0) {
    return absl::InfiniteDuration();
  }
  return SinceGrpcsEpoch(deadline) - GrpcIsAhead();
}

// `steady` counts from std::chrono::steady_clock's epoch.
gpr_timespec ToGpr(absl::Duration steady) {
  const absl::Duration since_epoch = steady + GrpcIsAhead();
  gpr_timespec at;
  at.clock_type = GPR_CLOCK_MONOTONIC;
  at.tv_sec = absl::ToInt64Seconds(since_epoch);
  at.tv_nsec = static_cast<int32_t>(
      absl::ToInt64Nanoseconds(since_epoch - absl::Seconds(at.tv_sec)));
  return at;
}

std::string In(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Microseconds(1)));
}

}  // namespace

absl::Duration Passage::Latencies() const {
  absl::Duration sum;
  for (const Hop& hop : hops) sum += hop.Latency();
  return sum;
}

std::string BrokenBound(const Passage& passage, const Reserve& reserve) {
  absl::Duration least_reserves;
  absl::Duration before = passage.deadline;
  for (size_t i = 0; i < passage.hops.size(); ++i) {
    const Passage::Hop& hop = passage.hops[i];
    // The caller computed the reserve at some time between these two.
    const absl::Duration most = reserve.Of(before - hop.sent);
    const absl::Duration least = reserve.Of(before - hop.arrived);
    const absl::Duration later = hop.deadline - before;
    const std::string facts = absl::StrCat(
        "hop ", i + 1, "'s deadline is ", In(later),
        " later than its caller's; the message took ", In(hop.Latency()),
        ", the reserve is ", In(least), " to ", In(most));
    if (later > hop.Latency() - least + kReadings) {
      return absl::StrCat("too late: ", facts);
    }
    const absl::Duration expected = std::min(before, hop.core_deadline);
    if (hop.deadline < expected - most - absl::Milliseconds(2)) {
      return absl::StrCat("too early: ", facts);
    }
    least_reserves += least;
    before = hop.deadline;
  }
  if (passage.Drift() >
      passage.Latencies() - least_reserves + absl::Milliseconds(1)) {
    return absl::StrCat(
        "too late: the last hop's deadline is ", In(passage.Drift()),
        " later than the origin's; the messages took ", In(passage.Latencies()),
        ", the reserves were ", In(least_reserves));
  }
  return "";
}

// A server, and the channel to it.
struct DeadlineChain::Link {
  std::unique_ptr<grpc::Service> service;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<Probe::Stub> stub;
};

class DeadlineChain::Relay final : public Probe::Service {
 public:
  // `index` 0 is the first hop; `next` is null for the last one.
  Relay(DeadlineChain& chain, size_t index, Probe::Stub* next)
      : chain_(chain), index_(index), next_(next) {}

  grpc::Status Unary(grpc::ServerContext* sc, const Ping* ping,
                     Pong* pong) override {
    const absl::Duration arrived = Now();
    const std::shared_ptr<Record> record = chain_.record();
    if (record == nullptr || record->number != ping->number()) {
      return grpc::Status::CANCELLED;  // its call has failed already
    }
    if (!chain_.reserve_) {
      Note(*record, arrived, DeadlineOf(*sc), DeadlineOf(*sc));
      if (next_ == nullptr) return grpc::Status::OK;
      const auto call = grpc::ClientContext::FromServerContext(*sc);
      return PassOn(*call, *record, pong);
    }
    const Context ctx = ContextOf(*sc);
    Note(*record, arrived, DeadlineOf(ctx), DeadlineOf(*sc));
    if (next_ == nullptr) return grpc::Status::OK;
    ClientCall call(ctx);
    return PassOn(call, *record, pong);
  }

 private:
  void Note(Record& record, absl::Duration arrived, absl::Duration deadline,
            absl::Duration core_deadline) const {
    internal::MutexLock lock(record.mutex);
    Passage::Hop& hop = record.passage.hops[index_];
    hop.arrived = arrived;
    hop.deadline = deadline;
    hop.core_deadline = core_deadline;
  }

  grpc::Status PassOn(grpc::ClientContext& call, Record& record, Pong* pong) {
    Ping ping;
    ping.set_number(record.number);
    {
      internal::MutexLock lock(record.mutex);
      record.passage.hops[index_ + 1].sent = Now();
    }
    call.set_wait_for_ready(true);
    return next_->Unary(&call, ping, pong);
  }

  DeadlineChain& chain_;
  const size_t index_;
  Probe::Stub* const next_;
};

DeadlineChain::DeadlineChain(const std::optional<Reserve>& reserve, size_t hops)
    : reserve_(reserve) {
  Probe::Stub* next = nullptr;
  for (size_t index = hops; index-- > 0;) {
    links_.push_back(std::make_unique<Link>());
    Link& link = *links_.back();
    link.service = std::make_unique<Relay>(*this, index, next);
    grpc::ServerBuilder builder;
    builder.RegisterService(link.service.get());
    if (reserve_) InstallServer(builder);
    LoopbackServer started = ListenOnLoopback(builder);
    link.server = std::move(started.server);
    const std::string& address = started.address;
    const grpc::ChannelArguments arguments = OwnConnection();
    const auto credentials = grpc::InsecureChannelCredentials();
    if (reserve_) {
      ClientOptions options;
      options.reserve = *reserve_;
      link.stub = Probe::NewStub(tether::CreateChannel(
          address, credentials, std::move(options), arguments));
    } else {
      link.stub = Probe::NewStub(
          grpc::CreateCustomChannel(address, credentials, arguments));
    }
    next = link.stub.get();
  }
}

DeadlineChain::~DeadlineChain() {
  // Destroys the first hop first, so that no hop calls a server that is gone.
  while (!links_.empty()) {
    links_.back()->server->Shutdown();
    links_.back()->server->Wait();
    links_.pop_back();
  }
}

std::shared_ptr<DeadlineChain::Record> DeadlineChain::record() const {
  internal::MutexLock lock(mutex_);
  return record_;
}

bool DeadlineChain::Connect() {
  return Call(absl::InfiniteDuration()).has_value();
}

std::optional<Passage> DeadlineChain::Call(absl::Duration timeout) {
  auto record = std::make_shared<Record>(++calls_);
  {
    internal::MutexLock lock(record->mutex);
    record->passage.hops.resize(links_.size());
  }
  {
    internal::MutexLock lock(mutex_);
    record_ = record;
  }
  if (const grpc::Status status = Call(timeout, *record); !status.ok()) {
    std::fprintf(stderr, "the call ended with %d: %s\n", status.error_code(),
                 status.error_message().c_str());
    return std::nullopt;
  }
  internal::MutexLock lock(record->mutex);
  return record->passage;
}

grpc::Status DeadlineChain::Call(absl::Duration timeout, Record& record) {
  const auto send = [&](grpc::ClientContext& call, absl::Duration deadline) {
    Ping ping;
    ping.set_number(record.number);
    Pong pong;
    {
      internal::MutexLock lock(record.mutex);
      record.passage.deadline = deadline;
      record.passage.hops[0].sent = Now();
    }
    // Otherwise one failed attempt to connect would fail the call.
    call.set_wait_for_ready(true);
    return links_.back()->stub->Unary(&call, ping, &pong);
  };
  if (reserve_) {
    const auto [ctx, cancel] = WithTimeout(Background(), timeout);
    ClientCall call(ctx);
    return send(call, DeadlineOf(ctx));
  }
  grpc::ClientContext call;
  const absl::Duration deadline = Now() + timeout;
  if (deadline != absl::InfiniteDuration()) call.set_deadline(ToGpr(deadline));
  return send(call, deadline);
}

}  // namespace tether::testing
