// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/b3.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

constexpr std::string_view kTraceId = "80f198ee56343ba864fe8b2a57d3eff7";
constexpr std::string_view kShortId = "64fe8b2a57d3eff7";
constexpr std::string_view kSpanId = "e457b5a2e4d86bd1";
constexpr std::string_view kParentId = "05e3ac9a4f6e3b90";
const std::string kIds = std::string(kTraceId) + "-" + std::string(kSpanId);

bool Parses(const std::string& header) { return ParseB3(header).has_value(); }

TEST(ParseB3Test, ReadsTheExampleOfTheSpecification) {
  const auto trace = ParseB3(kIds + "-1-" + std::string(kParentId));
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->TraceIdHex(), kTraceId);
  EXPECT_EQ(trace->SpanIdHex(), kSpanId);
  EXPECT_TRUE(trace->sampled());
  EXPECT_FALSE(trace->debug);
  EXPECT_FALSE(trace->sampling_deferred);
}

TEST(ParseB3Test, ReadsAllStatesOfSampling) {
  const auto accept = ParseB3(kIds + "-1");
  EXPECT_TRUE(accept->sampled());
  const auto deny = ParseB3(kIds + "-0");
  EXPECT_FALSE(deny->sampled());
  EXPECT_FALSE(deny->sampling_deferred);
  const auto debug = ParseB3(kIds + "-d");
  EXPECT_TRUE(debug->sampled());
  EXPECT_TRUE(debug->debug);
  const auto defer = ParseB3(kIds);
  EXPECT_FALSE(defer->sampled());
  EXPECT_TRUE(defer->sampling_deferred);
}

TEST(ParseB3Test, PadsA64BitTraceIdOnTheLeft) {
  const auto trace =
      ParseB3(std::string(kShortId) + "-" + std::string(kSpanId) + "-1");
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->TraceIdHex(), "0000000000000000" + std::string(kShortId));
}

TEST(ParseB3Test, ReadsASamplingDecisionWithoutIds) {
  EXPECT_FALSE(ParseB3("0")->sampled());
  EXPECT_TRUE(ParseB3("1")->sampled());
  EXPECT_TRUE(ParseB3("d")->debug);
  EXPECT_FALSE(ParseB3("0")->valid());
  EXPECT_FALSE(ParseB3("0")->sampling_deferred);
}

TEST(ParseB3Test, RejectsAllElse) {
  const std::string parent = "-" + std::string(kParentId);
  for (const std::string& bad : {std::string(),
                                 std::string("2"),
                                 std::string("true"),
                                 std::string("-"),
                                 std::string(kTraceId),
                                 kIds + "-",
                                 kIds + "-2",
                                 kIds + "-D",
                                 kIds + "-11",
                                 kIds + "-1-",
                                 kIds + "-1" + parent + "-",
                                 kIds + "-1" + parent + "0",
                                 kIds + "-1-" + "05e3ac9a",
                                 kIds + "-1-0000000000000000",
                                 kIds + "--1",
                                 kIds + parent,
                                 "-" + kIds,
                                 kIds.substr(1),
                                 kIds.substr(0, 48),
                                 std::string(32, '0') + kIds.substr(32),
                                 kIds.substr(0, 33) + std::string(16, '0'),
                                 "80F198EE" + kIds.substr(8),
                                 " " + kIds,
                                 kIds + " ",
                                 kIds + std::string("\0", 1),
                                 std::string(1 << 20, '-')}) {
    EXPECT_FALSE(Parses(bad)) << bad.substr(0, 100);
  }
}

TEST(ParseB3Test, RejectsEveryTruncationButWholeFields) {
  const std::string whole = kIds + "-1-" + std::string(kParentId);
  for (size_t n = 0; n < whole.size(); ++n) {
    EXPECT_EQ(Parses(whole.substr(0, n)), n == 49 || n == 51) << n;
  }
}

class B3PropagatorTest : public ::testing::Test {
 protected:
  static B3Propagator Writer(B3Format format) {
    B3Options options;
    options.write = format;
    return B3Propagator(options);
  }
  // null if no trace arrived.
  const TraceContext* Extract(const MapCarrier& carrier) {
    ctx_ = propagator_.Extract(carrier, Background());
    return TraceOf(ctx_);
  }
  static MapCarrier Multi(std::string_view sampled = "",
                          std::string_view flags = "") {
    MapCarrier carrier{{"X-B3-TraceId", kTraceId},
                       {"X-B3-SpanId", kSpanId},
                       {"X-B3-ParentSpanId", kParentId}};
    if (!sampled.empty()) carrier.Set("x-b3-sampled", sampled);
    if (!flags.empty()) carrier.Set("x-b3-flags", flags);
    return carrier;
  }

  const B3Propagator propagator_;
  Context ctx_;
};

TEST_F(B3PropagatorTest, ReadsTheSingleHeader) {
  const TraceContext* trace = Extract(MapCarrier{{"b3", kIds + "-1"}});
  ASSERT_NE(trace, nullptr);
  EXPECT_EQ(trace->TraceIdHex(), kTraceId);
  EXPECT_EQ(trace->SpanIdHex(), kSpanId);
  EXPECT_TRUE(trace->sampled());
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(B3PropagatorTest, ReadsSeveralHeaders) {
  const TraceContext* trace = Extract(Multi("1"));
  ASSERT_NE(trace, nullptr);
  EXPECT_EQ(trace->TraceIdHex(), kTraceId);
  EXPECT_EQ(trace->SpanIdHex(), kSpanId);
  EXPECT_TRUE(trace->sampled());
  EXPECT_FALSE(Extract(Multi("0"))->sampled());
  EXPECT_FALSE(Extract(Multi("0"))->sampling_deferred);
  EXPECT_TRUE(Extract(Multi())->sampling_deferred);
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(B3PropagatorTest, ReadsA64BitTraceIdFromSeveralHeaders) {
  MapCarrier carrier = Multi("1");
  carrier.Set("x-b3-traceid", kShortId);
  EXPECT_EQ(Extract(carrier)->TraceIdHex(),
            "0000000000000000" + std::string(kShortId));
}

TEST_F(B3PropagatorTest, DebugFlagImpliesSampled) {
  EXPECT_TRUE(Extract(Multi("", "1"))->debug);
  EXPECT_TRUE(Extract(Multi("", "1"))->sampled());
  EXPECT_TRUE(Extract(Multi("0", "1"))->sampled());
  EXPECT_FALSE(Extract(Multi("1", "0"))->debug);
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(B3PropagatorTest, AcceptsTheWordsOfOlderTracers) {
  EXPECT_TRUE(Extract(Multi("true"))->sampled());
  EXPECT_FALSE(Extract(Multi("false"))->sampled());
  EXPECT_FALSE(Extract(Multi("false"))->sampling_deferred);
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(B3PropagatorTest, SingleHeaderTakesPrecedence) {
  MapCarrier carrier = Multi("1");
  carrier.Set("b3", std::string(kShortId) + "-" + std::string(kParentId));
  EXPECT_EQ(Extract(carrier)->SpanIdHex(), kParentId);
}

TEST_F(B3PropagatorTest, OthersAreReadWhereTheSingleHeaderIsMalformed) {
  MapCarrier carrier = Multi("1");
  carrier.Set("b3", "garbage");
  EXPECT_EQ(Extract(carrier)->SpanIdHex(), kSpanId);
  EXPECT_EQ(propagator_.Dropped(), 1);
}

TEST_F(B3PropagatorTest, DecisionAloneStartsATraceWithIt) {
  for (const MapCarrier& deny :
       {MapCarrier{{"b3", "0"}}, MapCarrier{{"x-b3-sampled", "0"}}}) {
    const TraceContext* trace = Extract(deny);
    ASSERT_NE(trace, nullptr);
    EXPECT_TRUE(trace->valid());
    EXPECT_FALSE(trace->sampled());
    EXPECT_FALSE(trace->sampling_deferred);
  }
  EXPECT_TRUE(Extract(MapCarrier{{"b3", "1"}})->sampled());
  EXPECT_TRUE(Extract(MapCarrier{{"b3", "d"}})->debug);
  EXPECT_TRUE(Extract(MapCarrier{{"x-b3-flags", "1"}})->debug);
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(B3PropagatorTest, DropsAndCountsWhatIsMalformed) {
  MapCarrier carrier = Multi("1");
  carrier.Set("x-b3-spanid", "short");
  EXPECT_EQ(Extract(carrier), nullptr);
  EXPECT_EQ(propagator_.Dropped(), 1);
  EXPECT_EQ(Extract(MapCarrier{{"x-b3-traceid", kTraceId}}), nullptr);
  EXPECT_EQ(Extract(MapCarrier{{"x-b3-spanid", kSpanId}}), nullptr);
  EXPECT_EQ(propagator_.Dropped(), 3);
  EXPECT_TRUE(Extract(Multi("2"))->sampling_deferred);
  EXPECT_FALSE(Extract(Multi("1", "2"))->debug);
  EXPECT_EQ(propagator_.Dropped(), 5);
}

TEST_F(B3PropagatorTest, EqualCopiesCountAsOne) {
  MapCarrier single;
  single.Add("b3", kIds);
  single.Add("b3", kIds);
  EXPECT_NE(Extract(single), nullptr);
  MapCarrier multi = Multi("1");
  multi.Add("x-b3-sampled", "1");
  EXPECT_FALSE(Extract(multi)->sampling_deferred);
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(B3PropagatorTest, DropsRepeatedHeaders) {
  MapCarrier single;
  single.Add("b3", kIds);
  single.Add("b3", "0");
  EXPECT_EQ(Extract(single), nullptr);
  EXPECT_EQ(propagator_.Dropped(), 1);
  MapCarrier multi = Multi("1");
  multi.Add("x-b3-sampled", "0");
  EXPECT_TRUE(Extract(multi)->sampling_deferred);
  EXPECT_EQ(propagator_.Dropped(), 2);
}

TEST_F(B3PropagatorTest, WithoutHeadersReturnsTheSameContext) {
  const Context ctx = WithTrace(Background(), NewTrace());
  EXPECT_EQ(propagator_.Extract(MapCarrier(), ctx), ctx);
  EXPECT_EQ(
      propagator_.Extract(MapCarrier{{"x-b3-parentspanid", kParentId}}, ctx),
      ctx);
}

TEST_F(B3PropagatorTest, WritesNothingUnlessToldSo) {
  MapCarrier out;
  propagator_.Inject(WithTrace(Background(), NewTrace()), out);
  EXPECT_TRUE(out.map().empty());
}

TEST_F(B3PropagatorTest, WritesTheSingleHeader) {
  const B3Propagator writer = Writer(B3Format::kSingle);
  for (const std::string_view state : {"0", "1", "d"}) {
    Extract(MapCarrier{{"b3", kIds + "-" + std::string(state)}});
    MapCarrier out;
    writer.Inject(ctx_, out);
    ASSERT_EQ(out.map().size(), 1u);
    const std::string sent(out.Get("b3").value());
    ASSERT_EQ(sent.size(), 68u);
    EXPECT_EQ(sent.substr(0, 33), std::string(kTraceId) + "-");
    EXPECT_NE(sent.substr(33, 16), kSpanId);
    EXPECT_EQ(sent.substr(49),
              "-" + std::string(state) + "-" + std::string(kSpanId));
    EXPECT_TRUE(Parses(sent));
  }
}

TEST_F(B3PropagatorTest, WritesADeferredDecisionAsNone) {
  Extract(MapCarrier{{"b3", kIds}});
  MapCarrier out;
  Writer(B3Format::kSingle).Inject(ctx_, out);
  EXPECT_EQ(out.Get("b3")->size(), 49u);
  MapCarrier multi;
  Writer(B3Format::kMulti).Inject(ctx_, multi);
  EXPECT_EQ(multi.Get("x-b3-sampled"), std::nullopt);
  EXPECT_EQ(multi.Get("x-b3-flags"), std::nullopt);
}

TEST_F(B3PropagatorTest, WritesSeveralHeaders) {
  Extract(Multi("1"));
  MapCarrier out;
  Writer(B3Format::kMulti).Inject(ctx_, out);
  EXPECT_EQ(out.map().size(), 4u);
  EXPECT_EQ(out.Get("x-b3-traceid"), kTraceId);
  EXPECT_EQ(out.Get("x-b3-spanid")->size(), 16u);
  EXPECT_NE(out.Get("x-b3-spanid"), kSpanId);
  EXPECT_EQ(out.Get("x-b3-parentspanid"), kSpanId);
  EXPECT_EQ(out.Get("x-b3-sampled"), "1");
}

TEST_F(B3PropagatorTest, WritesDebugInsteadOfSampled) {
  Extract(Multi("", "1"));
  MapCarrier out;
  Writer(B3Format::kMulti).Inject(ctx_, out);
  EXPECT_EQ(out.Get("x-b3-flags"), "1");
  EXPECT_EQ(out.Get("x-b3-sampled"), std::nullopt);
}

TEST_F(B3PropagatorTest, WritesAShortTraceIdAsItCame) {
  Extract(
      MapCarrier{{"b3", std::string(kShortId) + "-" + std::string(kSpanId)}});
  MapCarrier out;
  Writer(B3Format::kMulti).Inject(ctx_, out);
  EXPECT_EQ(out.Get("x-b3-traceid"), kShortId);
  MapCarrier single;
  Writer(B3Format::kSingle).Inject(ctx_, single);
  EXPECT_EQ(single.Get("b3")->substr(0, 17), std::string(kShortId) + "-");
}

TEST_F(B3PropagatorTest, InjectDropsAnInvalidTrace) {
  const B3Propagator writer = Writer(B3Format::kSingle);
  MapCarrier out;
  writer.Inject(WithTrace(Background(), TraceContext()), out);
  writer.Inject(Background(), out);
  EXPECT_TRUE(out.map().empty());
  EXPECT_EQ(writer.Dropped(), 1);
}

TEST_F(B3PropagatorTest, WritesNoMoreThanItSays) {
  for (const B3Format format :
       {B3Format::kNone, B3Format::kSingle, B3Format::kMulti}) {
    const B3Propagator writer = Writer(format);
    const Context ctx = WithTrace(Background(), NewTrace(true));
    MapCarrier out;
    writer.Inject(ctx, out);
    size_t bytes = 0;
    for (const auto& [key, value] : out.map()) {
      bytes += key.size() + value.size() + 32;
    }
    EXPECT_EQ(bytes, writer.MaxInjectBytes(ctx));
  }
}

TEST_F(B3PropagatorTest, NamesItsFields) {
  EXPECT_EQ(propagator_.Fields(),
            (std::vector<std::string_view>{"b3", "x-b3-traceid", "x-b3-spanid",
                                           "x-b3-flags", "x-b3-parentspanid",
                                           "x-b3-sampled"}));
}

// ---- Together with W3C Trace Context ---------------------------------------

CompositePropagator Both(B3Format write) {
  B3Options options;
  options.write = write;
  return CompositePropagator(TraceContextPropagator(), B3Propagator(options));
}

TEST(B3AndW3cTest, B3ComesInAndW3cGoesOut) {
  const CompositePropagator both = Both(B3Format::kNone);
  const Context ctx =
      both.Extract(MapCarrier{{"b3", kIds + "-1"}}, Background());
  MapCarrier out;
  both.Inject(ctx, out);
  ASSERT_EQ(out.map().size(), 1u);
  const auto sent = ParseTraceParent(out.Get("traceparent").value());
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(sent->TraceIdHex(), kTraceId);
  // Level 2: an id that may be padded must not be marked as random.
  EXPECT_EQ(sent->flags, TraceContext::kSampled);
}

TEST(B3AndW3cTest, W3cComesInAndB3GoesOut) {
  const CompositePropagator both = Both(B3Format::kMulti);
  MapCarrier in{{"traceparent", "00-" + kIds + "-00"}, {"tracestate", "a=1"}};
  MapCarrier out;
  both.Inject(both.Extract(in, Background()), out);
  EXPECT_EQ(out.Get("x-b3-traceid"), kTraceId);
  EXPECT_EQ(out.Get("x-b3-parentspanid"), kSpanId);
  EXPECT_EQ(out.Get("x-b3-sampled"), "0");
  EXPECT_EQ(out.Get("tracestate"), "a=1");
}

TEST(B3AndW3cTest, W3cWinsWhereBothComeIn) {
  const CompositePropagator both = Both(B3Format::kNone);
  MapCarrier in{{"traceparent", "00-" + kIds + "-00"},
                {"tracestate", "a=1"},
                {"b3", std::string(kShortId) + "-" + std::string(kParentId)}};
  Context ctx = both.Extract(in, Background());
  EXPECT_EQ(TraceOf(ctx)->TraceIdHex(), kTraceId);
  EXPECT_EQ(TraceOf(ctx)->trace_state, "a=1");
  // Not if W3C's header is malformed, and not for another trace.
  in.Set("traceparent", "garbage");
  ctx = both.Extract(in, ctx);
  EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), kParentId);
}

TEST(B3AndW3cTest, BothGoOutWithOneSpan) {
  for (const B3Format format : {B3Format::kSingle, B3Format::kMulti}) {
    const CompositePropagator both = Both(format);
    MapCarrier out;
    both.Inject(WithTrace(Background(), NewTrace()), out);
    const auto w3c = ParseTraceParent(out.Get("traceparent").value());
    const std::string b3 = format == B3Format::kMulti
                               ? std::string(*out.Get("x-b3-spanid"))
                               : std::string(*out.Get("b3")).substr(33, 16);
    EXPECT_EQ(b3, w3c->SpanIdHex());
  }
}

}  // namespace
}  // namespace tether
