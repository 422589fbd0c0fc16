// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/metrics.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/front_and_leaf.h"
#include "tether/propagation/trace_context.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;

constexpr char kUnary[] = "/tether.testing.Probe/Unary";
constexpr char kDownload[] = "/tether.testing.Probe/Download";

uint64_t CountOf(const std::vector<OutcomeCount>& outcomes,
                 grpc::StatusCode code, EndReason reason) {
  for (const OutcomeCount& outcome : outcomes) {
    if (outcome.code == code && outcome.reason == reason) return outcome.count;
  }
  return 0;
}

// The figures are the process's, so each test uses a method of the leaf that
// the others don't, or compares with what was there before.
class MetricsTest : public testing::FrontAndLeaf {
 protected:
  ~MetricsTest() override { Stop(); }

  // A new start for the leaf's methods: `before_` of what follows.
  void StartCounting() {
    MetricsOptions options;
    options.deaf_after = absl::Milliseconds(50);
    StartMetrics(options);
    before_server_ = Server();
    before_client_ = Client();
  }
  static ServerMetrics Server(const std::string& method = kUnary) {
    return ReadMetrics().servers[method];
  }
  static ClientMetrics Client(const std::string& method = kUnary) {
    return ReadMetrics().clients[method];
  }
  // How many more requests ended like this than before.
  uint64_t ServerOutcomes(grpc::StatusCode code, EndReason reason) const {
    return CountOf(Server().outcomes, code, reason) -
           CountOf(before_server_.outcomes, code, reason);
  }
  uint64_t ClientOutcomes(grpc::StatusCode code, EndReason reason) const {
    return CountOf(Client().outcomes, code, reason) -
           CountOf(before_client_.outcomes, code, reason);
  }

  // Calls the leaf.
  grpc::Status CallFor(const Context& ctx) { return CallLeaf(ctx); }
  grpc::Status CallWithin(absl::Duration timeout) {
    const Cancellable caller = WithTimeout(Background(), timeout);
    return CallLeaf(caller.ctx);
  }

  ServerMetrics before_server_;
  ClientMetrics before_client_;
};

TEST_F(MetricsTest, AreEmptyBeforeTheyAreStarted) {
  // The first test of this process.
  Start();
  EXPECT_TRUE(Call(kGiveUp).first.ok());
  const Metrics metrics = ReadMetrics();
  EXPECT_TRUE(metrics.servers.empty());
  EXPECT_TRUE(metrics.clients.empty());
  EXPECT_EQ(metrics.counted_for, absl::ZeroDuration());
  EXPECT_TRUE(StartMetrics());
  EXPECT_FALSE(StartMetrics());
  EXPECT_GT(ReadMetrics().counted_for, absl::ZeroDuration());
}

TEST_F(MetricsTest, ARequestAndACallAreCountedOnceEach) {
  Start();
  StartCounting();
  EXPECT_TRUE(Call(kGiveUp).first.ok());
  // One at the front, one at the leaf.
  EXPECT_EQ(Server().total - before_server_.total, 2u);
  EXPECT_EQ(Client().total - before_client_.total, 2u);
  EXPECT_EQ(ServerOutcomes(grpc::OK, EndReason::kCompleted), 2u);
  EXPECT_EQ(ClientOutcomes(grpc::OK, EndReason::kCompleted), 2u);
  const ServerMetrics now = Server();
  EXPECT_EQ(now.without_deadline, before_server_.without_deadline);
  EXPECT_EQ(now.service_time.count - before_server_.service_time.count, 2u);
  EXPECT_EQ(now.time_left_on_arrival.count -
                before_server_.time_left_on_arrival.count,
            2u);
  EXPECT_EQ(now.time_left_at_end.count - before_server_.time_left_at_end.count,
            2u);
  EXPECT_EQ(now.worked_after_end.count, before_server_.worked_after_end.count);
  // Between 10 and 30 s are left.
  const size_t bucket = 17;
  EXPECT_EQ(DurationHistogram::Bounds()[bucket], 30);
  EXPECT_EQ(now.time_left_on_arrival.buckets[bucket] -
                before_server_.time_left_on_arrival.buckets[bucket],
            2u);
}

TEST_F(MetricsTest, TheCodeIsTheOneThatTheHandlerAnswers) {
  at_leaf_ = [](grpc::ServerContext&) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "");
  };
  Start();
  StartCounting();
  CallFor(Background());
  EXPECT_EQ(ServerOutcomes(grpc::NOT_FOUND, EndReason::kCompleted), 1u);
  EXPECT_EQ(ClientOutcomes(grpc::NOT_FOUND, EndReason::kCompleted), 1u);
  EXPECT_EQ(Server().without_deadline - before_server_.without_deadline, 1u);
  EXPECT_EQ(Client().without_deadline - before_client_.without_deadline, 1u);
}

TEST_F(MetricsTest, RequestsWithoutATraceAreCounted) {
  Start();
  StartCounting();
  CallFor(WithTrace(Background(), NewTrace(/*sampled=*/true)));
  EXPECT_EQ(Server().without_trace - before_server_.without_trace, 0u);
  CallFor(Background());
  EXPECT_EQ(Server().without_trace - before_server_.without_trace, 1u);
}

TEST_F(MetricsTest, AHandlerThatWorksOnAfterTheDeadlineIsDeaf) {
  // A deadline decides, so that the handler needs no watch.
  at_leaf_ = [](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    while (ctx.Remaining() > -absl::Milliseconds(120)) {
      std::this_thread::yield();
    }
    return StatusOf(ctx);
  };
  Start();
  StartCounting();
  const TraceContext trace = NewTrace(/*sampled=*/true);
  const Cancellable caller =
      WithTimeout(WithTrace(Background(), trace), absl::Milliseconds(30));
  CallFor(caller.ctx);
  Stop();  // the handler has returned
  const ServerMetrics now = Server();
  EXPECT_EQ(now.deaf - before_server_.deaf, 1u);
  EXPECT_GE(now.deaf_longest, absl::Milliseconds(120));
  ASSERT_FALSE(now.deaf_last.empty());
  EXPECT_EQ(now.deaf_last[0].trace_id, trace.TraceIdHex());
  EXPECT_GE(now.deaf_last[0].worked_after_end, absl::Milliseconds(120));
  EXPECT_EQ(now.worked_after_end.count - before_server_.worked_after_end.count,
            1u);
  EXPECT_GE(now.worked_after_end.sum_seconds -
                before_server_.worked_after_end.sum_seconds,
            0.12);
  EXPECT_EQ(
      ServerOutcomes(grpc::DEADLINE_EXCEEDED, EndReason::kInheritedDeadline),
      1u);
}

TEST_F(MetricsTest, AHandlerThatNeverLooksAtItsContextIsNotObserved) {
  at_leaf_ = [](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    const absl::Time end = absl::Now() + absl::Milliseconds(120);
    while (absl::Now() < end) std::this_thread::yield();
    return ctx.Remaining() > absl::ZeroDuration() ? grpc::Status::OK
                                                  : grpc::Status::CANCELLED;
  };
  stream_at_leaf_ = [this](grpc::ServerContext& sc, grpc::ServerWriter<Pong>*) {
    return at_leaf_(sc);
  };
  Start();
  StartCounting();
  EXPECT_TRUE(CallWithin(kGiveUp).ok());
  EXPECT_EQ(Server().not_observed - before_server_.not_observed, 1u);
  // gRPC's operations tell a stream's handler.
  const uint64_t streams = Server(kDownload).not_observed;
  {
    const Cancellable caller = WithTimeout(Background(), kGiveUp);
    ClientCall call(caller.ctx);
    const auto reader = to_leaf_->Download(&call, Ping());
    Pong pong;
    EXPECT_FALSE(reader->Read(&pong));
    EXPECT_TRUE(reader->Finish().ok());
  }
  EXPECT_EQ(Server(kDownload).not_observed, streams);
}

TEST_F(MetricsTest, AHandlerThatLooksAfterTheDeadlineHasLooked) {
  at_leaf_ = [](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    while (ctx.Remaining() > absl::ZeroDuration()) std::this_thread::yield();
    return ctx.Done() ? StatusOf(ctx) : grpc::Status::OK;
  };
  Start();
  StartCounting();
  CallWithin(absl::Milliseconds(100));
  Stop();
  EXPECT_EQ(Server().total - before_server_.total, 1u);
  EXPECT_EQ(Server().not_observed, before_server_.not_observed);
}

// An operation that blocks when the time is over fails only when core ends the
// call: a reserve later.
TEST_F(MetricsTest, AStreamThatStopsWhenItsOperationFailsIsNotDeaf) {
  std::atomic<bool> is_deaf{false};
  stream_at_leaf_ = [&](grpc::ServerContext& sc,
                        grpc::ServerWriter<Pong>* writer) {
    const Context ctx = ContextOf(sc);
    while (writer->Write(Pong())) std::this_thread::yield();
    const absl::Time end = absl::Now() + absl::Milliseconds(is_deaf ? 200 : 0);
    while (absl::Now() < end) std::this_thread::yield();
    return StatusOf(ctx);
  };
  Options options;
  options.leaf->answer_grace = absl::InfiniteDuration();
  options.to_leaf->reserve.fixed = absl::Milliseconds(300);
  options.to_leaf->reserve.cap = absl::Milliseconds(300);
  Start(options);
  StartCounting();
  // Returns whether the request was deaf.
  const auto download = [&] {
    const ServerMetrics before = Server(kDownload);
    const Cancellable caller =
        WithTimeout(Background(), absl::Milliseconds(1500));
    {
      ClientCall call(caller.ctx);
      const auto reader = to_leaf_->Download(&call, Ping());
      Pong pong;
      while (reader->Read(&pong)) {
      }
      reader->Finish();
    }
    const absl::Time give_up = absl::Now() + kGiveUp;
    while (Server(kDownload).total == before.total && absl::Now() < give_up) {
      std::this_thread::yield();
    }
    return Server(kDownload).deaf > before.deaf;
  };
  // A machine under load may keep the thread waiting for 50 ms.
  bool deaf = true;
  for (int i = 0; i < 5 && deaf; ++i) deaf = download();
  EXPECT_FALSE(deaf);
  is_deaf = true;
  EXPECT_TRUE(download());
}

TEST_F(MetricsTest, AMethodThatNobodyServesTakesNoPlace) {
  Start();
  StartCounting();
  CallFor(Background());
  const size_t before = GetMetricsMemory().methods;
  const uint64_t others = Server("other").total;
  at_leaf_ = [](grpc::ServerContext&) {
    return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "");
  };
  stream_at_leaf_ = [](grpc::ServerContext&, grpc::ServerWriter<Pong>*) {
    return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "");
  };
  // Known by an earlier answer.
  CallFor(Background());
  EXPECT_EQ(Server("other").total, others);
  EXPECT_EQ(ServerOutcomes(grpc::UNIMPLEMENTED, EndReason::kCompleted), 1u);
  EXPECT_EQ(GetMetricsMemory().methods, before);
}

TEST_F(MetricsTest, ARequestThatNothingLimitsIsUnlimited) {
  Options options;
  options.front->time.max_timeout = absl::Hours(1);
  Start(options);
  StartCounting();
  CallFor(Background());
  EXPECT_EQ(Server().unlimited - before_server_.unlimited, 1u);
  at_front_ = [](grpc::ServerContext&) { return grpc::Status::OK; };
  ClientCall call(Background());
  Call(*to_front_, call);
  EXPECT_EQ(Server().without_deadline - before_server_.without_deadline, 2u);
  EXPECT_EQ(Server().unlimited - before_server_.unlimited, 1u);
}

TEST_F(MetricsTest, AHandlerThatStopsWithItsCallerIsNotDeaf) {
  absl::Notification handler_waits;
  at_leaf_ = [&](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    handler_waits.Notify();
    EXPECT_TRUE(ctx.WaitFor(kGiveUp));
    return StatusOf(ctx);
  };
  Start();
  StartCounting();
  Cancellable caller = WithCancel(Background());
  std::thread client([&] { CallFor(caller.ctx); });
  handler_waits.WaitForNotification();
  caller.cancel();
  client.join();
  Stop();
  EXPECT_EQ(Server().not_observed, before_server_.not_observed);
  EXPECT_EQ(ServerOutcomes(grpc::CANCELLED, EndReason::kCallerLeft), 1u);
  EXPECT_EQ(ClientOutcomes(grpc::CANCELLED, EndReason::kCancelled), 1u);
  EXPECT_EQ(Server().watches - before_server_.watches, 1u);
  EXPECT_GT(Server().worked_after_end.count,
            before_server_.worked_after_end.count);
}

TEST_F(MetricsTest, DeadlinesThatTheServerChangesAreCounted) {
  Options options;
  options.leaf->time.default_timeout = absl::Seconds(50);
  options.leaf->time.max_timeout = absl::Seconds(100);
  Start(options);
  StartCounting();
  CallFor(Background());
  CallWithin(absl::Seconds(200));
  CallWithin(absl::Seconds(200));
  CallWithin(absl::Seconds(90));
  const ServerMetrics now = Server();
  EXPECT_EQ(now.default_timeouts - before_server_.default_timeouts, 1u);
  EXPECT_EQ(now.max_timeouts - before_server_.max_timeouts, 2u);
  EXPECT_EQ(now.without_deadline - before_server_.without_deadline, 1u);
}

TEST_F(MetricsTest, RequestsThatAreTurnedAwayAreCounted) {
  Options options;
  options.leaf->time.min_budget = absl::Minutes(5);
  options.leaf->shed_fraction = 1;
  Start(options);
  StartCounting();
  EXPECT_EQ(CallWithin(kGiveUp).error_code(), grpc::DEADLINE_EXCEEDED);
  Stop();
  EXPECT_EQ(Server().shed - before_server_.shed, 1u);
  EXPECT_EQ(ServerOutcomes(grpc::DEADLINE_EXCEEDED, EndReason::kTooLittleTime),
            1u);
}

TEST_F(MetricsTest, ACallWithoutTheContextOfItsRequestCountsForTheHandler) {
  at_front_ = [this](grpc::ServerContext& sc) {
    CallLeaf(Background());
    CallLeaf(ContextOf(sc));
    // On purpose.
    CallOptions options;
    options.detached = true;
    ClientCall detached(ContextOf(sc), options);
    Pong pong;
    to_leaf_->Unary(&detached, Ping(), &pong);
    ClientCall detached_from_nothing(Background(), options);
    to_leaf_->Unary(&detached_from_nothing, Ping(), &pong);
    // The current context is the request's.
    grpc::ClientContext plain;
    to_leaf_->Unary(&plain, Ping(), &pong);
    return grpc::Status::OK;
  };
  Start();
  StartCounting();
  Call(kGiveUp);
  EXPECT_EQ(Server().calls_without_context[kUnary] -
                before_server_.calls_without_context[kUnary],
            1u);
  EXPECT_EQ(Client().total - before_client_.total, 6u);
}

TEST_F(MetricsTest, ACallOnAThreadThatServesNoRequestIsABackgroundCall) {
  Start();
  StartCounting();
  CallFor(Background());  // the process has served from now on
  const uint64_t before = Client().background_calls;
  at_front_ = [this](grpc::ServerContext& sc) {
    std::thread([&] { CallLeaf(Background()); }).join();
    std::thread([&] { CallLeaf(ContextOf(sc)); }).join();
    return grpc::Status::OK;
  };
  Call(kGiveUp);
  // The client's own, and one of the handler.
  EXPECT_EQ(Client().background_calls - before, 2u);
  EXPECT_EQ(Server().calls_without_context[kUnary],
            before_server_.calls_without_context[kUnary]);
}

TEST_F(MetricsTest, ALaterDeadlineThanTheRequestsIsCounted) {
  at_leaf_ = [](grpc::ServerContext& sc) {
    const Context ctx = ContextOf(sc);
    const Cancellable later = WithTimeout(ctx, absl::Hours(1));
    const Cancellable earlier = WithTimeout(ctx, absl::Seconds(1));
    const Cancellable none = WithCancel(ctx);
    const Cancellable detached =
        WithTimeout(WithoutCancel(ctx), absl::Hours(1));
    return grpc::Status::OK;
  };
  Start();
  StartCounting();
  CallWithin(kGiveUp);
  EXPECT_EQ(Server().later_deadlines - before_server_.later_deadlines, 1u);
  // Outside of requests, nobody is to be told.
  const Cancellable outer = WithTimeout(Background(), absl::Seconds(1));
  const Cancellable inner = WithTimeout(outer.ctx, absl::Hours(1));
  EXPECT_EQ(Server().later_deadlines - before_server_.later_deadlines, 1u);
}

TEST_F(MetricsTest, ACallWhoseContextHasEndedIsNotSent) {
  Start();
  StartCounting();
  Cancellable caller = WithCancel(Background());
  caller.cancel();
  EXPECT_EQ(CallFor(caller.ctx).error_code(), grpc::CANCELLED);
  EXPECT_EQ(Client().not_sent - before_client_.not_sent, 1u);
  EXPECT_EQ(ClientOutcomes(grpc::CANCELLED, EndReason::kCancelled), 1u);
  EXPECT_EQ(Server().total, before_server_.total);
}

TEST_F(MetricsTest, TheDriftOfGrpcTimeoutIsMeasured) {
  Start();
  StartCounting();
  CallWithin(absl::Milliseconds(199'500));  // at 1 s steps: 200 s
  const ClientMetrics now = Client();
  EXPECT_EQ(
      now.grpc_timeout_drift.count - before_client_.grpc_timeout_drift.count,
      1u);
  const double drift = now.grpc_timeout_drift.sum_seconds -
                       before_client_.grpc_timeout_drift.sum_seconds;
  // Less than half a second passes before the headers are written.
  EXPECT_GE(drift, 0.5);
  EXPECT_LT(drift, 1);
  CallFor(Background());
  EXPECT_EQ(Client().grpc_timeout_drift.count, now.grpc_timeout_drift.count);
}

TEST_F(MetricsTest, AStreamThatItsClientAbandonsCountsAsCancelled) {
  absl::Notification handler_waits;
  stream_at_leaf_ = [&](grpc::ServerContext& sc, grpc::ServerWriter<Pong>*) {
    handler_waits.Notify();
    EXPECT_TRUE(ContextOf(sc).WaitFor(kGiveUp));
    return StatusOf(ContextOf(sc));
  };
  Start();
  StartCounting();
  const ClientMetrics client = Client(kDownload);
  const ServerMetrics server = Server(kDownload);
  {
    ClientCall call(Background());
    const auto reader = to_leaf_->Download(&call, Ping());
    handler_waits.WaitForNotification();
  }
  Stop();
  EXPECT_EQ(Client(kDownload).total - client.total, 1u);
  EXPECT_EQ(
      CountOf(Client(kDownload).outcomes, grpc::CANCELLED,
              EndReason::kCancelled) -
          CountOf(client.outcomes, grpc::CANCELLED, EndReason::kCancelled),
      1u);
  EXPECT_EQ(
      CountOf(Server(kDownload).outcomes, grpc::CANCELLED,
              EndReason::kCallerLeft) -
          CountOf(server.outcomes, grpc::CANCELLED, EndReason::kCallerLeft),
      1u);
}

TEST_F(MetricsTest, TellHowMuchMemoryTheyTake) {
  Start();
  StartCounting();
  CallFor(Background());
  const MetricsMemory memory = GetMetricsMemory();
  EXPECT_GE(memory.methods, 1u);
  EXPECT_GE(memory.threads, 2u);
  EXPECT_LE(memory.bytes_per_server_cell, 3000u);
  EXPECT_LE(memory.bytes_per_client_cell, 3000u);
  EXPECT_GE(memory.bytes,
            memory.bytes_per_server_cell + memory.bytes_per_client_cell);
  EXPECT_LE(memory.bytes,
            (memory.methods + 1) * memory.threads *
                (memory.bytes_per_server_cell + memory.bytes_per_client_cell));
  std::cout << "a served method: " << memory.bytes_per_server_cell
            << " bytes per thread, a called one: "
            << memory.bytes_per_client_cell << std::endl;
}

}  // namespace
}  // namespace tether
