// SPDX-License-Identifier: Apache-2.0
//
// A propagator that forwards to another one forwards everything.

#include "tether/propagation/delegating.h"

#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/testing/fake_propagators.h"

namespace tether {
namespace {

constexpr Key<int> kNumber{"number"};

TEST(DelegatingPropagatorTest, ForwardsEveryFunction) {
  const auto inner = std::make_shared<testing::FakePropagator>(
      [](const Carrier& carrier, const Context& ctx) {
        return WithValue(ctx, kNumber,
                         static_cast<int>(carrier.Get("in")->size()));
      },
      [](const Context& ctx, Carrier& carrier) {
        if (ctx.Value(kNumber) != nullptr) carrier.Set("out", "yes");
      });
  inner->fields = {"in", "out"};
  inner->max_inject_bytes = 77;
  inner->dropped = 5;
  const DelegatingPropagator propagator(inner);

  const Context ctx =
      propagator.Extract(MapCarrier{{"in", "123"}}, Background());
  ASSERT_NE(ctx.Value(kNumber), nullptr);
  EXPECT_EQ(*ctx.Value(kNumber), 3);
  MapCarrier carrier;
  propagator.Inject(ctx, carrier);
  EXPECT_EQ(carrier.map(), (MapCarrier::Map{{"out", "yes"}}));
  EXPECT_EQ(propagator.Fields(), (std::vector<std::string_view>{"in", "out"}));
  EXPECT_EQ(propagator.MaxInjectBytes(ctx), 77u);
  EXPECT_EQ(propagator.Dropped(), 5);
}

TEST(DelegatingPropagatorTest, WithoutAnotherOneDoesNothing) {
  const DelegatingPropagator propagator(nullptr);
  const Context ctx = WithValue(Background(), kNumber, 1);
  MapCarrier carrier{{"in", "1"}};
  EXPECT_EQ(propagator.Extract(carrier, ctx), ctx);
  propagator.Inject(ctx, carrier);
  EXPECT_EQ(carrier.map(), (MapCarrier::Map{{"in", "1"}}));
  EXPECT_TRUE(propagator.Fields().empty());
  EXPECT_EQ(propagator.MaxInjectBytes(ctx), 0u);
  EXPECT_EQ(propagator.Dropped(), 0);
}

}  // namespace
}  // namespace tether
