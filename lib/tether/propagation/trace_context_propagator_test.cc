// SPDX-License-Identifier: Apache-2.0
//
// How a trace crosses a hop.

#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

constexpr std::string_view kTraceId = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr std::string_view kSpanId = "00f067aa0ba902b7";
constexpr std::string_view kHeader =
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

// Returns kHeader with `text` written over it at `at`.
std::string With(size_t at, std::string_view text) {
  std::string header(kHeader);
  return header.replace(at, text.size(), text);
}

class TraceContextPropagatorTest : public ::testing::Test {
 protected:
  Context Extract(const MapCarrier& carrier) {
    return propagator_.Extract(carrier, Background());
  }

  TraceContextPropagator propagator_;
};

TEST_F(TraceContextPropagatorTest, ExtractsTraceParentAndTraceState) {
  MapCarrier carrier;
  carrier.Add("traceparent", kHeader);
  carrier.Add("tracestate", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
  const Context ctx = Extract(carrier);
  ASSERT_NE(TraceOf(ctx), nullptr);
  EXPECT_EQ(FormatTraceParent(*TraceOf(ctx)), kHeader);
  EXPECT_EQ(TraceOf(ctx)->trace_state,
            "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(TraceContextPropagatorTest, WithoutHeaderReturnsTheSameContext) {
  const Context ctx = WithTrace(Background(), NewTrace());
  EXPECT_EQ(propagator_.Extract(MapCarrier(), ctx), ctx);
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(TraceContextPropagatorTest, DropsAndCountsMalformedTraceParent) {
  MapCarrier carrier;
  carrier.Add("traceparent", With(0, "ff"));
  carrier.Add("tracestate", "a=1");
  EXPECT_EQ(Extract(carrier), Background());
  EXPECT_EQ(propagator_.Dropped(), 1);
}

TEST_F(TraceContextPropagatorTest, EqualCopiesOfTraceParentCountAsOne) {
  MapCarrier carrier;
  carrier.Add("traceparent", kHeader);
  carrier.Add("traceparent", kHeader);
  carrier.Add("tracestate", "a=1");
  const Context ctx = Extract(carrier);
  ASSERT_NE(TraceOf(ctx), nullptr);
  EXPECT_EQ(FormatTraceParent(*TraceOf(ctx)), kHeader);
  EXPECT_EQ(TraceOf(ctx)->trace_state, "a=1");
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(TraceContextPropagatorTest, DropsAndCountsRepeatedTraceParent) {
  MapCarrier carrier;
  carrier.Add("traceparent", kHeader);
  carrier.Add("traceparent", With(53, "00"));
  carrier.Add("tracestate", "a=1");
  EXPECT_EQ(Extract(carrier), Background());
  EXPECT_EQ(propagator_.Dropped(), 1);
}

TEST_F(TraceContextPropagatorTest, IgnoresTraceStateWithoutTraceParent) {
  MapCarrier carrier;
  carrier.Add("tracestate", "a=1");
  EXPECT_EQ(Extract(carrier), Background());
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(TraceContextPropagatorTest, InjectsTheTraceWithANewSpanForEachCall) {
  TraceContext trace = *ParseTraceParent(kHeader);
  trace.trace_state = "a=1";
  const Context ctx = WithTrace(Background(), trace);
  std::set<std::string> spans;
  for (int i = 0; i < 100; ++i) {
    MapCarrier carrier;
    propagator_.Inject(ctx, carrier);
    EXPECT_EQ(carrier.Get("tracestate"), "a=1");
    const auto sent = ParseTraceParent(carrier.Get("traceparent").value());
    ASSERT_TRUE(sent.has_value());
    EXPECT_EQ(sent->trace_id, trace.trace_id);
    EXPECT_EQ(sent->flags, trace.flags);
    spans.insert(sent->SpanIdHex());
  }
  EXPECT_EQ(spans.size(), 100u);
  EXPECT_EQ(spans.count(std::string(kSpanId)), 0u);
}

TEST_F(TraceContextPropagatorTest, InjectSendsReservedFlagsAsZero) {
  TraceContext trace = NewTrace();
  for (const auto& [kept, sent] : {std::pair(0x00, 0x00),
                                   {0x01, 0x01},
                                   {0x02, 0x02},
                                   {0x03, 0x03},
                                   {0xff, 0x03},
                                   {0xfc, 0x00}}) {
    trace.flags = static_cast<uint8_t>(kept);
    MapCarrier carrier;
    propagator_.Inject(WithTrace(Background(), trace), carrier);
    EXPECT_EQ(ParseTraceParent(*carrier.Get("traceparent"))->flags, sent);
  }
}

// Level 2: the flag is forwarded unchanged with the id.
TEST_F(TraceContextPropagatorTest, RandomTraceIdFlagCrossesAHopAsItIs) {
  for (const std::string_view flags : {"00", "01", "02", "03"}) {
    MapCarrier in{{"traceparent", With(53, flags)}};
    MapCarrier out;
    propagator_.Inject(Extract(in), out);
    EXPECT_EQ(out.Get("traceparent")->substr(53), flags);
  }
}

// "Downgrade the version": send the version that we implement.
TEST_F(TraceContextPropagatorTest, InjectSendsVersion00ForAHigherOne) {
  MapCarrier in{{"traceparent", With(0, "cc") + "-what-the-future-brings"}};
  MapCarrier out;
  propagator_.Inject(Extract(in), out);
  const std::string_view sent = out.Get("traceparent").value();
  EXPECT_EQ(sent.size(), 55u);
  EXPECT_EQ(sent.substr(0, 36), kHeader.substr(0, 36));
  EXPECT_EQ(sent.substr(52), kHeader.substr(52));
}

TEST_F(TraceContextPropagatorTest, HeaderNamesAreTakenInAnyCase) {
  MapCarrier in{{"TrAcEpArEnT", kHeader}, {"TRACESTATE", "a=1"}};
  const Context ctx = Extract(in);
  ASSERT_NE(TraceOf(ctx), nullptr);
  EXPECT_EQ(TraceOf(ctx)->trace_state, "a=1");
}

TEST_F(TraceContextPropagatorTest, IgnoresHeadersOfOtherNames) {
  EXPECT_EQ(
      Extract(MapCarrier{{"trace-parent", kHeader}, {"trace.parent", kHeader}}),
      Background());
}

TEST_F(TraceContextPropagatorTest, InjectWithoutATraceWritesNothing) {
  MapCarrier carrier;
  propagator_.Inject(Background(), carrier);
  EXPECT_TRUE(carrier.map().empty());
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(TraceContextPropagatorTest, InjectDropsAndCountsAnInvalidTrace) {
  TraceContext trace = NewTrace();
  trace.trace_id = {};
  MapCarrier carrier;
  propagator_.Inject(WithTrace(Background(), trace), carrier);
  EXPECT_TRUE(carrier.map().empty());
  EXPECT_EQ(propagator_.Dropped(), 1);
}

TEST_F(TraceContextPropagatorTest, InjectDropsABadTraceStateButSendsTheTrace) {
  TraceContext trace = NewTrace();
  trace.trace_state = "a=1\r\nx-evil: 1";
  MapCarrier carrier;
  propagator_.Inject(WithTrace(Background(), trace), carrier);
  EXPECT_TRUE(carrier.Get("traceparent").has_value());
  EXPECT_FALSE(carrier.Get("tracestate").has_value());
  EXPECT_EQ(propagator_.Dropped(), 1);
}

// Keeps headers that are already set, as gRPC's carrier does.
class KeepingCarrier final : public Carrier {
 public:
  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override {
    return map_.Get(key, index);
  }
  void Set(std::string_view key, std::string_view value) override {
    if (!map_.Get(key).has_value()) map_.Set(key, value);
  }
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override {
    map_.ForEachKey(visit);
  }

 private:
  MapCarrier map_;
};

TEST_F(TraceContextPropagatorTest, InjectMixesNoStateIntoATraceOfAnother) {
  TraceContext trace = NewTrace();
  trace.trace_state = "a=1";
  const Context ctx = WithTrace(Background(), trace);
  KeepingCarrier theirs;
  theirs.Set("traceparent", kHeader);
  propagator_.Inject(ctx, theirs);
  EXPECT_EQ(theirs.Get("traceparent", 0), kHeader);
  EXPECT_EQ(theirs.Get("tracestate", 0), std::nullopt);
  KeepingCarrier ours;
  propagator_.Inject(ctx, ours);
  EXPECT_EQ(ours.Get("tracestate", 0), "a=1");
}

TEST_F(TraceContextPropagatorTest, TraceSurvivesManyHops) {
  MapCarrier carrier;
  carrier.Add("traceparent", kHeader);
  carrier.Add("tracestate", "a=1");
  for (int hop = 0; hop < 10; ++hop) {
    const Context ctx = Extract(carrier);
    MapCarrier next;
    propagator_.Inject(ctx, next);
    carrier = next;
  }
  const Context ctx = Extract(carrier);
  EXPECT_EQ(TraceOf(ctx)->TraceIdHex(), kTraceId);
  EXPECT_TRUE(TraceOf(ctx)->sampled());
  EXPECT_EQ(TraceOf(ctx)->trace_state, "a=1");
}

TEST_F(TraceContextPropagatorTest, StartNewMakesATraceWhereNoGoodOneCameIn) {
  TraceContextOptions options;
  options.start_new = true;
  const TraceContextPropagator propagator(options);
  const Context none = propagator.Extract(MapCarrier(), Background());
  ASSERT_NE(TraceOf(none), nullptr);
  EXPECT_TRUE(TraceOf(none)->valid());
  EXPECT_FALSE(TraceOf(none)->sampled());
  EXPECT_EQ(propagator.Dropped(), 0);

  MapCarrier malformed;
  malformed.Add("traceparent", "garbage");
  EXPECT_NE(TraceOf(propagator.Extract(malformed, Background())), nullptr);
  EXPECT_EQ(propagator.Dropped(), 1);

  MapCarrier good;
  good.Add("traceparent", kHeader);
  EXPECT_EQ(TraceOf(propagator.Extract(good, Background()))->TraceIdHex(),
            kTraceId);
  EXPECT_EQ(propagator.Extract(MapCarrier(), none), none);
}

TEST_F(TraceContextPropagatorTest, SamplerIsAskedForTracesThatStartHereAlone) {
  bool answer = true;
  int asked = 0;
  TraceContextOptions options;
  options.start_new = true;
  options.sampled_by = [&](const Context& ctx, const TraceContext& trace) {
    ++asked;
    EXPECT_EQ(ctx, Background());
    EXPECT_TRUE(trace.valid());
    EXPECT_FALSE(trace.sampled());
    return answer;
  };
  const TraceContextPropagator propagator(options);
  const Context yes = propagator.Extract(MapCarrier(), Background());
  EXPECT_TRUE(TraceOf(yes)->sampled());
  answer = false;
  EXPECT_FALSE(
      TraceOf(propagator.Extract(MapCarrier(), Background()))->sampled());
  EXPECT_EQ(asked, 2);

  const MapCarrier came_in{{"traceparent", With(53, "00")}};
  answer = true;
  EXPECT_FALSE(TraceOf(propagator.Extract(came_in, Background()))->sampled());
  EXPECT_EQ(propagator.Extract(MapCarrier(), yes), yes);
  EXPECT_EQ(asked, 2);
}

TEST_F(TraceContextPropagatorTest, SamplerThatThrowsSaysNo) {
  TraceContextOptions options;
  options.start_new = true;
  options.sampled_by = [](const Context&, const TraceContext&) -> bool {
    throw std::runtime_error("sampler");
  };
  const TraceContextPropagator propagator(options);
  const Context ctx = propagator.Extract(MapCarrier(), Background());
  ASSERT_NE(TraceOf(ctx), nullptr);
  EXPECT_FALSE(TraceOf(ctx)->sampled());
  EXPECT_EQ(propagator.Dropped(), 1);
}

TEST_F(TraceContextPropagatorTest, DebugStringNamesTheTraceAndShowsNoValue) {
  const Context ctx =
      Extract(MapCarrier{{"traceparent", kHeader}, {"tracestate", "a=1"}});
  EXPECT_EQ(ctx.DebugString(), "Background.WithValue(trace)");
}

TEST_F(TraceContextPropagatorTest, WritesNoMoreThanItSays) {
  TraceContext trace = NewTrace();
  trace.trace_state =
      "k=" + std::string(256, 'x') + ",l=" + std::string(251, 'y');
  ASSERT_EQ(trace.trace_state.size(), 512u);
  const Context ctx = WithTrace(Background(), trace);
  MapCarrier carrier;
  propagator_.Inject(ctx, carrier);
  size_t bytes = 0;
  for (const auto& [key, value] : carrier.map()) {
    bytes += key.size() + value.size() + 32;
  }
  EXPECT_EQ(bytes, propagator_.MaxInjectBytes(ctx));
}

TEST_F(TraceContextPropagatorTest, NamesItsFields) {
  EXPECT_EQ(propagator_.Fields(),
            (std::vector<std::string_view>{"traceparent", "tracestate"}));
}

}  // namespace
}  // namespace tether
