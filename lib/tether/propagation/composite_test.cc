// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/composite.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/default.h"
#include "tether/propagation/limited_carrier.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/testing/fake_propagators.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

constexpr Key<std::string> kTrail{"trail"};

// Appends `name` to a value and to a header.
std::shared_ptr<const Propagator> Appender(const char* name,
                                           int64_t dropped = 0) {
  const auto appender = std::make_shared<testing::FakePropagator>(
      [name](const Carrier&, const Context& ctx) {
        const std::string* trail = ctx.Value(kTrail);
        return WithValue(ctx, kTrail, (trail ? *trail : "") + name);
      },
      [name](const Context&, Carrier& carrier) {
        const std::string before(carrier.Get("trail").value_or(""));
        carrier.Set("trail", before + name);
      });
  appender->fields = {"trail", name};
  appender->dropped = dropped;
  return appender;
}

TEST(CompositePropagatorTest, RunsItsPartsInOrder) {
  const CompositePropagator all =
      CompositePropagator(Appender("a"), Appender("b"), Appender("c"));
  const Context ctx = all.Extract(MapCarrier(), Background());
  EXPECT_EQ(*ctx.Value(kTrail), "abc");
  MapCarrier carrier;
  all.Inject(ctx, carrier);
  EXPECT_EQ(carrier.Get("trail"), "abc");
}

TEST(CompositePropagatorTest, ContainsAPartThatThrowsAtAnyQuestion) {
  class Evasive final : public testing::ThrowingPropagator {
    size_t MaxInjectBytes(const Context&) const override { throw 43; }
  };
  const CompositePropagator all =
      CompositePropagator(Appender("a"), std::make_shared<Evasive>());
  EXPECT_NO_THROW(all.MaxInjectBytes(Background()));
  MapCarrier carrier;
  all.Inject(Background(), carrier);
  EXPECT_EQ(carrier.Get("trail"), "a");
}

TEST(CompositePropagatorTest, CatchesCountsAndSkipsAPartThatThrows) {
  const CompositePropagator all = CompositePropagator(
      Appender("a"), std::make_shared<testing::ThrowingPropagator>(),
      Appender("b"));
  const Context ctx = all.Extract(MapCarrier(), Background());
  EXPECT_EQ(*ctx.Value(kTrail), "ab");
  EXPECT_EQ(all.Dropped(), 1);
  MapCarrier carrier;
  all.Inject(ctx, carrier);
  EXPECT_EQ(carrier.Get("trail"), "ab");
  EXPECT_EQ(all.Dropped(), 2);
}

TEST(CompositePropagatorTest, SumsUpDrops) {
  const CompositePropagator all =
      CompositePropagator(Appender("a", 3), Appender("b", 4));
  EXPECT_EQ(all.Dropped(), 7);
}

TEST(CompositePropagatorTest, NamesEachFieldOnce) {
  const CompositePropagator all =
      CompositePropagator(Appender("a"), Appender("b"));
  EXPECT_EQ(all.Fields(), (std::vector<std::string_view>{"trail", "a", "b"}));
}

TEST(CompositePropagatorTest, LeavesOutNullParts) {
  const CompositePropagator all =
      CompositePropagator(std::shared_ptr<const Propagator>(), Appender("a"));
  EXPECT_EQ(*all.Extract(MapCarrier(), Background()).Value(kTrail), "a");
}

TEST(CompositePropagatorTest, WithoutPartsDoesNothing) {
  const CompositePropagator none({});
  EXPECT_EQ(none.Extract(MapCarrier(), Background()), Background());
  MapCarrier carrier;
  none.Inject(Background(), carrier);
  EXPECT_TRUE(carrier.map().empty());
  EXPECT_TRUE(none.Fields().empty());
  EXPECT_EQ(none.Dropped(), 0);
}

TEST(CompositePropagatorTest, CarriesTraceAndRequestIdTogether) {
  const CompositePropagator all =
      CompositePropagator(TraceContextPropagator(), RequestIdPropagator());
  const Context sent = WithRequestId(WithTrace(Background(), NewTrace()), "r1");
  MapCarrier carrier;
  all.Inject(sent, carrier);
  const Context received = all.Extract(carrier, Background());
  EXPECT_EQ(TraceOf(received)->trace_id, TraceOf(sent)->trace_id);
  EXPECT_EQ(*RequestIdOf(received), "r1");

  // A bad value does not affect the others.
  carrier.Set("traceparent", "garbage");
  const Context partly = all.Extract(carrier, Background());
  EXPECT_EQ(TraceOf(partly), nullptr);
  EXPECT_EQ(*RequestIdOf(partly), "r1");
  EXPECT_EQ(all.Dropped(), 1);
}

// ---- Construction ----

TEST(CompositePropagatorTest, TakesPartsByValueAndByPointerAndAsAList) {
  RequestIdOptions ids;
  ids.max_bytes = 4;
  const CompositePropagator mixed{
      TraceContextPropagator(), std::make_shared<RequestIdPropagator>(ids),
      std::make_unique<BaggagePropagator>(), DefaultPropagator()};
  const CompositePropagator list(std::vector<std::shared_ptr<const Propagator>>{
      std::make_shared<TraceContextPropagator>(),
      std::make_shared<RequestIdPropagator>(ids),
      std::make_shared<BaggagePropagator>(), DefaultPropagator()});
  EXPECT_EQ(mixed.Fields(), list.Fields());
  EXPECT_EQ(mixed.MaxInjectBytes(Background()),
            list.MaxInjectBytes(Background()));

  // A part that is passed by value keeps its options.
  const CompositePropagator strict((RequestIdPropagator(ids)));
  EXPECT_EQ(*RequestIdOf(strict.Extract(MapCarrier{{"x-request-id", "1234"}},
                                        Background())),
            "1234");
  EXPECT_EQ(RequestIdOf(strict.Extract(MapCarrier{{"x-request-id", "12345"}},
                                       Background())),
            nullptr);
  EXPECT_EQ(strict.Dropped(), 1);
}

TEST(CompositePropagatorTest, LimitsComeBeforePartsByValue) {
  const Context ctx = WithRequestId(Background(), "r1");
  MapCarrier carrier;
  CompositePropagator(InjectLimits{10, 64}, RequestIdPropagator())
      .Inject(ctx, carrier);
  EXPECT_TRUE(carrier.map().empty());
  CompositePropagator(InjectLimits{1000, 64}, RequestIdPropagator())
      .Inject(ctx, carrier);
  EXPECT_EQ(carrier.Get("x-request-id"), "r1");
}

TEST(CompositePropagatorTest, APartThatWasCopiedCountsOnItsOwn) {
  const RequestIdPropagator original;
  const MapCarrier bad{{"x-request-id", ""}};
  (void)original.Extract(bad, Background());
  const CompositePropagator composite(original);
  EXPECT_EQ(composite.Dropped(), 1);
  (void)composite.Extract(bad, Background());
  EXPECT_EQ(composite.Dropped(), 2);
  EXPECT_EQ(original.Dropped(), 1);
}

TEST(CompositePropagatorTest, ACopyOfACompositeSharesItsParts) {
  const CompositePropagator composite(RequestIdPropagator{});
  const CompositePropagator copy(composite);
  (void)composite.Extract(MapCarrier{{"x-request-id", ""}}, Background());
  EXPECT_EQ(copy.Dropped(), 1);
}

}  // namespace
}  // namespace tether
