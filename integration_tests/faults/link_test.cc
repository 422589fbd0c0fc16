// SPDX-License-Identifier: Apache-2.0
//
// The link of faults_test: delays, loss, order, bandwidth and size of packets,
// between two pairs of sockets instead of TUN devices.

#include "integration_tests/faults/link.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/testing/give_up.h"

namespace tether::faults {
namespace {

constexpr absl::Duration kGiveUp = absl::Seconds(10);

class LinkTest : public ::testing::Test {
 protected:
  LinkTest() {
    int a[2];
    int b[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, a), 0);
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, b), 0);
    a_ = a[0];
    b_ = b[0];
    link_.emplace(a[1], b[1], /*seed=*/1);
  }
  ~LinkTest() override {
    close(a_);
    close(b_);
  }

  static void Send(int from, const std::string& packet) {
    EXPECT_EQ(send(from, packet.data(), packet.size(), 0),
              static_cast<ssize_t>(packet.size()));
  }

  // The next packet; nullopt after `timeout`.
  static std::optional<std::string> Receive(int at,
                                            absl::Duration timeout = kGiveUp) {
    pollfd wait = {at, POLLIN, 0};
    if (poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) !=
        1) {
      return std::nullopt;
    }
    char buffer[4096];
    const ssize_t size = read(at, buffer, sizeof(buffer));
    return std::string(buffer, static_cast<size_t>(size));
  }

  // Returns when the link has dealt with the packet.
  void SendAndAwait(const std::string& packet) {
    const int64_t before = link_->counts(Link::kA).arrived;
    Send(a_, packet);
    Await([&] { return link_->counts(Link::kA).arrived > before; });
  }

  // The link has a thread and a clock of its own, and tells nobody.
  static void Await(const std::function<bool()>& condition) {
    const absl::Time give_up = absl::Now() + tether::testing::kGiveUp;
    while (!condition()) {
      ASSERT_LT(absl::Now(), give_up);
      absl::SleepFor(absl::Microseconds(20));
    }
  }

  int a_ = -1;
  int b_ = -1;
  std::optional<Link> link_;
};

TEST_F(LinkTest, PassesPacketsBothWays) {
  Send(a_, "there");
  EXPECT_EQ(Receive(b_), "there");
  Send(b_, "back");
  EXPECT_EQ(Receive(a_), "back");
}

TEST_F(LinkTest, DelaysEachPacketAndKeepsTheOrder) {
  LinkRules rules;
  rules.delay = absl::Milliseconds(50);
  rules.jitter = absl::Milliseconds(50);
  link_->Set(Link::kA, rules);
  const absl::Time start = absl::Now();
  for (int i = 0; i < 20; ++i) Send(a_, std::to_string(i));
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Receive(b_), std::to_string(i));
    EXPECT_GE(absl::Now() - start, rules.delay);
  }
  const absl::Time back = absl::Now();
  Send(b_, "not this way");
  EXPECT_EQ(Receive(a_), "not this way");
  EXPECT_LT(absl::Now() - back, rules.delay);
}

TEST_F(LinkTest, LosesTheGivenFraction) {
  LinkRules rules;
  rules.loss = 0.1;
  link_->Set(Link::kA, rules);
  constexpr int kPackets = 1000;
  int arrived = 0;
  for (int i = 0; i < kPackets; ++i) {
    SendAndAwait(std::to_string(i));
    while (Receive(b_, absl::ZeroDuration())) ++arrived;
  }
  link_->Set(Link::kA, LinkRules());
  Send(a_, "last");
  while (Receive(b_) != "last") ++arrived;
  const LinkCounts counts = link_->counts(Link::kA);
  EXPECT_EQ(counts.lost + arrived, kPackets);
  EXPECT_GT(counts.lost, 60);  // four standard deviations
  EXPECT_LT(counts.lost, 140);
}

TEST_F(LinkTest, APacketOvertakesThoseThatAreDelayed) {
  LinkRules rules;
  rules.delay = absl::Milliseconds(200);
  link_->Set(Link::kA, rules);
  SendAndAwait("delayed");
  rules.reorder = 1;
  link_->Set(Link::kA, rules);
  Send(a_, "overtakes");
  EXPECT_EQ(Receive(b_), "overtakes");
  EXPECT_EQ(Receive(b_), "delayed");
}

TEST_F(LinkTest, RepeatsPackets) {
  LinkRules rules;
  rules.duplicate = 1;
  link_->Set(Link::kA, rules);
  Send(a_, "twice");
  EXPECT_EQ(Receive(b_), "twice");
  EXPECT_EQ(Receive(b_), "twice");
}

TEST_F(LinkTest, SendsSoManyBitsASecondAndDropsWhatItCannotQueue) {
  LinkRules rules;
  rules.bits_per_second = 80'000;  // a packet of 1,000 bytes takes 100 ms
  rules.queue_bytes = 2'000;
  link_->Set(Link::kA, rules);
  const absl::Time start = absl::Now();
  for (int i = 0; i < 8; ++i) SendAndAwait(std::string(1'000, 'x'));
  // One on the line, and two or three in the queue.
  const int64_t dropped = link_->counts(Link::kA).no_room;
  EXPECT_GE(dropped, 1);
  for (int64_t i = 0; i < 8 - dropped; ++i) EXPECT_TRUE(Receive(b_));
  EXPECT_GE(absl::Now() - start, (8 - dropped) * absl::Milliseconds(100));
}

TEST_F(LinkTest, DropsPacketsThatAreTooLarge) {
  LinkRules rules;
  rules.mtu = 100;
  link_->Set(Link::kA, rules);
  SendAndAwait(std::string(101, 'x'));
  Send(a_, std::string(100, 'y'));
  EXPECT_EQ(Receive(b_), std::string(100, 'y'));
  EXPECT_EQ(link_->counts(Link::kA).too_large, 1);
}

TEST_F(LinkTest, DropsAllInOneDirectionAlsoThosePacketsThatWait) {
  LinkRules rules;
  rules.delay = absl::Milliseconds(100);
  link_->Set(Link::kA, rules);
  SendAndAwait("waits");
  rules.drop_all = true;
  link_->Set(Link::kA, rules);
  SendAndAwait("comes");
  Send(b_, "not this way");
  EXPECT_EQ(Receive(a_), "not this way");
  Await([&] { return link_->counts(Link::kA).dropped == 2; });
  link_->Set(Link::kA, LinkRules());
  Send(a_, "after it");
  EXPECT_EQ(Receive(b_), "after it");
}

}  // namespace
}  // namespace tether::faults
