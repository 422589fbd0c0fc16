// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/faults/fault_chain.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <random>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "integration_tests/faults/settings.h"
#include "integration_tests/matrix/client.h"
#include "tether/context.h"
#include "tether/grpc/client.h"

ABSL_FLAG(uint32_t, seed, 0,
          "Of the links and the calls; 0: a new one, printed.");

namespace tether::faults {
namespace {

using matrix::ClientStyle;
using matrix::Request;

constexpr char kLeafAddress[] = "10.77.2.2";

// How late a call may end on an idle machine, where Lateness finds less than
// kIdle. What ends a call runs on several threads, one after another (tether's
// timer, gRPC's poller and its executor, the caller), and they compete with
// those of all other calls. So on a busy machine a call may be several times as
// late as one thread that competes with nobody of its process.
#if defined(__SANITIZE_ADDRESS__)
constexpr absl::Duration kSlack = absl::Milliseconds(200);
#else
constexpr absl::Duration kSlack = absl::Milliseconds(50);
#endif
constexpr absl::Duration kIdle = absl::Milliseconds(5);
constexpr int kThreads = 8;
// Less than what keepalive needs to end a call that has missed its deadline. A
// machine on which more would have to be allowed is too busy to tell the two
// apart.
constexpr absl::Duration kMostSlack = absl::Milliseconds(500);

// Waits for events that come soon, or in the worst case when keepalive, TCP and
// the settings of settings.h have given up.
constexpr absl::Duration kSoon = absl::Seconds(2);
constexpr absl::Duration kHealed = absl::Seconds(10);

// gRPC's pools start threads for a burst of work, and keep a few. A thread for
// each call would be many more.
constexpr int kPoolThreads = 8;
// gRPC makes descriptors to wake its threads up, some of them when it first
// needs them.
constexpr int kOwnDescriptors = 2;

bool WaitUntil(absl::Duration limit, const std::function<bool()>& condition) {
  const absl::Time end = absl::Now() + limit;
  while (!condition()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

}  // namespace

Machinery* machinery = nullptr;
absl::Status no_machinery;

absl::Status Machinery::Start(uint32_t seed) {
  auto edge = NetNamespace::MoveThisProcess();
  if (!edge.ok()) return edge.status();
  auto relay = NetNamespace::Make();
  if (!relay.ok()) return relay.status();
  auto leaf = NetNamespace::Make();
  if (!leaf.ok()) return leaf.status();
  const absl::StatusOr<int> tuns[] = {
      edge->MakeTun("near", "10.77.1.1"), relay->MakeTun("near", kRelayAddress),
      relay->MakeTun("far", "10.77.2.1"), leaf->MakeTun("far", kLeafAddress)};
  for (const auto& tun : tuns) {
    if (!tun.ok()) return tun.status();
  }
  // Lives as long as the process.
  auto* made =
      new Machinery{*std::move(edge), *std::move(relay), *std::move(leaf)};
  made->seed = seed;
  made->near_link = std::make_unique<Link>(*tuns[0], *tuns[1], seed);
  made->far_link = std::make_unique<Link>(*tuns[2], *tuns[3], seed + 1);
  made->leaf = std::make_unique<HopProcess>(
      HopProcess::Settings{"leaf", &made->leaf_net, kLeafAddress, "", 0});
  made->relay = std::make_unique<HopProcess>(HopProcess::Settings{
      "relay", &made->relay_net, kRelayAddress, kLeafAddress, 0});
  machinery = made;
  return absl::OkStatus();
}

std::shared_ptr<grpc::Channel> FaultChainTest::ChannelTo(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  return tether::CreateChannel(target, credentials, {}, ChannelSettings());
}

void FaultChainTest::SetUp() {
  if (machinery == nullptr) {
    GTEST_SKIP() << "no network namespaces for this process (needs root, and "
                    "/dev/net/tun): "
                 << no_machinery;
  }
  for (HopProcess* hop : {machinery->leaf.get(), machinery->relay.get()}) {
    if (!hop->Counts()) Start(*hop);
  }
  for (const int port : {kSyncPort, kCallbackPort}) {
    channels_.push_back(ChannelTo(absl::StrCat(kRelayAddress, ":", port)));
    ExpectAnswers("before", channels_.back());
  }
  relay_before_ = BaselineOf(relay());
  leaf_before_ = BaselineOf(leaf());
  edge_before_ = {EntriesOf(getpid(), "task"), EntriesOf(getpid(), "fd"), 0};
}

void FaultChainTest::TearDown() {
  if (machinery == nullptr) return;
  for (const auto& channel : channels_) ExpectAnswers("after", channel);
  ExpectNothingLeft(relay(), relay_before_);
  ExpectNothingLeft(leaf(), leaf_before_);
  // Each channel had one connection.
  const int fds = edge_before_.fds - static_cast<int>(channels_.size());
  channels_.clear();
  WaitUntil(kHealed, [&] { return EntriesOf(getpid(), "fd") <= fds; });
  EXPECT_LE(EntriesOf(getpid(), "fd"), fds) << "at the edge";
  EXPECT_LE(EntriesOf(getpid(), "task"), edge_before_.threads + kPoolThreads);
  GrpcLeakCheckedTest::TearDown();
}

void FaultChainTest::Start(HopProcess& hop) {
  const absl::Status started = hop.Start();
  ASSERT_TRUE(started.ok()) << started;
}

void FaultChainTest::ExpectAnswers(
    const std::string& when, const std::shared_ptr<grpc::Channel>& channel) {
  const absl::Time start = absl::Now();
  const auto ask = [&](matrix::Kind kind) {
    const auto [ctx, cancel] = WithDeadline(Background(), start + kHealed);
    ClientCall call(ctx);
    call.set_wait_for_ready(true);
    return matrix::Call(ClientStyle::kSync, kind, channel, &call,
                        Request::kAnswer)
        .status;
  };
  int failed = 0;
  for (const matrix::Kind kind : matrix::kKinds) {
    // A connection that is about to be given up may carry the first calls, and
    // fail one of a later kind.
    grpc::Status status = ask(kind);
    while (status.error_code() == grpc::UNAVAILABLE &&
           absl::Now() < start + kHealed) {
      ++failed;
      absl::SleepFor(absl::Milliseconds(10));
      status = ask(kind);
    }
    EXPECT_TRUE(status.ok())
        << when << ", " << matrix::Name(kind) << ": " << status.error_code()
        << " " << status.error_message();
  }
  std::cout << when << ", calls succeed after " << absl::Now() - start
            << ", before that " << failed << " were UNAVAILABLE" << std::endl;
}

std::vector<CallRecord> FaultChainTest::RunThrough(const Fault& fault) {
  if (fault.first) fault.begin();
  const testing::Lateness lateness;
  Load load(machinery->seed, fault.mix,
            fault.channels.empty() ? channels_ : fault.channels, fault.first);
  if (!fault.first) {
    EXPECT_TRUE(WaitUntil(kSoon, [this] {
      const auto counts = leaf().Counts();
      return counts && counts->active > 0;
    })) << "no call has reached the leaf";
    fault.begin();
    load.FaultHasBegun();
  }
  load.AwaitCallsInFault();
  std::vector<CallRecord> calls = load.Join();
  EXPECT_EQ(load.started(), calls.size());
  const absl::Duration slack = Slack(lateness);
  ExpectOutcomes(fault, calls, slack);
  const absl::Duration work_slack = slack + fault.handlers_late;
  if (fault.relay_works) ExpectWorkToEnd(relay(), work_slack);
  if (fault.leaf_works) ExpectWorkToEnd(leaf(), work_slack);
  fault.heal();
  return calls;
}

absl::Duration FaultChainTest::Slack(const testing::Lateness& lateness) {
  const absl::Duration busy =
      std::max(absl::ZeroDuration(), lateness.worst() - kIdle);
  const absl::Duration slack = kSlack + kThreads * busy;
  if (slack <= kMostSlack) return slack;
  std::cout
      << "not judged how late: the machine is too busy, a thread alone is "
      << lateness.worst() << " late" << std::endl;
  return absl::InfiniteDuration();
}

void FaultChainTest::ExpectOutcomes(const Fault& fault,
                                    const std::vector<CallRecord>& calls,
                                    absl::Duration slack) {
  std::array<int, 17> outcomes = {};
  const CallRecord* latest = &calls.front();
  for (const CallRecord& call : calls) {
    const grpc::StatusCode code = call.status.error_code();
    ++outcomes[code];
    if (call.late > latest->late) latest = &call;
    EXPECT_LE(call.late, slack) << ToString(call);
    EXPECT_TRUE(code == grpc::OK || code == grpc::DEADLINE_EXCEEDED ||
                code == grpc::UNAVAILABLE ||
                std::count(fault.codes.begin(), fault.codes.end(), code) > 0)
        << ToString(call);
  }
  for (int code = 0; code < 17; ++code) {
    if (outcomes[code] == 0) continue;
    std::cout << absl::StatusCodeToString(static_cast<absl::StatusCode>(code))
              << " " << outcomes[code] << ", ";
  }
  std::cout << "answered in the fault " << Answered(calls) << " of "
            << Asked(calls) << "; the latest was late by " << latest->late
            << ", allowed " << slack << std::endl;
}

void FaultChainTest::ExpectWorkToEnd(HopProcess& hop, absl::Duration slack) {
  int64_t late_us = 0;
  std::optional<HopCounts> counts;
  const bool idle = WaitUntil(kSoon + slack, [&] {
    counts = hop.Counts();
    if (counts) late_us = std::max(late_us, counts->late_us);
    return counts && counts->active == 0;
  });
  EXPECT_TRUE(idle) << hop.name() << ": "
                    << (counts ? ToString(*counts) : "no answer");
  EXPECT_LE(absl::Microseconds(late_us), slack) << hop.name();
  std::cout << hop.name() << ": the latest handler was late by "
            << absl::Microseconds(late_us) << std::endl;
}

FaultChainTest::Baseline FaultChainTest::BaselineOf(const HopProcess& hop) {
  return {hop.Threads(), hop.FileDescriptors(), hop.starts()};
}

void FaultChainTest::ExpectNothingLeft(HopProcess& hop, Baseline before) {
  // Another process: gRPC may have made more of its own descriptors meanwhile.
  if (hop.starts() != before.starts) before.fds += kOwnDescriptors;
  std::optional<HopCounts> counts;
  const auto nothing_left = [&] {
    counts = hop.Counts();
    return counts && counts->alive() == 0 &&
           // A sync handler isn't called if the request breaks off.
           counts->answered >= counts->entered &&
           hop.FileDescriptors() <= before.fds &&
           hop.Threads() <= before.threads + kPoolThreads;
  };
  const absl::Time start = absl::Now();
  EXPECT_TRUE(WaitUntil(kHealed, nothing_left))
      << hop.name() << ": " << (counts ? ToString(*counts) : "no answer")
      << "; " << hop.FileDescriptors() << " fds, before " << before.fds << "; "
      << hop.Threads() << " threads, before " << before.threads << "\n"
      << hop.DescribeFileDescriptors();
  std::cout << hop.name() << ": nothing left after " << absl::Now() - start
            << std::endl;
}

int FaultChainTest::Answered(const std::vector<CallRecord>& calls) {
  return static_cast<int>(
      std::count_if(calls.begin(), calls.end(), [](const CallRecord& call) {
        return call.during_fault && call.request == Request::kAnswer &&
               call.status.ok();
      }));
}

int FaultChainTest::Asked(const std::vector<CallRecord>& calls) {
  return static_cast<int>(
      std::count_if(calls.begin(), calls.end(), [](const CallRecord& call) {
        return call.during_fault && call.request == Request::kAnswer;
      }));
}

int RunFaultTests(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  uint32_t seed = absl::GetFlag(FLAGS_seed);
  if (seed == 0) seed = std::random_device()();
  std::cout << "--seed=" << seed << std::endl;
  no_machinery = Machinery::Start(seed);
  const int result = RUN_ALL_TESTS();
  if (machinery != nullptr) {
    machinery->relay.reset();
    machinery->leaf.reset();
  }
  return result;
}

}  // namespace tether::faults
