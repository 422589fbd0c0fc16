// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/redact.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/relay.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

std::shared_ptr<const Propagator> Everything() {
  return std::make_shared<CompositePropagator>(
      TraceContextPropagator(), RequestIdPropagator(), BaggagePropagator(),
      RelayPropagator(std::vector<std::string>{"x-relayed"}));
}

MapCarrier Incoming() {
  MapCarrier carrier{
      {"traceparent",
       "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
      {"tracestate", "a=1"},
      {"x-request-id", "r1"},
      {"baggage", "tenant=acme,user.email=a%40b,plan=gold,user.email=c"}};
  carrier.Add("x-relayed", "1");
  carrier.Add("x-relayed", "2");
  return carrier;
}

TEST(RedactPropagatorTest, NeverWritesTheHeadersListed) {
  RedactOptions options;
  options.headers = {"X-Request-Id", "x-relayed"};
  const RedactPropagator redact(Everything(), options);
  const Context ctx = redact.Extract(Incoming(), Background());
  EXPECT_EQ(*RequestIdOf(ctx), "r1");  // is still read
  MapCarrier out;
  redact.Inject(ctx, out);
  EXPECT_EQ(out.Get("x-request-id"), std::nullopt);
  EXPECT_EQ(out.Get("x-relayed"), std::nullopt);
  EXPECT_TRUE(out.Get("traceparent").has_value());
  EXPECT_TRUE(out.Get("tracestate").has_value());
  EXPECT_TRUE(out.Get("baggage").has_value());
  EXPECT_EQ(redact.Dropped(), 0);
}

TEST(RedactPropagatorTest, NeverSendsTheBaggageListed) {
  RedactOptions options;
  options.baggage_keys = {"user.email", "absent"};
  const RedactPropagator redact(Everything(), options);
  const Context ctx = redact.Extract(Incoming(), Background());
  EXPECT_EQ(BaggageOf(ctx).Get("user.email"), "c");
  MapCarrier out;
  redact.Inject(ctx, out);
  EXPECT_EQ(out.Get("baggage"), "tenant=acme,plan=gold");
  EXPECT_EQ(out.map().size(), 6u);
}

TEST(RedactPropagatorTest, SendsNoBaggageWhereAllOfItIsListed) {
  RedactOptions options;
  options.baggage_keys = {"a", "b"};
  const RedactPropagator redact(Everything(), options);
  MapCarrier out;
  redact.Inject(WithBaggage(Background(), Baggage::Parse("a=1,b=2")), out);
  EXPECT_TRUE(out.map().empty());
}

TEST(RedactPropagatorTest, WithoutTraceParentThereIsNoTraceStateEither) {
  RedactOptions options;
  options.headers = {"traceparent"};
  const RedactPropagator redact(Everything(), options);
  MapCarrier out;
  redact.Inject(redact.Extract(Incoming(), Background()), out);
  EXPECT_EQ(out.Get("traceparent"), std::nullopt);
  EXPECT_EQ(out.Get("tracestate"), std::nullopt);
}

TEST(RedactPropagatorTest, LeavesTheApplicationsOwnHeadersAlone) {
  RedactOptions options;
  options.headers = {"x-request-id"};
  const RedactPropagator redact(Everything(), options);
  MapCarrier out{{"x-request-id", "mine"}};
  redact.Inject(WithRequestId(Background(), "r1"), out);
  EXPECT_EQ(out.map(), (MapCarrier::Map{{"x-request-id", "mine"}}));
}

TEST(RedactPropagatorTest, WithoutListsChangesNothing) {
  const RedactPropagator redact(Everything(), {});
  MapCarrier out;
  redact.Inject(redact.Extract(Incoming(), Background()), out);
  EXPECT_EQ(out.map().size(), Incoming().map().size());
  EXPECT_EQ(redact.Fields(), Everything()->Fields());
}

TEST(RedactPropagatorTest, CountsTheDropsOfTheOtherOne) {
  const RedactPropagator redact(Everything(), {});
  (void)redact.Extract(MapCarrier{{"traceparent", "garbage"}}, Background());
  EXPECT_EQ(redact.Dropped(), 1);
}

TEST(RedactPropagatorTest, WithoutAnotherOneDoesNothing) {
  const RedactPropagator redact(nullptr, {});
  EXPECT_EQ(redact.Extract(Incoming(), Background()), Background());
  MapCarrier out;
  redact.Inject(WithRequestId(Background(), "r1"), out);
  EXPECT_TRUE(out.map().empty());
  EXPECT_TRUE(redact.Fields().empty());
}

// No matter which propagator writes it.
TEST(RedactPropagatorTest, BaggageThatIsRelayedIsRedactedToo) {
  const MapCarrier in{{"baggage", "user.email=a%40b.c,route=north"}};
  RedactOptions options;
  options.baggage_keys = {"user.email"};
  const RedactPropagator redact(
      std::make_shared<RelayPropagator>(std::vector<std::string>{"baggage"}),
      options);
  MapCarrier out;
  redact.Inject(redact.Extract(in, Background()), out);
  EXPECT_EQ(out.Get("baggage"), "route=north");
}

}  // namespace
}  // namespace tether
