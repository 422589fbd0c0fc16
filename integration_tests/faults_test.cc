// SPDX-License-Identifier: Apache-2.0
//
// Faults of networks and hops, one at a time, under calls of all kinds through
// edge → relay → leaf, each a process in a network namespace of its own. Every
// call ends by its deadline with one outcome, the work at the hops that can be
// reached ends, nothing is left in any hop, and after the fault calls succeed.
//
// It needs root. The random choices of the links and the calls come from
// --seed, which is printed.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/faults/dns_server.h"
#include "integration_tests/faults/fault_chain.h"
#include "integration_tests/faults/hop_process.h"
#include "integration_tests/faults/link.h"
#include "integration_tests/faults/load.h"
#include "integration_tests/faults/quiet_connections.h"
#include "integration_tests/faults/settings.h"
#include "integration_tests/matrix/request.h"
#include "testing/lateness.h"
#include "testing/test_certificate.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/testing/probe.grpc.pb.h"

namespace tether::faults {
namespace {

using matrix::Request;

LinkRules DropAll() {
  LinkRules rules;
  rules.drop_all = true;
  return rules;
}

// gRPC can't cancel an operation while the connection takes its bytes. So a
// handler that writes to a connection that is slow or stuck outlives its
// deadline, until the bytes are written or keepalive gives the connection up.
constexpr absl::Duration kStuckWrite =
    absl::Milliseconds(kKeepaliveMs + kKeepaliveTimeoutMs + 1000);

class FaultsTest : public FaultChainTest {
 protected:
  // `link` has these rules until the fault heals.
  static Fault FaultOf(Link& link, const LinkRules& rules) {
    Fault fault;
    fault.begin = [&link, rules] { link.SetBoth(rules); };
    fault.heal = [&link] { link.SetBoth(LinkRules()); };
    return fault;
  }
  // In one direction.
  static Fault FaultOf(Link& link, Link::End from, const LinkRules& rules) {
    Fault fault = FaultOf(link, rules);
    fault.begin = [&link, from, rules] { link.Set(from, rules); };
    return fault;
  }

  static std::vector<Request> WithLargeDownloads() {
    return {Request::kAnswer, Request::kWait, Request::kWriteToEnd};
  }

  static std::string At(int port) {
    return absl::StrCat(kRelayAddress, ":", port);
  }
};

// Calls that write large messages until they end.
class Uploads {
 public:
  Uploads(const std::shared_ptr<grpc::Channel>& channel, int count,
          absl::Duration timeout)
      : stub_(testing::Probe::NewStub(channel)) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, timeout] { Run(timeout); });
    }
  }

  // Returns when so many messages are written, or all calls have ended.
  void AwaitMessages(int count) const {
    while (messages_ < count && ended_ < static_cast<int>(threads_.size())) {
      absl::SleepFor(absl::Milliseconds(1));
    }
  }
  void Join() {
    for (std::thread& thread : threads_) thread.join();
  }

  // How late the latest one ended, and its context.
  absl::Duration call_late() const {
    return absl::Microseconds(call_late_.load());
  }
  absl::Duration context_late() const {
    return absl::Microseconds(context_late_.load());
  }

 private:
  void Run(absl::Duration timeout) {
    const absl::Time deadline = absl::Now() + timeout;
    const auto [ctx, cancel] = WithDeadline(Background(), deadline);
    const auto note = [deadline](std::atomic<int64_t>& latest) {
      const int64_t late = absl::ToInt64Microseconds(absl::Now() - deadline);
      int64_t most = latest;
      while (late > most && !latest.compare_exchange_weak(most, late)) {
      }
    };
    const Registration at_end = AfterFunc(ctx, [&] { note(context_late_); });
    ClientCall call(ctx);
    testing::Pong pong;
    const auto writer = stub_->Upload(&call, &pong);
    const auto ping = matrix::Payload<testing::Ping>(Request::kWriteToEnd);
    while (writer->Write(ping)) ++messages_;
    EXPECT_FALSE(writer->Finish().ok());
    note(call_late_);
    ++ended_;
  }

  const std::unique_ptr<testing::Probe::Stub> stub_;
  std::atomic<int> messages_{0}, ended_{0};
  std::atomic<int64_t> call_late_{0}, context_late_{0};
  std::vector<std::thread> threads_;
};

TEST_F(FaultsTest, ControlWithoutAFaultCallsAreAnswered) {
  Fault none;
  none.begin = [] {};
  none.heal = [] {};
  const auto calls = RunThrough(none);
  // More than half: some may be too slow on a busy machine.
  EXPECT_GT(2 * Answered(calls), Asked(calls));
}

// ---- The links -------------------------------------------------------------

TEST_F(FaultsTest, LatencyWithJitter) {
  LinkRules rules;
  rules.delay = absl::Milliseconds(1);
  rules.jitter = absl::Milliseconds(79);
  const auto calls = RunThrough(FaultOf(near_link(), rules));
  EXPECT_GT(Answered(calls), 0);
}

TEST_F(FaultsTest, OnePercentOfThePacketsAreLost) {
  LinkRules rules;
  rules.loss = 0.01;
  Fault fault = FaultOf(near_link(), rules);
  fault.handlers_late = kStuckWrite;
  fault.mix.requests = WithLargeDownloads();  // for many packets
  const int64_t before = near_link().counts(Link::kB).lost;
  const auto calls = RunThrough(fault);
  EXPECT_GT(near_link().counts(Link::kB).lost, before);
  EXPECT_GT(Answered(calls), 0);
}

TEST_F(FaultsTest, TenPercentOfThePacketsAreLost) {
  LinkRules rules;
  rules.loss = 0.1;
  rules.delay = absl::Milliseconds(5);
  const int64_t before = near_link().counts(Link::kA).lost;
  const auto calls = RunThrough(FaultOf(near_link(), rules));
  EXPECT_GT(near_link().counts(Link::kA).lost, before);
  EXPECT_GT(Answered(calls), 0);
}

TEST_F(FaultsTest, PacketsOvertakeEachOtherAndComeTwice) {
  LinkRules rules;
  rules.delay = absl::Milliseconds(10);
  rules.reorder = 0.3;
  rules.duplicate = 0.1;
  const LinkCounts before = far_link().counts(Link::kB);
  const auto calls = RunThrough(FaultOf(far_link(), rules));
  const LinkCounts after = far_link().counts(Link::kB);
  EXPECT_GT(after.overtook, before.overtook);
  EXPECT_GT(after.repeated, before.repeated);
  EXPECT_GT(Answered(calls), 0);
}

TEST_F(FaultsTest, ALinkOfOneMegabit) {
  LinkRules rules;
  rules.bits_per_second = 1'000'000;
  Fault fault = FaultOf(near_link(), rules);
  // The connection lives, so a write ends when its bytes are taken. Before it
  // are at most a window (64 KiB) and a message (16 KiB) of each stream.
  fault.handlers_late = absl::Seconds(1) * fault.mix.threads * (64 + 16) *
                        1024 * 8 / rules.bits_per_second;
  fault.mix.requests = WithLargeDownloads();
  const int64_t before = near_link().counts(Link::kB).no_room;
  RunThrough(fault);
  EXPECT_GT(near_link().counts(Link::kB).no_room, before);
}

TEST_F(FaultsTest, LargePacketsVanish) {
  LinkRules rules;
  rules.mtu = 700;
  Fault fault = FaultOf(near_link(), rules);
  fault.handlers_late = kStuckWrite;
  fault.mix.requests = WithLargeDownloads();
  const int64_t before = near_link().counts(Link::kB).too_large;
  RunThrough(fault);
  EXPECT_GT(near_link().counts(Link::kB).too_large, before);
}

TEST_F(FaultsTest, TheNearLinkDropsEverything) {
  const auto calls = RunThrough(FaultOf(near_link(), DropAll()));
  EXPECT_EQ(Answered(calls), 0);
  EXPECT_GT(Asked(calls), 0);
}

TEST_F(FaultsTest, TheFarLinkDropsEverything) {
  const auto calls = RunThrough(FaultOf(far_link(), DropAll()));
  EXPECT_EQ(Answered(calls), 0);
  EXPECT_GT(Asked(calls), 0);
}

TEST_F(FaultsTest, TheNearLinkIsHalfOpenForReplies) {
  const auto calls = RunThrough(FaultOf(near_link(), Link::kA, DropAll()));
  EXPECT_EQ(Answered(calls), 0);
}

TEST_F(FaultsTest, TheNearLinkIsHalfOpenForRequests) {
  const auto calls = RunThrough(FaultOf(near_link(), Link::kB, DropAll()));
  EXPECT_EQ(Answered(calls), 0);
}

TEST_F(FaultsTest, TheFarLinkIsHalfOpenForReplies) {
  const auto calls = RunThrough(FaultOf(far_link(), Link::kA, DropAll()));
  EXPECT_EQ(Answered(calls), 0);
}

TEST_F(FaultsTest, TheFarLinkIsHalfOpenForRequests) {
  const auto calls = RunThrough(FaultOf(far_link(), Link::kB, DropAll()));
  EXPECT_EQ(Answered(calls), 0);
}

// The kernel knows, unlike where the packets vanish on their way.
TEST_F(FaultsTest, TheNearLinkIsCutInTheMiddleOfStreams) {
  Fault fault;
  fault.begin = [] {
    EXPECT_TRUE(machinery->edge_net.SetUp("near", false).ok());
  };
  fault.heal = [] {
    EXPECT_TRUE(machinery->edge_net.SetUp("near", true).ok());
  };
  fault.handlers_late = kStuckWrite;
  fault.mix.requests = WithLargeDownloads();
  const auto calls = RunThrough(fault);
  EXPECT_EQ(Answered(calls), 0);
}

// Clients whose writes are stuck. Their contexts end by their deadline. But
// gRPC ends a call only after the operation that the connection is taking bytes
// of, with tether and without, so it is keepalive that bounds these calls.
TEST_F(FaultsTest,
       StuckWritesEndWithTheirConnectionAndContextsByTheirDeadline) {
  for (const bool with_tether : {true, false}) {
    const auto channel =
        with_tether ? ChannelTo(At(kSyncPort))
                    : grpc::CreateCustomChannel(
                          At(kSyncPort), grpc::InsecureChannelCredentials(),
                          ChannelSettings());
    const testing::Lateness lateness;
    Uploads uploads(channel, /*count=*/12, absl::Milliseconds(600));
    uploads.AwaitMessages(300);  // they fill windows and buffers
    near_link().SetBoth(DropAll());
    uploads.Join();
    near_link().SetBoth(LinkRules());
    EXPECT_LE(uploads.call_late(), kStuckWrite + Slack(lateness));
    EXPECT_LE(uploads.context_late(), Slack(lateness));
    std::cout << (with_tether ? "with" : "without") << " tether, calls ended "
              << uploads.call_late() << " late, and contexts "
              << uploads.context_late() << std::endl;
  }
}

// ---- The hops --------------------------------------------------------------

TEST_F(FaultsTest, TheRelayIsKilled) {
  Fault fault;
  fault.begin = [this] { relay().Kill(); };
  fault.heal = [this] { Start(relay()); };
  fault.relay_works = false;
  const auto calls = RunThrough(fault);
  EXPECT_EQ(Answered(calls), 0);
}

TEST_F(FaultsTest, TheLeafIsKilled) {
  Fault fault;
  fault.begin = [this] { leaf().Kill(); };
  fault.heal = [this] { Start(leaf()); };
  fault.leaf_works = false;
  const auto calls = RunThrough(fault);
  EXPECT_EQ(Answered(calls), 0);
}

// Its neighbours see no FIN and no RST, until it is there again.
TEST_F(FaultsTest, TheRelayLosesItsPowerAndComesBack) {
  Fault fault;
  fault.begin = [this] {
    near_link().SetBoth(DropAll());
    far_link().SetBoth(DropAll());
    relay().Kill();
  };
  fault.heal = [this] {
    near_link().SetBoth(LinkRules());
    far_link().SetBoth(LinkRules());
    Start(relay());
  };
  fault.relay_works = false;
  const auto calls = RunThrough(fault);
  EXPECT_EQ(Answered(calls), 0);
}

TEST_F(FaultsTest, TheRelayIsFrozenAndThawed) {
  Fault fault;
  fault.begin = [this] { relay().Signal(SIGSTOP); };
  fault.heal = [this] { relay().Signal(SIGCONT); };
  fault.relay_works = false;
  const auto calls = RunThrough(fault);
  EXPECT_EQ(Answered(calls), 0);
}

TEST_F(FaultsTest, TheLeafIsFrozenAndThawed) {
  Fault fault;
  fault.begin = [this] { leaf().Signal(SIGSTOP); };
  fault.heal = [this] { leaf().Signal(SIGCONT); };
  fault.leaf_works = false;
  const auto calls = RunThrough(fault);
  EXPECT_EQ(Answered(calls), 0);
}

// The relay has lost its connections to the leaf, and can't make new ones.
TEST_F(FaultsTest, TheRelayHasNoFileDescriptorsForTheLeaf) {
  Fault fault;
  uint64_t before = 0;
  fault.begin = [&] {
    before = relay().LimitFileDescriptors(3);  // no number below 3 is free
    leaf().Kill();
    Start(leaf());
  };
  fault.heal = [&] { relay().LimitFileDescriptors(before); };
  const auto calls = RunThrough(fault);
  EXPECT_EQ(Answered(calls), 0);
  EXPECT_GT(Asked(calls), 0);
}

// The server can't accept the edge's new connections.
TEST_F(FaultsTest, TheRelayHasNoFileDescriptorsForItsCallers) {
  Fault fault;
  fault.first = true;
  fault.channels = {ChannelTo(At(kSyncPort)), ChannelTo(At(kCallbackPort))};
  fault.begin = [this] { relay().LimitFileDescriptors(3); };
  // A server of gRPC 1.51 that couldn't accept a connection never accepts one
  // again (grpc/grpc#20418), so more descriptors wouldn't do.
  fault.heal = [this] {
    relay().Kill();
    Start(relay());
  };
  const auto calls = RunThrough(fault);
  EXPECT_EQ(Answered(calls), 0);
  EXPECT_GT(Asked(calls), 0);
  for (const auto& channel : fault.channels) ExpectAnswers("after", channel);
}

TEST_F(FaultsTest, TheRelayCannotStartThreads) {
  relay().Kill();
  // The limit counts the threads of the user, and doesn't hold for root.
  relay().BecomeUser(60'000 + getpid() % 5'000);
  Start(relay());
  Fault fault;
  fault.first = true;
  fault.begin = [this] { relay().LimitThreads(1); };
  // gRPC (1.51) gives work to threads of its executor that it could not start,
  // and never does it, so such a process doesn't recover.
  fault.heal = [this] {
    relay().Kill();
    relay().BecomeUser(0);
    Start(relay());
  };
  fault.relay_works = false;
  // gRPC's sync server rejects what it has no thread for.
  fault.codes = {grpc::StatusCode::RESOURCE_EXHAUSTED};
  fault.mix.threads = 24;
  const auto calls = RunThrough(fault);
  EXPECT_LT(Answered(calls), Asked(calls));
}

TEST_F(FaultsTest, TheRelaysAcceptQueueIsFull) {
  const auto limit_queue = [](int length) {
    machinery->relay_net.Run(
        [length] { std::ofstream("/proc/sys/net/core/somaxconn") << length; });
  };
  limit_queue(1);
  relay().Kill();
  Start(relay());
  limit_queue(4096);
  constexpr int kMany = 64;
  QuietConnections quiet;
  Fault fault;
  fault.begin = [&] {
    relay().Signal(SIGSTOP);
    // One after another, since many at once pass a queue that isn't full yet.
    int opened = 0;
    for (const int port : {kSyncPort, kCallbackPort}) {
      bool established = true;
      for (int i = 0; established && i < kMany; ++i) {
        quiet.Open(1, kRelayAddress, port);
        ++opened;
        established =
            quiet.Established(opened, absl::Milliseconds(200)) == opened;
      }
      EXPECT_FALSE(established) << "the queue has no limit";
      --opened;
    }
  };
  fault.heal = [&] { relay().Signal(SIGCONT); };
  fault.relay_works = false;
  fault.first = true;
  fault.channels = {ChannelTo(At(kSyncPort)), ChannelTo(At(kCallbackPort))};
  const auto calls = RunThrough(fault);
  EXPECT_EQ(Answered(calls), 0);
  for (const auto& channel : fault.channels) ExpectAnswers("after", channel);
  relay().Kill();  // for a queue of the usual length
  Start(relay());
}

// ---- Before a connection is there ------------------------------------------

TEST_F(FaultsTest, DnsDoesNotAnswer) {
  DnsServer dns(machinery->relay_net, kRelayAddress);
  const auto channel_by_name = [](int port) {
    return ChannelTo(
        absl::StrCat("dns://", kRelayAddress, ":53/relay.test:", port));
  };
  ExpectAnswers("by name", channel_by_name(kSyncPort));  // a control
  Fault fault;
  fault.first = true;
  fault.channels = {channel_by_name(kSyncPort), channel_by_name(kCallbackPort)};
  fault.begin = [&dns] { dns.SetSilent(true); };
  fault.heal = [&dns] { dns.SetSilent(false); };
  const auto calls = RunThrough(fault);
  EXPECT_EQ(Answered(calls), 0);
  EXPECT_GT(dns.unanswered(), 0);
  for (const auto& channel : fault.channels) {
    ExpectAnswers("after", channel);
  }
}

// The server's first message, with its certificate, is too large for the link.
TEST_F(FaultsTest, TlsHandshakesHang) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = kTestCertificate;
  const auto credentials = grpc::SslCredentials(options);
  const auto channel_with_tls = [&] {
    grpc::ChannelArguments arguments = ChannelSettings();
    arguments.SetSslTargetNameOverride("localhost");
    return tether::CreateChannel(At(kTlsPort), credentials, {}, arguments);
  };
  ExpectAnswers("with TLS", channel_with_tls());  // a control
  LinkRules rules;
  rules.mtu = 600;
  Fault fault = FaultOf(near_link(), rules);
  fault.first = true;
  fault.channels = {channel_with_tls()};
  const auto calls = RunThrough(fault);
  EXPECT_EQ(Answered(calls), 0);
  ExpectAnswers("after", fault.channels.front());
}

// A server gives up connections on which nobody says anything, while its other
// callers are served.
TEST_F(FaultsTest, HandshakesOfCallersHang) {
  constexpr int kMany = 30;
  QuietConnections quiet;
  Fault fault;
  fault.begin = [&] {
    quiet.Open(kMany, kRelayAddress, kTlsPort);
    quiet.Open(kMany, kRelayAddress, kSyncPort);
    EXPECT_EQ(quiet.Established(2 * kMany, absl::Seconds(2)), 2 * kMany);
  };
  fault.heal = [&] {
    EXPECT_EQ(quiet.ClosedByPeer(2 * kMany, absl::Seconds(10)), 2 * kMany);
  };
  const auto calls = RunThrough(fault);
  // More than half: some may be too slow on a busy machine.
  EXPECT_GT(2 * Answered(calls), Asked(calls));
}

}  // namespace
}  // namespace tether::faults

int main(int argc, char** argv) {
  return tether::faults::RunFaultTests(argc, argv);
}
