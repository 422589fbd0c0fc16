// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/testing/grpc_leak_checked_test.h"

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/grpc/stats.h"
#include "tether/internal/live_counts.h"

namespace tether::testing {

void GrpcLeakCheckedTest::TearDown() {
  using internal::Live;
  using internal::LiveCount;
  const auto left = [] {
    const GrpcStats stats = GetGrpcStats();
    return stats.server_calls + stats.client_calls + stats.watches +
           LiveCount(Live::kNode) + LiveCount(Live::kCallback) +
           LiveCount(Live::kTimer);
  };
  const absl::Time give_up = absl::Now() + absl::Seconds(5);
  while (left() != 0 && absl::Now() < give_up) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  const GrpcStats stats = GetGrpcStats();
  EXPECT_EQ(stats.server_calls, 0);
  EXPECT_EQ(stats.client_calls, 0);
  EXPECT_EQ(stats.watches, 0);
  EXPECT_EQ(LiveCount(Live::kNode), 0);
  EXPECT_EQ(LiveCount(Live::kCallback), 0);
  EXPECT_EQ(LiveCount(Live::kTimer), 0);
}

}  // namespace tether::testing
