// SPDX-License-Identifier: Apache-2.0
//
// The wall clock of the middle hop jumps, and no deadline changes. The chain is
// client → hop → leaf. The hop is a separate process whose clock is
// libfaketime. Its clock jumps by an hour, forwards or backwards, while it
// waits for the leaf. The time left on each hop, the moment at which it is
// over, and the status stay the same.
//
// libfaketime adds an offset to CLOCK_REALTIME. It reads the offset from a file
// (FAKETIME_TIMESTAMP_FILE) each time (FAKETIME_NO_CACHE). CLOCK_MONOTONIC is
// unchanged (FAKETIME_DONT_FAKE_MONOTONIC), as in a real jump. There is one
// difference to a real jump: the kernel's own clock doesn't jump. So code that
// waits for a point in time of the wall clock, as gRPC's own timers do (through
// absl::CondVar), waits an hour too long after a jump forwards. With a real
// clock it does so after a jump backwards. The controls show both. tether must
// depend on neither.
//
// The times are real. kSlack allows for a busy machine.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
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
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/clock_jump_hop.h"
#include "testing/child_process.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/grpc_release.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

constexpr absl::Duration kSlack = absl::Seconds(5);
constexpr char kLibrary[] = "/usr/$LIB/faketime/libfaketimeMT.so.1";

// The tolerance between two measurements with one clock.
constexpr absl::Duration kReadings = absl::Milliseconds(50);

// Accepts connections, and sends nothing on them. The destructor breaks them.
class SilentServer {
 public:
  SilentServer() : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(socket_, any, size), 0);
    EXPECT_EQ(listen(socket_, 16), 0);
    EXPECT_EQ(getsockname(socket_, any, &size), 0);
    address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  }
  SilentServer(const SilentServer&) = delete;
  SilentServer& operator=(const SilentServer&) = delete;
  ~SilentServer() { close(socket_); }

  const std::string& address() const { return address_; }

 private:
  const int socket_;
  std::string address_;
};

class ClockJumpTest : public testing::GrpcLeakCheckedTest,
                      public ::testing::WithParamInterface<int> {
 protected:
  using Told = std::map<std::string, int64_t>;

  ClockJumpTest()
      : file_(absl::StrCat(::testing::TempDir(), "/clock_jump_test.", getpid(),
                           ".offset")),
        leaf_(ProbeServer::Options()) {
    leaf_.unary = [this](grpc::ServerContext& sc, const Ping& ping, Pong*) {
      const Context ctx = ContextOf(sc);
      bool first;
      {
        absl::MutexLock lock(&mutex_);
        left_.push_back(ctx.Remaining());
        arrived_.push_back(absl::Now());
        first = left_.size() == 1;
      }
      if (first) SetOffset(absl::Hours(GetParam()));
      if (ping.number() != kHang) return grpc::Status::OK;
      ctx.WaitFor(kGiveUp);
      err_ = ctx.Err();
      ended_.Notify();
      return StatusOf(ctx);
    };
    SetOffset(absl::ZeroDuration());
  }

  void TearDown() override {
    const absl::Status stopped = hop_.Stop();
    EXPECT_TRUE(stopped.ok()) << stopped;
    stub_.reset();
    std::remove(file_.c_str());
    GrpcLeakCheckedTest::TearDown();
  }

  void StartHop(bool with_tether) {
    const absl::Status started =
        hop_.Start("/usr/bin/env",
                   {absl::StrCat("LD_PRELOAD=", kLibrary),
                    absl::StrCat("FAKETIME_TIMESTAMP_FILE=", file_),
                    "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
                    // libfaketime comes before AddressSanitizer, where there is
                    // one.
                    "ASAN_OPTIONS=verify_asan_link_order=0",
                    "integration_tests/clock_jump_hop",
                    absl::StrCat("--tether=", with_tether ? "true" : "false"),
                    absl::StrCat("--leaf=", leaf_.address()),
                    absl::StrCat("--silent=", silent_->address())});
    ASSERT_TRUE(started.ok()) << started;
    const auto line = ReadLine();
    ASSERT_TRUE(line && absl::StartsWith(*line, kListening))
        << "it prints above why";
    auto channel = tether::CreateChannel(
        absl::StrCat("127.0.0.1:",
                     line->substr(std::string(kListening).size())),
        grpc::InsecureChannelCredentials(), {}, testing::OwnConnection());
    ASSERT_TRUE(
        channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kGiveUp)));
    stub_ = Probe::NewStub(std::move(channel));
  }

  struct Result {
    grpc::Status status;
    absl::Duration elapsed;
  };

  Result Call(absl::Duration timeout, int what) {
    const auto [ctx, cancel] = WithTimeout(Background(), timeout);
    ClientCall call(ctx);
    Ping ping;
    ping.set_number(what);
    Pong pong;
    Result result;
    const absl::Time start = absl::Now();
    result.status = stub_->Unary(&call, ping, &pong);
    result.elapsed = absl::Now() - start;
    return result;
  }

  // Reads what the hop reports about the next request. Checks that its wall
  // clock has jumped, and that its steady clock hasn't.
  Told ReadWhatTheHopTold() {
    Told told;
    const auto line = ReadLine();
    if (!line) {
      ADD_FAILURE() << "the hop says nothing";
      return told;
    }
    for (const auto word : absl::StrSplit(*line, ' ', absl::SkipEmpty())) {
      const std::pair<std::string, std::string> pair =
          absl::StrSplit(word, '=');
      EXPECT_TRUE(absl::SimpleAtoi(pair.second, &told[pair.first])) << *line;
    }
    const absl::Duration steady =
        absl::Microseconds(told["steady1"] - told["steady0"]);
    const absl::Duration wall =
        absl::Microseconds(told["wall1"] - told["wall0"]);
    EXPECT_GE(steady, absl::ZeroDuration());
    EXPECT_LT(steady, kGiveUp);
    const absl::Duration jump = absl::Hours(GetParam());
    EXPECT_NEAR(absl::ToDoubleSeconds(wall - steady),
                absl::ToDoubleSeconds(jump), 0.1)
        << *line << " (tools/setup.sh installs libfaketime)";
    EXPECT_NEAR(static_cast<double>(told["time1"] - told["time0"]),
                absl::ToDoubleSeconds(jump + steady), 2)
        << *line;
    return told;
  }

  std::vector<absl::Duration> left() {
    absl::MutexLock lock(&mutex_);
    return left_;
  }

  // The time between the leaf's first two requests.
  absl::Duration between() {
    absl::MutexLock lock(&mutex_);
    return arrived_.at(1) - arrived_.at(0);
  }

  std::optional<SilentServer> silent_{std::in_place};
  absl::Notification ended_;
  absl::Status err_;  // before ended_

 private:
  void SetOffset(absl::Duration offset) const {
    const std::string next = file_ + ".next";
    {
      std::ofstream out(next);
      const int64_t seconds = absl::ToInt64Seconds(offset);
      out << (seconds < 0 ? "" : "+") << seconds << "\n";
    }
    // The file is never partly written.
    ASSERT_EQ(std::rename(next.c_str(), file_.c_str()), 0);
  }

  std::optional<std::string> ReadLine() {
    const auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
    return hop_.ReadLine(ctx);
  }

  const std::string file_;
  absl::Mutex mutex_;
  std::vector<absl::Duration> left_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Time> arrived_ ABSL_GUARDED_BY(mutex_);

  ProbeServer leaf_;
  testing::ChildProcess hop_{"clock_jump_hop"};
  std::unique_ptr<Probe::Stub> stub_;
};

INSTANTIATE_TEST_SUITE_P(Hours, ClockJumpTest, ::testing::Values(1, -1),
                         [](const auto& param_info) {
                           return param_info.param > 0 ? "Forth" : "Back";
                         });

TEST_P(ClockJumpTest, WhatIsLeftOfTheTimeIsLeft) {
  ASSERT_NO_FATAL_FAILURE(StartHop(/*with_tether=*/true));
  constexpr absl::Duration kTimeout = absl::Seconds(100);
  // The second request arrives after the clock has jumped.
  for (int request = 0; request < 2; ++request) {
    const Result result = Call(kTimeout, kTwice);
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    if (request > 0) break;
    Told told = ReadWhatTheHopTold();
    // The hop has used exactly the time that passed, and its deadline is
    // unchanged.
    const absl::Duration steady =
        absl::Microseconds(told["steady1"] - told["steady0"]);
    const absl::Duration used =
        absl::Microseconds(told["left0"] - told["left1"]);
    EXPECT_GT(used, steady - kReadings);
    EXPECT_LT(used, steady + kReadings);
    EXPECT_EQ(told["deadline0"], told["deadline1"]);
    EXPECT_LE(absl::Microseconds(told["left0"]), kTimeout);
    EXPECT_GT(absl::Microseconds(told["left1"]), kTimeout - kSlack);
    EXPECT_EQ(told["code"], grpc::StatusCode::OK);
    // The same holds for the leaf.
    ASSERT_EQ(left().size(), 2u);
    EXPECT_LE(left()[0], absl::Microseconds(told["left0"]));
    EXPECT_LE(left()[1], absl::Microseconds(told["left1"]));
    EXPECT_GT(left()[1], left()[0] - between() - kReadings);
  }
  const auto all = left();
  ASSERT_EQ(all.size(), 4u);
  for (const absl::Duration left : all) {
    EXPECT_LE(left, kTimeout);
    EXPECT_GT(left, kTimeout - kSlack);
  }
}

TEST_P(ClockJumpTest, TheCallersDeadlineEndsAllHops) {
  ASSERT_NO_FATAL_FAILURE(StartHop(/*with_tether=*/true));
  constexpr absl::Duration kTimeout = absl::Seconds(1);
  const Result result = Call(kTimeout, kHang);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_GT(result.elapsed, kTimeout * 0.8);
  EXPECT_LT(result.elapsed, kTimeout + kSlack);
  ASSERT_TRUE(ended_.WaitForNotificationWithTimeout(kSlack));
  EXPECT_EQ(err_.code(), absl::StatusCode::kDeadlineExceeded) << err_;
  Told told = ReadWhatTheHopTold();
  EXPECT_EQ(told["code"], grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_LT(absl::Microseconds(told["steady1"] - told["steady0"]),
            kTimeout + kSlack);
}

// Only the hop itself can end its second call.
TEST_P(ClockJumpTest, TheHopsOwnTimeoutEndsItsCall) {
  ASSERT_NO_FATAL_FAILURE(StartHop(/*with_tether=*/true));
  const Result result = Call(10 * kGiveUp, kHopLimits);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  Told told = ReadWhatTheHopTold();
  EXPECT_EQ(told["code"], grpc::StatusCode::DEADLINE_EXCEEDED);
  const absl::Duration steady =
      absl::Microseconds(told["steady2"] - told["steady1"]);
  EXPECT_GE(steady, kHopsOwnTimeout);
  EXPECT_LT(steady, kHopsOwnTimeout + kSlack);
  EXPECT_EQ(told["deadline0"], told["deadline2"]);
}

// The controls: the jump affects code that depends on the wall clock.

TEST_P(ClockJumpTest, ControlServerContextsDeadlineIsAnHourOff) {
  ASSERT_NO_FATAL_FAILURE(StartHop(/*with_tether=*/false));
  constexpr absl::Duration kTimeout = absl::Seconds(100);
  const Result result = Call(kTimeout, kTwice);
  Told told = ReadWhatTheHopTold();
  if (GetParam() > 0) {
    EXPECT_EQ(told["code"], grpc::StatusCode::DEADLINE_EXCEEDED);
    EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
    EXPECT_LT(result.elapsed, kTimeout / 2);
  } else {
    EXPECT_EQ(told["code"], grpc::StatusCode::OK);
    ASSERT_EQ(left().size(), 2u);
    EXPECT_LT(left()[0], 2 * kTimeout);
    EXPECT_GT(left()[1], absl::Hours(1));
  }
}

TEST_P(ClockJumpTest, ControlGrpcsOwnTimerFiresOrNot) {
  // The timers of 1.83 don't follow the wall clock any more.
  const bool hangs = GetParam() > 0 && !testing::GrpcIsAtLeast(1, 83);
  ASSERT_NO_FATAL_FAILURE(StartHop(/*with_tether=*/false));
  std::thread client([this] { Call(10 * kGiveUp, kHopLimits); });
  if (hangs) {
    while (left().empty()) absl::SleepFor(absl::Milliseconds(1));
    absl::SleepFor(4 * kHopsOwnTimeout);
    silent_.reset();  // it would hang for an hour
  }
  Told told = ReadWhatTheHopTold();
  client.join();
  const absl::Duration steady =
      absl::Microseconds(told["steady2"] - told["steady1"]);
  if (hangs) {
    EXPECT_EQ(told["code"], grpc::StatusCode::UNAVAILABLE);
    EXPECT_GT(steady, 3 * kHopsOwnTimeout);
  } else {
    EXPECT_EQ(told["code"], grpc::StatusCode::DEADLINE_EXCEEDED);
    EXPECT_LT(steady, kHopsOwnTimeout + kSlack);
  }
}

}  // namespace
}  // namespace tether
