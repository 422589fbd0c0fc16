// SPDX-License-Identifier: Apache-2.0
//
// The Correlator: which request it finds for which names.

#include "sidecar/correlator.h"

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "sidecar/hop_id.h"
#include "sidecar/request.h"
#include "sidecar/request_end.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"

namespace tether::sidecar {
namespace {

class CorrelatorTest : public tether::testing::LeakCheckedTest {};

using Kind = Correlator::Match::Kind;

TEST_F(CorrelatorTest, Smoke) {
  HopIds ids;
  Correlator correlator(ids);
  auto [ctx, cancel] = WithCancel(Background());
  const HopId id = ids.Next();
  auto r = correlator.Begin(id, "", "rid", ctx);
  RequestNames names;
  names.ids = absl::MakeConstSpan(&id, 1);
  auto match = correlator.Find(names);
  EXPECT_EQ(match.kind, Kind::kAlive);
  int cuts = 0;
  CutWhenAllEnd cut(match.requests, [&](RequestEnd, const absl::Status& s) {
    EXPECT_TRUE(absl::IsCancelled(s));
    ++cuts;
  });
  cancel();
  EXPECT_EQ(cuts, 1);
  EXPECT_EQ(correlator.Find(names).kind, Kind::kRefused);
  correlator.End(r);
  EXPECT_EQ(correlator.Find(names).kind, Kind::kRefused);
  names.ids = {};
  names.request_id = "rid";
  EXPECT_EQ(correlator.Find(names).kind, Kind::kRefused);
  names.request_id = "rid2";
  EXPECT_EQ(correlator.Find(names).kind, Kind::kNone);
}

}  // namespace
}  // namespace tether::sidecar
