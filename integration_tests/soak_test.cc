// SPDX-License-Identifier: Apache-2.0
//
// Calls of every style, kind and sort, while servers are drained, shut down and
// started again in another style, connections break and stall, and the wall
// clock steps: a day in ten minutes. The calls go directly or through relays,
// in quiet phases, busy phases and bursts. Each gets exactly one outcome, in
// time, which its plan and the disturbances allow (soak_plan.h). Each handler
// ends. Deadlines don't notice the clock. At the end no context, thread,
// descriptor or memory is left.
//
// It runs for a few seconds. These options of "bazel test" change that:
//
//   --test_arg=--minutes=10 --test_timeout=900
//   --test_arg=--seed=N                            the mix that a run printed

#include <dirent.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/client.h"
#include "integration_tests/soak_chain.h"
#include "integration_tests/soak_clock.h"
#include "integration_tests/soak_plan.h"
#include "integration_tests/soak_tally.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/testing/give_up.h"

ABSL_FLAG(double, minutes, 0.08, "How long to soak.");
ABSL_FLAG(uint32_t, seed, 0, "The mix; 0: a new one, printed.");

namespace tether::soak {
namespace {

using testing::kGiveUp;

// A field of /proc/self/status: "VmRSS" is the resident memory in KiB.
int64_t OwnStatus(const std::string& field) {
  std::ifstream status("/proc/self/status");
  std::string word;
  int64_t value = -1;
  while (status >> word) {
    if (word == field + ":") status >> value;
  }
  return value;
}

int64_t OpenDescriptors() {
  DIR* const folder = opendir("/proc/self/fd");
  int64_t count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

// The memory that malloc has given out, in KiB; 0 if that isn't known.
int64_t MemoryInUse() {
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#if __GLIBC_PREREQ(2, 33)
  return static_cast<int64_t>(mallinfo2().uordblks / 1024);
#endif
#endif
  return 0;
}

// The memory in use in each tenth of a run: the least, since bursts and faults
// need more for a while.
class Memory {
 public:
  void Add(int tenth) {
    const int64_t in_use = MemoryInUse();
    int64_t& least = least_[std::clamp(tenth, 0, kTenths - 1)];
    if (least < 0 || in_use < least) least = in_use;
    most_resident_ = std::max(most_resident_, OwnStatus("VmRSS"));
  }
  void Print(std::ostream& out) const {
    out << "memory in use:";
    for (const int64_t least : least_) out << " " << least;
    out << " KiB; resident at most " << most_resident_ << " KiB" << std::endl;
  }
  // From the middle of the run to its end.
  int64_t growth() const {
    const int64_t* const middle = least_ + kTenths / 3;
    const int64_t* const end = least_ + kTenths - kTenths / 3;
    return *std::min_element(end, least_ + kTenths) -
           *std::min_element(middle, end);
  }

 private:
  static constexpr int kTenths = 10;
  int64_t least_[kTenths] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
  int64_t most_resident_ = 0;
};

// Waits until `condition` holds, or gives up.
template <typename F>
void WaitUntil(F condition) {
  const auto [limit, cancel] = WithTimeout(Background(), kGiveUp);
  while (!condition() && !limit.WaitFor(absl::Milliseconds(1))) {
  }
}

// What all callers of a run share.
struct World {
  const Chain& chain;
  Channels channels;
  CallTally& tally;
  Watchdog& watchdog;
  // The longest pause of a caller between two calls.
  std::atomic<int> pause_millis{0};
};

// Makes one RPC after another.
class Caller {
 public:
  Caller(World& world, uint32_t seed) : world_(world), random_(seed) {}

  void RunUntil(const Context& end) {
    do {
      CallOnce();
      const int pause = world_.pause_millis;
      if (pause > 0) {
        end.WaitFor(absl::Milliseconds(random_() % pause));
      }
    } while (!end.Done());
  }

 private:
  void CallOnce() {
    const Plan plan = MakePlan(random_);
    const absl::Duration start = SteadyNow();
    const auto [parent, end_parent] = WithCancel(Background());
    const Cancellable told = WithTold(parent, plan.timeout);
    const auto [ctx, cancel] = WithCancel(told.ctx);
    std::optional<ClientCall> call_of_ctx;
    std::optional<grpc::ClientContext> plain;
    std::optional<ScopedContext> current;
    if (plan.plain) {
      current.emplace(ctx);
      plain.emplace();
    } else {
      call_of_ctx.emplace(ctx);
    }
    grpc::ClientContext& call = plan.plain ? *plain : *call_of_ctx;
    const auto stop = [&plan, &call, &end_ctx = cancel,
                       &end_parent = end_parent] {
      const absl::Status why = absl::AbortedError("the caller has changed");
      switch (plan.stop_by) {
        case Plan::StopBy::kContext:
          return end_ctx(why);
        case Plan::StopBy::kParent:
          return end_parent(why);
        case Plan::StopBy::kTryCancel:
          return call.TryCancel();
      }
    };

    const std::string address = world_.chain.Prepare(plan, call);
    call.set_wait_for_ready(plan.waits_for_ready);
    if (plan.stop == Plan::Stop::kBefore) stop();
    world_.tally.Start();
    Outcome outcome;
    {
      // Stops the call from another thread, in its middle.
      const bool alarm_is_set = plan.stop == Plan::Stop::kDuring;
      const auto [alarm, cancel_alarm] =
          WithTimeout(Background(), alarm_is_set ? plan.stop_after
                                                 : absl::InfiniteDuration());
      std::optional<Registration> at_alarm;
      if (alarm_is_set) at_alarm.emplace(alarm, stop);
      const Watchdog::Running running(world_.watchdog, plan);
      matrix::Reply reply =
          matrix::Call(plan.client, plan.kind, world_.channels.at(address),
                       &call, plan.request);
      outcome.elapsed = SteadyNow() - start;
      outcome.status = std::move(reply.status);
      outcome.messages = reply.messages;
    }
    if (call_of_ctx) outcome.reason = EndReasonOf(*call_of_ctx);
    if (plan.stop == Plan::Stop::kAfter) stop();
    world_.tally.Finish(plan, outcome, world_.watchdog);
    // Exact, however busy the machine is.
    if (absl::IsDeadlineExceeded(told.ctx.Err())) {
      EXPECT_GE(SteadyNow() - start, plan.timeout) << Describe(plan);
    }
  }

  World& world_;
  std::mt19937 random_;
};

// Callers that work at the same time. The destructor waits for them.
class Callers {
 public:
  Callers(World& world, std::mt19937& random, int count, const Context& end) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([&world, seed = random(), end] {
        Caller(world, static_cast<uint32_t>(seed)).RunUntil(end);
      });
    }
  }
  ~Callers() {
    for (std::thread& thread : threads_) thread.join();
  }
  Callers(const Callers&) = delete;
  Callers& operator=(const Callers&) = delete;

 private:
  std::vector<std::thread> threads_;
};

class SoakTest : public testing::GrpcLeakCheckedTest {
 protected:
  // Quiet and busy phases and bursts, until `end`.
  static void LiveTheDay(World& world, std::mt19937& random,
                         const Context& end);
  // Runs for `length`, with a chain of its own.
  static void Run(absl::Duration length, uint32_t seed, bool is_rehearsal);
  static void CheckMix(const CallTally& tally, const Chain& chain);
};

void SoakTest::LiveTheDay(World& world, std::mt19937& random,
                          const Context& end) {
  const absl::Duration unit = std::clamp(
      end.Remaining() / 20, absl::Milliseconds(50), absl::Seconds(2));
  const Callers residents(world, random, 6, end);
  while (!end.Done()) {
    const auto phase = random() % 4;
    const auto [phase_end, cancel] =
        WithTimeout(end, unit * (1 + static_cast<int>(random() % 4)));
    world.pause_millis = phase < 2 ? 100 : phase == 2 ? 5 : 0;
    if (phase == 3) {
      const Callers visitors(world, random, 16, phase_end);
    } else {
      phase_end.Wait();
    }
  }
}

void SoakTest::CheckMix(const CallTally& tally, const Chain& chain) {
  EXPECT_EQ(tally.ended(), tally.started());
  // Handlers may need a moment after their callers.
  WaitUntil([&chain] {
    bool all = chain.relays().over() == chain.relays().begun();
    for (matrix::ServerStyle style : matrix::kServerStyles) {
      all = all && chain.leaves(style).over() == chain.leaves(style).begun();
    }
    return all;
  });
  EXPECT_EQ(chain.relays().over(), chain.relays().begun());
  EXPECT_GT(chain.relays().begun(), 0);
  for (matrix::ServerStyle style : matrix::kServerStyles) {
    EXPECT_EQ(chain.leaves(style).over(), chain.leaves(style).begun());
    EXPECT_GT(chain.leaves(style).begun(), 0) << matrix::Name(style);
  }
  for (matrix::ClientStyle style : matrix::kClientStyles) {
    for (matrix::Kind kind : matrix::kKinds) {
      EXPECT_GT(tally.of(style, kind), 0) << matrix::Name(style);
    }
  }
  for (grpc::StatusCode code :
       {grpc::StatusCode::OK, grpc::CANCELLED, grpc::NOT_FOUND,
        grpc::DEADLINE_EXCEEDED, grpc::UNAVAILABLE}) {
    EXPECT_GT(tally.ended(code), 0) << code;
  }
  EXPECT_GT(tally.calm(), 0);
  EXPECT_GT(chain.drains() + chain.shutdowns(), 0);
  EXPECT_GT(chain.cuts() + chain.stalls(), 0);
}

void SoakTest::Run(absl::Duration length, uint32_t seed, bool is_rehearsal) {
  std::mt19937 random(seed);
  Watchdog watchdog;
  Chain chain(watchdog, random);
  CallTally tally;
  Memory memory;
  int steps = 0;
  {
    ClockStepper stepper(random());
    World world{chain, chain.MakeChannels(), tally, watchdog, {}};
    const auto [end, cancel] = WithTimeout(Background(), length);
    std::thread reloads([&chain, &end = end, seed = random()] {
      std::mt19937 mine(seed);
      while (!end.WaitFor(absl::Milliseconds(50 + mine() % 500))) {
        chain.Reload(mine);
      }
    });
    std::thread faults([&chain, &end = end, seed = random()] {
      std::mt19937 mine(seed);
      while (!end.WaitFor(absl::Milliseconds(50 + mine() % 500))) {
        chain.Disturb(mine, end);
      }
    });
    std::thread meter([&memory, length, &end = end] {
      while (!end.WaitFor(absl::Milliseconds(20))) {
        memory.Add(9 - static_cast<int>(end.Remaining() * 10 / length));
      }
    });
    LiveTheDay(world, random, end);
    for (std::thread* thread : {&reloads, &faults, &meter}) thread->join();
    steps = stepper.steps();
  }
  if (is_rehearsal) return;
  CheckMix(tally, chain);
  tally.Print(std::cout);
  chain.Print(std::cout);
  std::cout << ", " << steps << " clock steps\ncalls ended at most "
            << tally.late() << " late, threads of this machine were "
            << watchdog.late() << " late\n";
  memory.Print(std::cout);
  // In a shorter run, a tenth may have no quiet phase.
  if (length >= absl::Minutes(5)) {
    EXPECT_LT(memory.growth(), 8 * 1024);
  }
}

TEST_F(SoakTest, NothingIsLostAndNothingLeaks) {
  uint32_t seed = absl::GetFlag(FLAGS_seed);
  if (seed == 0) seed = std::random_device()();
  const absl::Duration length = absl::Minutes(absl::GetFlag(FLAGS_minutes));
  std::cout << "--seed=" << seed
            << " --minutes=" << absl::GetFlag(FLAGS_minutes) << std::endl;
  // Starts what stays: threads of gRPC and tether.
  Run(std::min(length / 8, absl::Seconds(5)), seed + 1, /*is_rehearsal=*/true);
  const int64_t threads = OwnStatus("Threads");
  const int64_t descriptors = OpenDescriptors();
  const int64_t memory = MemoryInUse();
  Run(length, seed, /*is_rehearsal=*/false);

  // gRPC's own threads come and go. In a long run, a leak of one object for
  // each reload, burst or call is more.
  const auto has_more = [&] {
    return OwnStatus("Threads") > threads + 24 ||
           OpenDescriptors() > descriptors + 8 || MemoryInUse() > memory + 1024;
  };
  WaitUntil([&] { return !has_more(); });
  std::cout << "threads " << threads << " before, " << OwnStatus("Threads")
            << " after; descriptors " << descriptors << ", "
            << OpenDescriptors() << "; memory in use " << memory << " KiB, "
            << MemoryInUse() << " KiB" << std::endl;
  EXPECT_FALSE(has_more());
}

}  // namespace
}  // namespace tether::soak

int main(int argc, char** argv) {
  tether::soak::ExecuteWithFakeClock(argv);
  ::testing::InitGoogleTest(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  return RUN_ALL_TESTS();
}
