// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/edge.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/b3.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/codecs.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/header.h"
#include "tether/propagation/relay.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/testing/fake_propagators.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

constexpr std::string_view kTraceId = "4bf92f3577b34da6a3ce929d0e0e4736";
inline constexpr Key<std::string> kTenant{"tenant"};

std::shared_ptr<const Propagator> Everything(RequestIdOptions request_id = {}) {
  return std::make_shared<CompositePropagator>(
      TraceContextPropagator(), B3Propagator(), RequestIdPropagator(request_id),
      BaggagePropagator(),
      HeaderPropagator<std::string>(kTenant, "x-tenant", StringCodec()),
      RelayPropagator(std::vector<std::string>{"x-relayed"}));
}

MapCarrier Hostile() {
  return {
      {"traceparent", "00-" + std::string(kTraceId) + "-00f067aa0ba902b7-01"},
      {"tracestate", "a=1"},
      {"x-request-id", "r1"},
      {"baggage", "admin=true"},
      {"x-tenant", "other"},
      {"x-relayed", "1"}};
}

TEST(EdgePropagatorTest, DropsBaggageAndCustomValues) {
  const EdgePropagator edge(Everything());
  const Context ctx = edge.Extract(Hostile(), Background());
  EXPECT_TRUE(BaggageOf(ctx).empty());
  EXPECT_EQ(ctx.Value(kTenant), nullptr);
  EXPECT_EQ(RequestIdOf(ctx), nullptr);
  MapCarrier out;
  edge.Inject(ctx, out);
  ASSERT_EQ(out.map().size(), 1u);
  EXPECT_TRUE(out.Get("traceparent").has_value());
  // traceparent, x-request-id, baggage, x-tenant, x-relayed. tracestate is not
  // looked up without a traceparent.
  EXPECT_EQ(edge.Dropped(), 5);

  // The control: without the EdgePropagator, all of them arrive.
  const Context inside = Everything()->Extract(Hostile(), Background());
  EXPECT_FALSE(BaggageOf(inside).empty());
  EXPECT_NE(inside.Value(kTenant), nullptr);
}

TEST(EdgePropagatorTest, RestartsTheTraceByDefault) {
  const EdgePropagator edge(Everything());
  const Context ctx = edge.Extract(Hostile(), Background());
  ASSERT_NE(TraceOf(ctx), nullptr);
  EXPECT_TRUE(TraceOf(ctx)->valid());
  EXPECT_NE(TraceOf(ctx)->TraceIdHex(), kTraceId);
  EXPECT_FALSE(TraceOf(ctx)->sampled());
  EXPECT_EQ(TraceOf(ctx)->trace_state, "");
  // Requests without a trace get one too, and each request gets a new one.
  const Context other = edge.Extract(MapCarrier(), Background());
  ASSERT_NE(TraceOf(other), nullptr);
  EXPECT_NE(TraceOf(other)->trace_id, TraceOf(ctx)->trace_id);
  // B3 headers are hidden too.
  const Context b3 = edge.Extract(
      MapCarrier{{"b3", std::string(kTraceId) + "-00f067aa0ba902b7-d"}},
      Background());
  EXPECT_NE(TraceOf(b3)->TraceIdHex(), kTraceId);
  EXPECT_FALSE(TraceOf(b3)->debug);
}

TEST(EdgePropagatorTest, KeepsTheTraceByOption) {
  EdgeOptions options;
  options.keep_trace = true;
  const EdgePropagator edge(Everything(), options);
  const Context ctx = edge.Extract(Hostile(), Background());
  ASSERT_NE(TraceOf(ctx), nullptr);
  EXPECT_EQ(TraceOf(ctx)->TraceIdHex(), kTraceId);
  EXPECT_EQ(TraceOf(ctx)->trace_state, "a=1");
  EXPECT_TRUE(BaggageOf(ctx).empty());
  EXPECT_EQ(TraceOf(edge.Extract(MapCarrier(), Background())), nullptr);
  const Context b3 = edge.Extract(
      MapCarrier{{"b3", std::string(kTraceId) + "-00f067aa0ba902b7-1"}},
      Background());
  EXPECT_EQ(TraceOf(b3)->TraceIdHex(), kTraceId);
}

TEST(EdgePropagatorTest, KeepsTheRequestIdByOption) {
  EdgeOptions options;
  options.keep_request_id = true;
  const EdgePropagator edge(Everything(), options);
  EXPECT_EQ(*RequestIdOf(edge.Extract(Hostile(), Background())), "r1");
}

TEST(EdgePropagatorTest, MakesARequestIdOfItsOwnInPlaceOfAStrangers) {
  RequestIdOptions request_id;
  request_id.make_if_absent = true;
  const EdgePropagator edge(Everything(request_id));
  const Context ctx = edge.Extract(Hostile(), Background());
  ASSERT_NE(RequestIdOf(ctx), nullptr);
  EXPECT_NE(*RequestIdOf(ctx), "r1");
}

TEST(EdgePropagatorTest, KeepsListedHeaders) {
  EdgeOptions options;
  options.keep_headers = {"X-Tenant"};
  const EdgePropagator edge(Everything(), options);
  const Context ctx = edge.Extract(Hostile(), Background());
  ASSERT_NE(ctx.Value(kTenant), nullptr);
  EXPECT_EQ(*ctx.Value(kTenant), "other");
  EXPECT_TRUE(BaggageOf(ctx).empty());
}

TEST(EdgePropagatorTest, SamplerDecidesOnTracesThatStartHere) {
  EdgeOptions options;
  options.sampled_by = [](const Context&, const TraceContext&) { return true; };
  const EdgePropagator edge(Everything(), options);
  EXPECT_TRUE(TraceOf(edge.Extract(MapCarrier(), Background()))->sampled());

  options.sampled_by = [](const Context&, const TraceContext&) -> bool {
    throw std::runtime_error("sampler");
  };
  const EdgePropagator throws(Everything(), options);
  EXPECT_FALSE(TraceOf(throws.Extract(MapCarrier(), Background()))->sampled());
  EXPECT_EQ(throws.Dropped(), 1);
}

TEST(EdgePropagatorTest, TheOtherOneMayStartTheTrace) {
  TraceContextOptions trace;
  trace.start_new = true;
  trace.sampled_by = [](const Context&, const TraceContext&) { return true; };
  EdgeOptions options;
  options.sampled_by = [](const Context&, const TraceContext&) {
    ADD_FAILURE();
    return false;
  };
  const EdgePropagator edge(std::make_shared<TraceContextPropagator>(trace),
                            options);
  EXPECT_TRUE(TraceOf(edge.Extract(Hostile(), Background()))->sampled());
}

TEST(EdgePropagatorTest, HidesTheNamesOfOtherHeadersToo) {
  EdgeOptions options;
  options.keep_trace = true;
  const auto lists_keys = [](const Carrier& carrier, const Context& ctx) {
    std::string keys;
    carrier.ForEachKey(
        [&keys](std::string_view key) { keys.append(key).append(1, ' '); });
    return WithValue(ctx, kTenant, keys);
  };
  const EdgePropagator edge(
      std::make_shared<testing::FakePropagator>(lists_keys), options);
  EXPECT_EQ(*edge.Extract(Hostile(), Background()).Value(kTenant),
            "traceparent tracestate ");
}

TEST(EdgePropagatorTest, InjectIsTheOtherOnes) {
  const EdgePropagator edge(Everything());
  const Context ctx =
      WithBaggage(WithRequestId(Background(), "r2"), Baggage().With("k", "v"));
  MapCarrier out;
  edge.Inject(ctx, out);
  EXPECT_EQ(out.map(),
            (MapCarrier::Map{{"baggage", "k=v"}, {"x-request-id", "r2"}}));
  EXPECT_EQ(edge.MaxInjectBytes(ctx), Everything()->MaxInjectBytes(ctx));
  EXPECT_EQ(edge.Fields(), Everything()->Fields());
}

TEST(EdgePropagatorTest, WithoutAnotherOneStartsTracesAlone) {
  const EdgePropagator edge(nullptr);
  const Context ctx = edge.Extract(Hostile(), Background());
  EXPECT_NE(TraceOf(ctx), nullptr);
  EXPECT_EQ(RequestIdOf(ctx), nullptr);
}

TEST(EdgePropagatorTest, DebugStringShowsNoValue) {
  EdgeOptions options;
  options.keep_trace = true;
  options.keep_request_id = true;
  const EdgePropagator edge(Everything(), options);
  const std::string text = edge.Extract(Hostile(), Background()).DebugString();
  EXPECT_EQ(text, "Background.WithValue(trace).WithValue(request_id)");
}

}  // namespace
}  // namespace tether
