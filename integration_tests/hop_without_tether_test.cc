// SPDX-License-Identifier: Apache-2.0
//
// Chains with a middle hop without tether: plain gRPC in C++, or Debian's
// grpcio in Python (python_relay.py). The hop keeps the standard's promises as
// well as without tether. The ends lose only what the middle hop doesn't
// forward.
//
// Times are real, because the middle hop's are. Waits for expected events are
// limited by kGiveUp. For events that must not happen, the test waits kWhile.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "testing/child_process.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/grpc_release.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/mutex.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/timeout_header.h"
#include "tether/propagation/trace_context.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

constexpr absl::Duration kWhile = absl::Milliseconds(300);

// The leaf's tasks.
constexpr int kAnswer = 0;
constexpr int kWait = 1;

// grpc-timeout rounds it to 1010 s at each hop: the exact deadline and the
// rounded one are five seconds apart, enough for a busy machine.
constexpr absl::Duration kUnround = absl::Seconds(1005);

constexpr char kTraceId[] = "0af7651916cd43dd8448eb211c80319c";
constexpr char kIdHeaders[] = "traceparent,tracestate,x-request-id";

// The leaf's observations of a call.
struct Seen {
  std::string trace_id;
  std::string trace_state;
  std::string request_id;
  // The header as it arrived.
  std::optional<absl::Duration> exact_timeout;
  // The time left by gRPC's own deadline, read right before `left` and right
  // after it.
  absl::Duration standard_before;
  absl::Duration left;
  absl::Duration standard_after;
};

absl::Duration StandardLeft(const grpc::ServerContext& sc) {
  const gpr_timespec left =
      gpr_time_sub(sc.raw_deadline(), gpr_now(sc.raw_deadline().clock_type));
  return gpr_time_cmp(left, gpr_inf_future(GPR_TIMESPAN)) == 0
             ? absl::InfiniteDuration()
             : absl::Seconds(left.tv_sec) + absl::Nanoseconds(left.tv_nsec);
}

Seen See(const grpc::ServerContext& sc, const Context& ctx) {
  Seen seen;
  if (const TraceContext* trace = TraceOf(ctx)) {
    seen.trace_id = trace->TraceIdHex();
    seen.trace_state = trace->trace_state;
  }
  if (const std::string* id = RequestIdOf(ctx)) seen.request_id = *id;
  seen.standard_before = StandardLeft(sc);
  seen.left = ctx.Remaining();
  seen.standard_after = StandardLeft(sc);
  const auto found =
      sc.client_metadata().find(std::string(kTimeoutHeader).c_str());
  int64_t micros = 0;
  if (found != sc.client_metadata().end() &&
      absl::SimpleAtoi(std::string(found->second.data(), found->second.size()),
                       &micros)) {
    seen.exact_timeout = absl::Microseconds(micros);
  }
  return seen;
}

// The leaf's deadline is exactly gRPC's own. tether converts it by reading the
// clock twice. kReadings allows for a machine that is interrupted in between.
constexpr absl::Duration kReadings = absl::Milliseconds(100);

void ExpectStandard(const Seen& seen) {
  EXPECT_LE(seen.left, seen.standard_before + kReadings);
  EXPECT_GE(seen.left, seen.standard_after - kReadings);
}

// Debian's grpcio is as new as its gRPC. In experimental (gRPC 1.83 when this
// was written) it can't be imported.
bool PythonHasGrpc() {
  static const bool has =
      !testing::GrpcIsAtLeast(1, 83) ||
      std::system("/usr/bin/python3 -c 'import grpc' 2>/dev/null") == 0;
  return has;
}

// Use it in a test or in SetUp.
#define START_PYTHON(...)                                            \
  if (!PythonHasGrpc()) GTEST_SKIP() << "python3 can't import grpc"; \
  ASSERT_NO_FATAL_FAILURE(StartPython(__VA_ARGS__))

class HopWithoutTetherTest : public testing::GrpcLeakCheckedTest {
 protected:
  HopWithoutTetherTest() : leaf_(ProbeServer::Options()) {
    leaf_.unary = [this](grpc::ServerContext& sc, const Ping& ping,
                         Pong* pong) {
      const Context ctx = ContextOf(sc);
      {
        internal::MutexLock lock(mutex_);
        seen_ = See(sc, ctx);
      }
      pong->set_number(7);
      if (ping.number() == kAnswer) return grpc::Status::OK;
      arrived_.Notify();
      while (!ctx.WaitFor(absl::Milliseconds(10)) &&
             !release_.HasBeenNotified()) {
      }
      err_ = ctx.Err();
      ended_.Notify();
      return StatusOf(ctx);
    };
  }

  ~HopWithoutTetherTest() override {
    channel_.reset();
    plain_.reset();
  }

  void TearDown() override {
    if (!release_.HasBeenNotified()) release_.Notify();
    if (python_) {
      const absl::Status stopped = python_->Stop();
      EXPECT_TRUE(stopped.ok()) << stopped;
    }
    GrpcLeakCheckedTest::TearDown();
  }

  // Starts a middle hop that propagates as gRPC does in C++.
  void StartPlain() {
    ProbeServer::Options options;
    options.tether = std::nullopt;
    plain_ = std::make_unique<ProbeServer>(options);
    to_leaf_ = leaf_.Stub(/*tether=*/std::nullopt);
    plain_->unary = [this](grpc::ServerContext& sc, const Ping& ping,
                           Pong* pong) {
      const auto call = grpc::ClientContext::FromServerContext(sc);
      return to_leaf_->Unary(call.get(), ping, pong);
    };
    ConnectTo(plain_->address());
  }

  // Starts a middle hop in Python.
  void StartPython(std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"integration_tests/python_relay.py",
                                 "--target=" + leaf_.address()});
    python_.emplace("python_relay");
    const absl::Status started = python_->Start("/usr/bin/python3", flags);
    ASSERT_TRUE(started.ok()) << started;
    const auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
    const auto line = python_->ReadLine(ctx);
    constexpr char kListening[] = "listening on port ";
    ASSERT_TRUE(line && absl::StartsWith(*line, kListening))
        << "it prints above why; tools/setup.sh installs its grpcio";
    ConnectTo(absl::StrCat("127.0.0.1:",
                           line->substr(std::string(kListening).size())));
  }

  struct Result {
    grpc::Status status;
    int number = 0;
    absl::Duration elapsed;
  };

  Result Call(const Context& ctx, int what) {
    ClientCall call(ctx);
    Ping ping;
    ping.set_number(what);
    Pong pong;
    Result result;
    const absl::Time start = absl::Now();
    result.status = channel_->Unary(&call, ping, &pong);
    result.elapsed = absl::Now() - start;
    result.number = pong.number();
    return result;
  }

  // Makes a call that is answered. Returns the leaf's observations.
  Seen SeenBy(const Context& ctx) {
    const Result result = Call(ctx, kAnswer);
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_EQ(result.number, 7);
    return seen();
  }

  Seen seen() {
    internal::MutexLock lock(mutex_);
    return seen_;
  }

  static Context WithIds() {
    auto trace =
        ParseTraceParent(absl::StrCat("00-", kTraceId, "-b7ad6b7169203331-01"));
    trace->trace_state = "vendor=a1,other=b2";
    return WithRequestId(WithTrace(Background(), *trace), "req-7");
  }

  absl::Notification arrived_;
  absl::Notification ended_;
  absl::Notification release_;
  absl::Status err_;  // before ended_

 private:
  void ConnectTo(const std::string& address) {
    channel_ = testing::ProbeStub(address);
    // Connects all hops before a test measures time.
    const auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
    const Result result = Call(ctx, kAnswer);
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  }

  internal::Mutex mutex_;
  Seen seen_ ABSL_GUARDED_BY(mutex_);

  ProbeServer leaf_;
  std::unique_ptr<Probe::Stub> to_leaf_;
  std::unique_ptr<ProbeServer> plain_;
  std::optional<testing::ChildProcess> python_;
  std::unique_ptr<Probe::Stub> channel_;
};

// ---- Any middle hop that keeps to the standard ----

enum class Middle { kPlain, kPython, kPythonWithHeaders };

class AnyMiddleTest : public HopWithoutTetherTest,
                      public ::testing::WithParamInterface<Middle> {
 protected:
  void SetUp() override {
    switch (GetParam()) {
      case Middle::kPlain:
        StartPlain();
        break;
      case Middle::kPython:
        START_PYTHON({});
        break;
      case Middle::kPythonWithHeaders:
        START_PYTHON(
            {absl::StrCat("--forward=", kIdHeaders, ",tether-timeout")});
        break;
    }
  }
};

std::string NameOf(const ::testing::TestParamInfo<Middle>& info) {
  switch (info.param) {
    case Middle::kPlain:
      return "PlainGrpc";
    case Middle::kPython:
      return "Python";
    case Middle::kPythonWithHeaders:
      break;
  }
  return "PythonWithHeaders";
}

INSTANTIATE_TEST_SUITE_P(Middles, AnyMiddleTest,
                         ::testing::Values(Middle::kPlain, Middle::kPython,
                                           Middle::kPythonWithHeaders),
                         NameOf);

TEST_P(AnyMiddleTest, ACallWithoutADeadlineHasNoneAtTheLeaf) {
  EXPECT_EQ(SeenBy(Background()).left, absl::InfiniteDuration());
}

TEST_P(AnyMiddleTest, TheLeafHasAtMostWhatTheStandardHeaderRoundsTo) {
  for (const absl::Duration timeout : {absl::Seconds(5), kUnround}) {
    const auto [ctx, cancel] = WithTimeout(Background(), timeout);
    const Seen seen = SeenBy(ctx);
    EXPECT_LE(seen.left, timeout * 1.031);
    EXPECT_GT(seen.left, timeout * 0.9 - kWhile);
    EXPECT_LE(seen.left, seen.standard_before + kReadings);
  }
}

TEST_P(AnyMiddleTest, TheDeadlineEndsTheLeaf) {
  // Long enough that a stream that is cut off late is recognised, even on a
  // busy machine.
  constexpr absl::Duration kTimeout = absl::Seconds(2);
  const auto [ctx, cancel] = WithTimeout(Background(), kTimeout);
  const absl::Time start = absl::Now();
  const Result result = Call(ctx, kWait);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  ASSERT_TRUE(arrived_.HasBeenNotified());
  ASSERT_TRUE(ended_.WaitForNotificationWithTimeout(kGiveUp));
  // The call ends long before release_ is notified.
  EXPECT_LT(absl::Now() - start, kTimeout + kGiveUp / 2);
  EXPECT_GT(result.elapsed, kTimeout / 2);
  EXPECT_EQ(err_.code(), absl::StatusCode::kDeadlineExceeded) << err_;
}

TEST_P(AnyMiddleTest, ACancellationReachesTheLeaf) {
  const auto [ctx, leave] = WithTimeout(Background(), 10 * kGiveUp);
  std::thread leaver([this, &leave_now = leave] {
    EXPECT_TRUE(arrived_.WaitForNotificationWithTimeout(kGiveUp));
    leave_now();
  });
  const Result result = Call(ctx, kWait);
  leaver.join();
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(ended_.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_EQ(err_, absl::CancelledError("context canceled"));
}

// The control. It also shows the effect of a hop that ignores the standard.
TEST_F(HopWithoutTetherTest,
       ControlAMiddleThatPropagatesNothingLeavesTheLeafAlone) {
  START_PYTHON({"--propagate=no"});
  const auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(1));
  EXPECT_EQ(Call(ctx, kWait).status.error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  ASSERT_TRUE(arrived_.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_FALSE(ended_.WaitForNotificationWithTimeout(kWhile));
  EXPECT_EQ(seen().left, absl::InfiniteDuration());
  release_.Notify();
  EXPECT_TRUE(ended_.WaitForNotificationWithTimeout(kGiveUp));
}

// A middle hop that forwards only the header limits the leaf's time.
TEST_F(HopWithoutTetherTest, TheExactHeaderAloneBoundsTheLeaf) {
  START_PYTHON({"--propagate=no", "--forward=tether-timeout"});
  const auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(1));
  EXPECT_EQ(Call(ctx, kWait).status.error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  ASSERT_TRUE(arrived_.WaitForNotificationWithTimeout(kGiveUp));
  ASSERT_TRUE(ended_.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_LE(seen().left, absl::Seconds(1));
  EXPECT_EQ(seen().standard_before, absl::InfiniteDuration());
  EXPECT_EQ(err_.code(), absl::StatusCode::kDeadlineExceeded) << err_;
}

// ---- Ids ----

TEST_F(HopWithoutTetherTest, IdsStayIntactThroughPythonThatForwardsThem) {
  START_PYTHON({absl::StrCat("--forward=", kIdHeaders)});
  const Seen seen = SeenBy(WithIds());
  EXPECT_EQ(seen.trace_id, kTraceId);
  EXPECT_EQ(seen.trace_state, "vendor=a1,other=b2");
  EXPECT_EQ(seen.request_id, "req-7");
}

TEST_F(HopWithoutTetherTest, ControlIdsAreLostInPythonThatDoesNot) {
  START_PYTHON({});
  const Seen seen = SeenBy(WithIds());
  EXPECT_EQ(seen.trace_id, "");
  EXPECT_EQ(seen.request_id, "");
}

TEST_F(HopWithoutTetherTest, ControlIdsAreLostInPlainGrpc) {
  ASSERT_NO_FATAL_FAILURE(StartPlain());
  const Seen seen = SeenBy(WithIds());
  EXPECT_EQ(seen.trace_id, "");
  EXPECT_EQ(seen.request_id, "");
}

// ---- Exact time ----

TEST_F(HopWithoutTetherTest, TheLeafIsExactWhereTheHeaderPasses) {
  START_PYTHON({"--forward=tether-timeout"});
  const auto [ctx, cancel] = WithTimeout(Background(), kUnround);
  const Seen seen = SeenBy(ctx);
  ASSERT_TRUE(seen.exact_timeout);
  EXPECT_LE(*seen.exact_timeout, kUnround);
  EXPECT_LE(seen.left, *seen.exact_timeout);
  EXPECT_GT(seen.standard_before, kUnround);
}

TEST_F(HopWithoutTetherTest, AndElseHasTheStandardDeadlineThroughPlainGrpc) {
  ASSERT_NO_FATAL_FAILURE(StartPlain());
  const auto [ctx, cancel] = WithTimeout(Background(), kUnround);
  const Seen seen = SeenBy(ctx);
  EXPECT_FALSE(seen.exact_timeout);
  EXPECT_GT(seen.left, kUnround);
  ExpectStandard(seen);
}

TEST_F(HopWithoutTetherTest, AndElseHasTheStandardDeadlineThroughPython) {
  START_PYTHON({});
  const auto [ctx, cancel] = WithTimeout(Background(), kUnround);
  const Seen seen = SeenBy(ctx);
  EXPECT_FALSE(seen.exact_timeout);
  EXPECT_GT(seen.left, kUnround);
  ExpectStandard(seen);
}

// A header that is forwarded unchanged is out of date by the time that the
// middle hop took: a second, here. grpc-timeout is up to date, so it counts.
TEST_F(HopWithoutTetherTest, AStaleHeaderGivesNoTime) {
  START_PYTHON({"--forward=tether-timeout", "--hold=1"});
  const auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(9));
  const Seen seen = SeenBy(ctx);
  ASSERT_TRUE(seen.exact_timeout);
  EXPECT_GT(*seen.exact_timeout, seen.left + absl::Milliseconds(700));
  ExpectStandard(seen);
}

}  // namespace
}  // namespace tether
