// SPDX-License-Identifier: Apache-2.0
//
// The values that cross a hop by default.

#include "tether/propagation/default.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

TEST(DefaultPropagatorTest, CarriesTraceRequestIdAndBaggageAndNothingElse) {
  EXPECT_EQ(DefaultPropagator()->Fields(),
            (std::vector<std::string_view>{"traceparent", "tracestate",
                                           "x-request-id", "baggage"}));
}

TEST(DefaultPropagatorTest, ReadsWhatItWrites) {
  Context ctx = WithTrace(Background(), NewTrace());
  ctx = WithRequestId(ctx, "order-7");
  ctx = WithBaggage(ctx, Baggage().With("tenant", "acme"));
  MapCarrier carrier;
  DefaultPropagator()->Inject(ctx, carrier);

  const Context there = DefaultPropagator()->Extract(carrier, Background());
  ASSERT_NE(TraceOf(there), nullptr);
  EXPECT_EQ(TraceOf(there)->TraceIdHex(), TraceOf(ctx)->TraceIdHex());
  ASSERT_NE(RequestIdOf(there), nullptr);
  EXPECT_EQ(*RequestIdOf(there), "order-7");
  EXPECT_EQ(BaggageOf(there).Get("tenant"), "acme");
}

TEST(DefaultPropagatorTest, WritesNothingForAnEmptyContext) {
  MapCarrier carrier;
  DefaultPropagator()->Inject(Background(), carrier);
  EXPECT_TRUE(carrier.map().empty());
}

TEST(DefaultPropagatorTest, WritesAtMostFourKibibytesAndCountsWhatItLeavesOut) {
  const auto propagator = DefaultPropagator();
  Context ctx = WithTrace(Background(), NewTrace());
  MapCarrier carrier;

  // The control: baggage that fits is written.
  propagator->Inject(
      WithBaggage(ctx, Baggage().With("note", std::string(3000, 'n'))),
      carrier);
  EXPECT_TRUE(carrier.Get("baggage").has_value());

  const int64_t dropped_before = propagator->Dropped();
  MapCarrier full;
  propagator->Inject(
      WithBaggage(ctx, Baggage().With("note", std::string(4050, 'n'))), full);
  EXPECT_TRUE(full.Get("traceparent").has_value());
  EXPECT_FALSE(full.Get("baggage").has_value());
  EXPECT_EQ(propagator->Dropped(), dropped_before + 1);
}

TEST(DefaultPropagatorTest, IsOneObjectForTheWholeProcess) {
  EXPECT_EQ(DefaultPropagator(), DefaultPropagator());
}

}  // namespace
}  // namespace tether
