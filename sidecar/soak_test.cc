// SPDX-License-Identifier: Apache-2.0
//
// Calls through two sidecars and two applications, each a process of its own,
// while all four are killed and started again. Each call gets exactly one
// outcome, in time, which its plan and the kills allow. After each restart,
// calls succeed again. At the end each process ends by itself; with ASan, it
// fails if it has leaked.
//
// It runs for some seconds. These options of "bazel test" change that:
//
//   --test_arg=--minutes=1 --test_timeout=300
//   --test_arg=--seed=N                            the mix that a run printed

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sidecar/testing/plain_client.h"
#include "testing/child_process.h"
#include "testing/temp_folder.h"
#include "tether/context.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/internal/mutex.h"
#include "tether/testing/give_up.h"

ABSL_FLAG(double, minutes, 0.12, "How long to soak.");
ABSL_FLAG(uint32_t, seed, 0, "The mix; 0: a new one, printed.");

namespace tether::sidecar {
namespace {

using testing::PlainCall;
using testing::PlainClient;
using tether::testing::ChildProcess;
using tether::testing::kGiveUp;
using tether::testing::TempFolder;

// How much later than its deadline a call may end on a busy machine.
constexpr absl::Duration kLate = absl::Seconds(5);

// One of the processes, again and again.
class Peer {
 public:
  Peer(std::string name, std::string program, std::vector<std::string> flags)
      : name_(std::move(name)),
        program_(std::move(program)),
        flags_(std::move(flags)) {}

  void Start() {
    process_.emplace(name_);
    const absl::Status started = process_->Start(program_, flags_);
    ASSERT_TRUE(started.ok()) << started;
  }
  void Kill() {
    process_->Kill();
    process_->Stop().IgnoreError();  // it was killed
  }
  // Fails the test if the process doesn't end by itself, or has leaked.
  void Stop() {
    const absl::Time start = absl::Now();
    const absl::Status stopped = process_->Stop();
    EXPECT_TRUE(stopped.ok()) << stopped;
    slowest_stop_ = std::max(slowest_stop_, absl::Now() - start);
  }
  absl::Duration slowest_stop() const { return slowest_stop_; }
  const std::string& name() const { return name_; }

 private:
  const std::string name_;
  const std::string program_;
  const std::vector<std::string> flags_;
  std::optional<ChildProcess> process_;
  absl::Duration slowest_stop_;
};

// What became of the calls.
class Tally {
 public:
  void Add(grpc::StatusCode code) {
    internal::MutexLock lock(mutex_);
    ++ended_[code];
  }
  int64_t ended() const {
    internal::MutexLock lock(mutex_);
    int64_t sum = 0;
    for (const auto& [code, count] : ended_) sum += count;
    return sum;
  }
  int64_t ended(grpc::StatusCode code) const {
    internal::MutexLock lock(mutex_);
    const auto it = ended_.find(code);
    return it == ended_.end() ? 0 : it->second;
  }

  std::atomic<int64_t> started{0};

 private:
  mutable internal::Mutex mutex_;
  std::map<grpc::StatusCode, int64_t> ended_ ABSL_GUARDED_BY(mutex_);
};

class SoakTest : public tether::testing::GrpcLeakCheckedTest {
 protected:
  SoakTest() {
    const std::string sidecar = "sidecar/tether-sidecar";
    const std::string app = "sidecar/testing/soak_app";
    const std::string at_leaf = folder_.Write(
        "leaf.conf",
        absl::StrCat("ingress { listen: '", folder_.Socket("leaf-in"),
                     "' app: '", folder_.Socket("leaf"), "' } mode: FULL"));
    const std::string at_front = folder_.Write(
        "front.conf",
        absl::StrCat("ingress { listen: '", folder_.Socket("front-in"),
                     "' app: '", folder_.Socket("front"), "' } egress {",
                     " listen: '", folder_.Socket("front-out"), "' target: '",
                     folder_.Socket("leaf-in"), "' } mode: FULL"));
    peers_.emplace_back("leaf", app,
                        std::vector<std::string>{
                            absl::StrCat("--listen=", folder_.Socket("leaf"))});
    peers_.emplace_back(
        "front", app,
        std::vector<std::string>{
            absl::StrCat("--listen=", folder_.Socket("front")),
            absl::StrCat("--leaf=", folder_.Socket("front-out"))});
    peers_.emplace_back(
        "the leaf's sidecar", sidecar,
        std::vector<std::string>{absl::StrCat("--config=", at_leaf)});
    peers_.emplace_back(
        "the front's sidecar", sidecar,
        std::vector<std::string>{absl::StrCat("--config=", at_front)});
  }

  // Makes one call after another.
  void CallUntil(const Context& end, uint32_t seed, Tally& tally) const;
  void CallOnce(PlainClient& client, std::mt19937& random, Tally& tally) const;

  // Kills and starts a process, again and again, and waits each time until a
  // call succeeds.
  void KillUntil(const Context& end, uint32_t seed);
  // The time until a call succeeds.
  absl::Duration Recover() const;

  // Its sockets are the processes' own, also between the death of one and its
  // next life.
  const TempFolder folder_;
  const std::string address_ = folder_.Socket("front-in");
  std::deque<Peer> peers_;  // they don't move
  // Odd while a process is down, or calls don't succeed again.
  std::atomic<int> phase_{0};
  // What is or was done last: an index of peers_, negative if it is asked to
  // stop.
  std::atomic<int> last_{0};
  int kills_ = 0;
  absl::Duration slowest_recovery_;
};

void SoakTest::CallOnce(PlainClient& client, std::mt19937& random,
                        Tally& tally) const {
  // The leaf answers at once, later, or too late.
  const int millis = random() % 3 == 0 ? 0 : static_cast<int>(random() % 120);
  const bool is_short = random() % 3 == 0;
  const absl::Duration timeout =
      is_short ? absl::Milliseconds(1 + random() % 100) : absl::Seconds(10);
  const bool leaves = random() % 4 == 0;
  // Its own connection may not be back yet.
  const bool waits = random() % 2 == 0;
  ++tally.started;
  const int phase = phase_;
  const absl::Time deadline = absl::Now() + timeout;
  const std::string message = absl::StrCat(millis);
  const auto call =
      client.Call({"/soak.Front/Get", {}, message, timeout, waits});
  if (leaves && !call->EndsWithin(absl::Milliseconds(random() % 60))) {
    call->Cancel();
  }
  const bool has_ended = call->EndsWithin(deadline + kLate - absl::Now());
  EXPECT_TRUE(has_ended) << "a call of " << timeout << " got no outcome";
  if (!has_ended) call->Cancel();
  const grpc::Status status = call->Wait();
  tally.Add(status.error_code());
  const bool calm = phase % 2 == 0 && phase == phase_;
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      EXPECT_EQ(call->reply(), message);
      break;
    case grpc::StatusCode::CANCELLED:
      // gRPC's servers cancel what arrives while they shut down.
      EXPECT_TRUE(leaves || (!calm && last_ < 0)) << status.error_message();
      break;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      EXPECT_TRUE(is_short) << status.error_message();
      break;
    case grpc::StatusCode::UNAVAILABLE:
      EXPECT_FALSE(waits && calm) << status.error_message();
      absl::SleepFor(absl::Milliseconds(5));
      break;
    default:
      ADD_FAILURE() << status.error_code() << ": " << status.error_message();
  }
}

void SoakTest::CallUntil(const Context& end, uint32_t seed,
                         Tally& tally) const {
  std::mt19937 random(seed);
  PlainClient client(address_);
  while (!end.Done()) CallOnce(client, random, tally);
}

absl::Duration SoakTest::Recover() const {
  const absl::Time start = absl::Now();
  // A new connection each time: a client that lost its own waits before the
  // next attempt.
  while (absl::Now() - start < kGiveUp) {
    PlainClient client(address_);
    const auto call =
        client.Call({"/soak.Front/Get", {}, "0", absl::Seconds(2)});
    if (call->Wait().ok()) return absl::Now() - start;
    absl::SleepFor(absl::Milliseconds(10));
  }
  ADD_FAILURE() << "no call succeeds";
  return kGiveUp;
}

void SoakTest::KillUntil(const Context& end, uint32_t seed) {
  std::mt19937 random(seed);
  while (!end.WaitFor(absl::Milliseconds(100 + random() % 400))) {
    const int index = static_cast<int>(random() % peers_.size());
    Peer& peer = peers_[index];
    ++phase_;
    const bool stops = random() % 3 == 0;
    last_ = stops ? -1 - index : index;
    if (stops) {
      peer.Stop();
    } else {
      peer.Kill();
    }
    ++kills_;
    absl::SleepFor(absl::Milliseconds(random() % 200));
    ASSERT_NO_FATAL_FAILURE(peer.Start());
    const absl::Duration recovery = Recover();
    ++phase_;
    if (recovery > slowest_recovery_) {
      slowest_recovery_ = recovery;
      std::cout << peer.name() << ": calls succeed again after " << recovery
                << std::endl;
    }
  }
}

TEST_F(SoakTest, EachCallHasOneOutcomeAndNothingLeaks) {
  uint32_t seed = absl::GetFlag(FLAGS_seed);
  if (seed == 0) seed = std::random_device()();
  std::cout << "--seed=" << seed
            << " --minutes=" << absl::GetFlag(FLAGS_minutes) << std::endl;
  std::mt19937 random(seed);
  for (Peer& peer : peers_) ASSERT_NO_FATAL_FAILURE(peer.Start());
  Recover();

  Tally tally;
  {
    const auto [end, cancel] =
        WithTimeout(Background(), absl::Minutes(absl::GetFlag(FLAGS_minutes)));
    std::vector<std::thread> callers;
    for (int i = 0; i < 8; ++i) {
      callers.emplace_back([this, &end = end, mine = random(), &tally] {
        CallUntil(end, static_cast<uint32_t>(mine), tally);
      });
    }
    // On this thread: a child process is killed when its thread ends.
    KillUntil(end, static_cast<uint32_t>(random()));
    for (std::thread& caller : callers) caller.join();
  }
  Recover();
  // Callers first: each lets its calls end.
  for (auto peer = peers_.rbegin(); peer != peers_.rend(); ++peer) {
    peer->Stop();
  }

  std::cout << tally.started << " calls, " << kills_ << " processes ended, "
            << "calls succeeded again after at most " << slowest_recovery_
            << std::endl;
  for (const Peer& peer : peers_) {
    std::cout << peer.name() << " stopped in at most " << peer.slowest_stop()
              << std::endl;
  }
  EXPECT_EQ(tally.ended(), tally.started);
  EXPECT_GT(kills_, 0);
  for (const grpc::StatusCode code :
       {grpc::StatusCode::OK, grpc::StatusCode::CANCELLED,
        grpc::StatusCode::DEADLINE_EXCEEDED, grpc::StatusCode::UNAVAILABLE}) {
    std::cout << "code " << code << ": " << tally.ended(code) << std::endl;
    EXPECT_GT(tally.ended(code), 0) << code;
  }
}

}  // namespace
}  // namespace tether::sidecar

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  return RUN_ALL_TESTS();
}
