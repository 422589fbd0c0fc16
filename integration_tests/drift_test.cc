// SPDX-License-Identifier: Apache-2.0
//
// Deadlines over eight hops on loopback: the last hop's deadline compared with
// the origin's. The allowed difference depends on the time that the messages of
// the same call took (BrokenBound), so a busy machine changes the figures but
// not the result. Only calls whose deadline passes because the machine is too
// busy are repeated.

#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tether/grpc/client.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/testing/deadline_chain.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"

namespace tether {
namespace {

using testing::BrokenBound;
using testing::DeadlineChain;
using testing::Passage;

class DriftTest : public testing::GrpcLeakCheckedTest {
 protected:
  // Makes `count` calls that succeed. If `descending`, their timeouts fall from
  // 3 % above `timeout` to `timeout`: each is near enough to an earlier one for
  // gRPC to send that one instead.
  static std::vector<Passage> Calls(DeadlineChain& chain,
                                    absl::Duration timeout, bool descending,
                                    int count) {
    std::vector<Passage> passages;
    EXPECT_TRUE(chain.Connect());
    for (int tries = 0; tries < 20 * count; ++tries) {
      const int made = static_cast<int>(passages.size());
      if (made == count) return passages;
      const double more = descending ? 0.03 * (count - 1 - made) / count : 0;
      if (auto passage = chain.Call(timeout * (1 + more))) {
        passages.push_back(*std::move(passage));
      }
    }
    ADD_FAILURE() << "nearly all calls fail";
    return passages;
  }
};

struct Param {
  absl::Duration timeout;
  bool descending;
};

void PrintTo(const Param& param, std::ostream* out) {
  *out << param.timeout << (param.descending ? ", descending" : "");
}

std::string NameOf(const ::testing::TestParamInfo<Param>& info) {
  return absl::FormatDuration(info.param.timeout) +
         (info.param.descending ? "Descending" : "");
}

class AnyDeadlineTest : public DriftTest,
                        public ::testing::WithParamInterface<Param> {};

INSTANTIATE_TEST_SUITE_P(Deadlines, AnyDeadlineTest,
                         ::testing::Values(Param{absl::Milliseconds(200),
                                                 false},
                                           Param{absl::Milliseconds(200), true},
                                           Param{absl::Seconds(5), false},
                                           Param{absl::Seconds(5), true},
                                           Param{absl::Seconds(200), false},
                                           Param{absl::Seconds(200), true},
                                           Param{absl::Hours(1), false}),
                         NameOf);

TEST_P(AnyDeadlineTest, WithoutAReserveDriftsByWhatTheMessagesTake) {
  DeadlineChain chain(Reserve::None());
  for (const Passage& passage :
       Calls(chain, GetParam().timeout, GetParam().descending, 25)) {
    EXPECT_EQ(BrokenBound(passage, Reserve::None()), "");
    EXPECT_LE(passage.Drift(), passage.Latencies() + absl::Milliseconds(1));
  }
}

TEST_P(AnyDeadlineTest, WithTheDefaultReserveIsNeverLaterThanTheOrigins) {
  const Reserve reserve = ClientOptions().reserve;
  DeadlineChain chain(reserve);
  int measured = 0;
  // More than once only if the machine is so busy that no call is quick.
  for (int round = 0; round < 8 && measured == 0; ++round) {
    for (const Passage& passage :
         Calls(chain, GetParam().timeout, GetParam().descending, 25)) {
      EXPECT_EQ(BrokenBound(passage, reserve), "");
      // If a message takes as long as eight reserves, the machine stood still.
      if (passage.Latencies() < reserve.Of(GetParam().timeout)) {
        ++measured;
        EXPECT_LT(passage.Drift(), absl::ZeroDuration());
      }
    }
  }
  EXPECT_GT(measured, 0);
}

// The controls: the same checks with plain gRPC.

TEST_F(DriftTest, ControlPlainGrpcRoundsUp) {
  DeadlineChain chain(std::nullopt);
  // Three digits: 200.4 s, minus the time of the messages, becomes 201 s.
  const auto passages = Calls(chain, absl::Seconds(200.4), false, 3);
  for (const Passage& passage : passages) {
    EXPECT_GT(passage.Drift(), absl::Milliseconds(300));
    EXPECT_NE(BrokenBound(passage, Reserve::None()), "");
  }
  EXPECT_EQ(passages.size(), 3u);
}

TEST_F(DriftTest, ControlPlainGrpcSendsAnEarlierTimeoutAgain) {
  DeadlineChain chain(std::nullopt);
  const auto passages = Calls(chain, absl::Seconds(200), true, 3);
  ASSERT_EQ(passages.size(), 3u);
  // The first timeout was 204 s: 2 % too much for the last one.
  EXPECT_GT(passages.back().Drift(), absl::Seconds(2));
}

// Each bound can be broken.
TEST_F(DriftTest, BoundsAreBounds) {
  Passage passage;
  passage.deadline = absl::Seconds(10);
  passage.hops.resize(2);
  const absl::Duration by_core = passage.deadline + absl::Milliseconds(5);
  passage.hops[0] = {absl::Seconds(5), absl::Seconds(5) + absl::Milliseconds(3),
                     passage.deadline + absl::Milliseconds(3), by_core};
  passage.hops[1] = {absl::Seconds(6), absl::Seconds(6) + absl::Milliseconds(1),
                     passage.deadline + absl::Milliseconds(4), by_core};
  EXPECT_EQ(BrokenBound(passage, Reserve::None()), "");
  EXPECT_EQ(passage.Drift(), absl::Milliseconds(4));
  EXPECT_EQ(passage.Latencies(), absl::Milliseconds(4));

  Reserve reserve;
  reserve.fixed = absl::Milliseconds(1);
  reserve.fraction = 0;
  EXPECT_EQ(BrokenBound(passage, reserve).rfind("too late: hop 1", 0), 0u)
      << BrokenBound(passage, reserve);
  passage.hops[0].deadline = passage.deadline - absl::Milliseconds(2.5);
  passage.hops[1].deadline = passage.hops[0].deadline;
  EXPECT_EQ(BrokenBound(passage, reserve), "");
  EXPECT_EQ(BrokenBound(passage, Reserve::None()).rfind("too early: hop 1", 0),
            0u)
      << BrokenBound(passage, Reserve::None());
  passage.hops[0].core_deadline = passage.hops[0].deadline;
  EXPECT_EQ(BrokenBound(passage, Reserve::None()), "");
  passage.hops[0].deadline = passage.deadline;
  passage.hops[1].deadline = passage.deadline + absl::Milliseconds(1.2);
  EXPECT_EQ(BrokenBound(passage, Reserve::None()).rfind("too late: hop 2", 0),
            0u)
      << BrokenBound(passage, Reserve::None());
}

}  // namespace
}  // namespace tether
