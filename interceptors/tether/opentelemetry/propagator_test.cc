// SPDX-License-Identifier: Apache-2.0
//
// OpenTelemetry's propagators as tether propagators, and its spans as values of
// a context. There are no RPCs.

#include "tether/opentelemetry/propagator.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "opentelemetry/baggage/baggage_context.h"
#include "opentelemetry/baggage/propagation/baggage_propagator.h"
#include "opentelemetry/context/propagation/composite_propagator.h"
#include "opentelemetry/context/propagation/global_propagator.h"
#include "opentelemetry/context/propagation/noop_propagator.h"
#include "opentelemetry/context/runtime_context.h"
#include "opentelemetry/trace/context.h"
#include "opentelemetry/trace/default_span.h"
#include "opentelemetry/trace/propagation/b3_propagator.h"
#include "opentelemetry/trace/propagation/http_trace_context.h"
#include "opentelemetry/trace/scope.h"
#include "tether/context.h"
#include "tether/opentelemetry/span.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

namespace nostd = opentelemetry::nostd;
namespace trace = opentelemetry::trace;
using opentelemetry::context::RuntimeContext;
using opentelemetry::context::propagation::TextMapCarrier;
using TextMapPropagator = OpenTelemetryPropagator::TextMapPropagator;

constexpr std::string_view kTraceParent =
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr std::string_view kTraceId = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr std::string_view kSpanId = "00f067aa0ba902b7";

template <typename T>
OpenTelemetryPropagator Of() {
  return OpenTelemetryPropagator(nostd::shared_ptr<TextMapPropagator>(new T));
}

// Trace context and baggage: the setup of many programs.
OpenTelemetryPropagator Usual() {
  std::vector<std::unique_ptr<TextMapPropagator>> parts;
  parts.push_back(std::make_unique<trace::propagation::HttpTraceContext>());
  parts.push_back(std::make_unique<
                  opentelemetry::baggage::propagation::BaggagePropagator>());
  return OpenTelemetryPropagator(nostd::shared_ptr<TextMapPropagator>(
      new opentelemetry::context::propagation::CompositePropagator(
          std::move(parts))));
}

nostd::shared_ptr<trace::Span> ASpan(std::string_view header = kTraceParent) {
  const TraceContext from = *ParseTraceParent(header);
  return nostd::shared_ptr<trace::Span>(
      new trace::DefaultSpan(trace::SpanContext(
          trace::TraceId(from.trace_id), trace::SpanId(from.span_id),
          trace::TraceFlags(from.flags), /*is_remote=*/false)));
}

std::string BaggageInCurrent(const std::string& key) {
  opentelemetry::context::Context current = RuntimeContext::GetCurrent();
  std::string value;
  opentelemetry::baggage::GetBaggage(current)->GetValue(key, value);
  return value;
}

TraceContext ActiveTrace() {
  const trace::SpanContext span =
      trace::GetSpan(RuntimeContext::GetCurrent())->GetContext();
  TraceContext result;
  span.trace_id().CopyBytesTo(result.trace_id);
  span.span_id().CopyBytesTo(result.span_id);
  return result;
}

TEST(OpenTelemetryPropagatorTest, WhatIsExtractedIsTheTraceOfTheContext) {
  const auto propagator = Of<trace::propagation::HttpTraceContext>();
  const MapCarrier carrier{{"traceparent", kTraceParent},
                           {"tracestate", "acme=p:3"}};
  const Context ctx = propagator.Extract(carrier, Background());
  ASSERT_NE(TraceOf(ctx), nullptr);
  EXPECT_EQ(TraceOf(ctx)->TraceIdHex(), kTraceId);
  EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), kSpanId);
  EXPECT_TRUE(TraceOf(ctx)->sampled());
  EXPECT_EQ(TraceOf(ctx)->trace_state, "acme=p:3");
  EXPECT_TRUE(SpanOf(ctx)->GetContext().IsRemote());
}

TEST(OpenTelemetryPropagatorTest, TheSpanOfTheContextIsInjected) {
  const auto propagator = Of<trace::propagation::HttpTraceContext>();
  MapCarrier carrier;
  propagator.Inject(WithSpan(Background(), ASpan()), carrier);
  EXPECT_EQ(carrier.Get("traceparent"), kTraceParent);

  TraceContext plain = NewTrace();
  plain.trace_state = "acme=1";
  MapCarrier of_a_trace;
  propagator.Inject(WithTrace(Background(), plain), of_a_trace);
  EXPECT_EQ(of_a_trace.Get("traceparent"), FormatTraceParent(plain));
  EXPECT_EQ(of_a_trace.Get("tracestate"), "acme=1");

  MapCarrier of_nothing;
  propagator.Inject(Background(), of_nothing);
  EXPECT_TRUE(of_nothing.map().empty());
}

TEST(OpenTelemetryPropagatorTest, BaggageGoesThroughBesideTheTrace) {
  const auto propagator = Usual();
  const MapCarrier carrier{{"traceparent", kTraceParent},
                           {"baggage", "user=alice"}};
  const Context ctx = propagator.Extract(carrier, Background());
  {
    const auto active = ActivateSpan(ctx);
    EXPECT_EQ(BaggageInCurrent("user"), "alice");
    EXPECT_EQ(ActiveTrace().SpanIdHex(), kSpanId);
  }
  // A span of the application changes the trace, and nothing else.
  const Context child =
      WithSpan(ctx, ASpan("00-4bf92f3577b34da6a3ce929d0e0e4736-"
                          "1111111111111111-01"));
  MapCarrier sent;
  propagator.Inject(child, sent);
  EXPECT_EQ(sent.Get("baggage"), "user=alice");
  EXPECT_EQ(sent.Get("traceparent")->substr(36, 16), "1111111111111111");
}

TEST(OpenTelemetryPropagatorTest, WithoutAnythingToReadTheContextStays) {
  const auto propagator = Usual();
  const Context ctx = WithTrace(Background(), NewTrace());
  EXPECT_EQ(propagator.Extract(MapCarrier{{"other", "1"}}, ctx), ctx);
}

TEST(OpenTelemetryPropagatorTest, ABadHeaderDoesNotHideTheContextsSpan) {
  const auto propagator = Usual();
  const Context parent = WithSpan(Background(), ASpan());
  for (const char* bad : {"", "00-zz-zz-01", "nonsense"}) {
    const Context ctx = propagator.Extract(
        MapCarrier{{"traceparent", bad}, {"baggage", "user=bob"}}, parent);
    EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), kSpanId);
    const auto active = ActivateSpan(ctx);
    EXPECT_EQ(ActiveTrace().SpanIdHex(), kSpanId);
    EXPECT_EQ(BaggageInCurrent("user"), "bob");
  }
}

TEST(OpenTelemetryPropagatorTest, RepeatedHeadersAreOneList) {
  const auto propagator = Usual();
  MapCarrier carrier{{"traceparent", kTraceParent}, {"tracestate", "a=1"}};
  carrier.Add("tracestate", "b=2");
  carrier.Add("baggage", "user=alice");
  carrier.Add("baggage", "role=admin");
  const Context ctx = propagator.Extract(carrier, Background());
  EXPECT_EQ(TraceOf(ctx)->trace_state, "a=1,b=2");
  const auto active = ActivateSpan(ctx);
  EXPECT_EQ(BaggageInCurrent("user"), "alice");
  EXPECT_EQ(BaggageInCurrent("role"), "admin");
  EXPECT_EQ(propagator.Dropped(), 0);
}

// The standard requires it: no copy can be trusted.
TEST(OpenTelemetryPropagatorTest, ARepeatedTraceparentIsNone) {
  const auto propagator = Of<trace::propagation::HttpTraceContext>();
  MapCarrier carrier{{"traceparent", kTraceParent}};
  carrier.Add("traceparent", kTraceParent);  // an equal copy
  EXPECT_NE(TraceOf(propagator.Extract(carrier, Background())), nullptr);
  carrier.Add("traceparent",
              "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01");
  EXPECT_EQ(TraceOf(propagator.Extract(carrier, Background())), nullptr);
}

TEST(OpenTelemetryPropagatorTest, AHeaderThatIsRepeatedTooOftenIsDropped) {
  const auto propagator = Of<trace::propagation::HttpTraceContext>();
  MapCarrier carrier{{"traceparent", kTraceParent}};
  for (int i = 0; i < 33; ++i) {
    carrier.Add("tracestate", "k" + std::to_string(i) + "=1");
  }
  const Context ctx = propagator.Extract(carrier, Background());
  EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), kSpanId);
  EXPECT_EQ(TraceOf(ctx)->trace_state, "");
  EXPECT_EQ(propagator.Dropped(), 1);
}

// OpenTelemetry writes "X-B3-TraceId"; HTTP/2 has no upper case.
TEST(OpenTelemetryPropagatorTest, NamesOfHeadersAreLowerCase) {
  const auto propagator = Of<trace::propagation::B3PropagatorMultiHeader>();
  const Context ctx = propagator.Extract(MapCarrier{{"x-b3-traceid", kTraceId},
                                                    {"x-b3-spanid", kSpanId},
                                                    {"x-b3-sampled", "1"}},
                                         Background());
  ASSERT_NE(TraceOf(ctx), nullptr);
  EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), kSpanId);
  MapCarrier carrier;
  propagator.Inject(ctx, carrier);
  EXPECT_EQ(carrier.Get("x-b3-spanid"), kSpanId);
  EXPECT_EQ(propagator.Fields(),
            (std::vector<std::string_view>{"x-b3-traceid", "x-b3-spanid",
                                           "x-b3-sampled"}));
}

class Careless final : public TextMapPropagator {
 public:
  opentelemetry::context::Context Extract(
      const TextMapCarrier& carrier,
      opentelemetry::context::Context& context) noexcept override {
    std::string keys;
    carrier.Keys([&keys](nostd::string_view key) {
      keys += std::string(key) + " ";
      return true;
    });
    if (keys.empty()) return context;
    auto result = context.SetValue("careless", int64_t{1});
    return trace::SetSpan(
        result, nostd::shared_ptr<trace::Span>(
                    new trace::DefaultSpan(trace::SpanContext::GetInvalid())));
  }
  void Inject(TextMapCarrier& carrier,
              const opentelemetry::context::Context&) noexcept override {
    carrier.Set("x-good", "fine");
    carrier.Set("x-line", "a\r\nb: c");
    carrier.Set("x-umlaut", "\xc3\xa4");
    carrier.Set("x y", "1");
    carrier.Set("", "1");
    carrier.Set("grpc-timeout", "1S");
    carrier.Set("x-bytes-bin", "1");
    EXPECT_EQ(carrier.Get("X-Good"), "fine");
    EXPECT_EQ(carrier.Get("x-line"), "");
  }
  bool Fields(
      nostd::function_ref<bool(nostd::string_view)>) const noexcept override {
    return true;
  }
};

// gRPC would fail a call with such a header.
TEST(OpenTelemetryPropagatorTest, WhatGrpcCannotSendIsLeftOutAndCounted) {
  const auto propagator = Of<Careless>();
  MapCarrier carrier;
  propagator.Inject(Background(), carrier);
  EXPECT_EQ(carrier.map(), (MapCarrier::Map{{"x-good", "fine"}}));
  EXPECT_EQ(propagator.Dropped(), 6);
}

TEST(OpenTelemetryPropagatorTest, AnyValueOfOpenTelemetrysContextIsKept) {
  const auto propagator = Of<Careless>();
  const Context ctx = propagator.Extract(MapCarrier{{"x", "1"}}, Background());
  EXPECT_EQ(TraceOf(ctx), nullptr);
  const auto active = ActivateSpan(ctx);
  EXPECT_TRUE(RuntimeContext::GetCurrent().HasKey("careless"));
}

TEST(OpenTelemetryPropagatorTest, ABadSpanDoesNotHideTheContextsOwn) {
  const auto propagator = Of<Careless>();
  const Context parent = WithSpan(Background(), ASpan());
  const Context ctx = propagator.Extract(MapCarrier{{"x", "1"}}, parent);
  EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), kSpanId);
  const auto active = ActivateSpan(ctx);
  EXPECT_TRUE(RuntimeContext::GetCurrent().HasKey("careless"));
  EXPECT_EQ(ActiveTrace().SpanIdHex(), kSpanId);
}

TEST(OpenTelemetryPropagatorTest, ByDefaultItIsTheGlobalOne) {
  using opentelemetry::context::propagation::GlobalTextMapPropagator;
  GlobalTextMapPropagator::SetGlobalPropagator(
      nostd::shared_ptr<TextMapPropagator>(
          new trace::propagation::HttpTraceContext));
  const OpenTelemetryPropagator propagator;
  GlobalTextMapPropagator::SetGlobalPropagator(
      nostd::shared_ptr<TextMapPropagator>(
          new opentelemetry::context::propagation::NoOpPropagator));
  const MapCarrier carrier{{"traceparent", kTraceParent}};
  EXPECT_EQ(TraceOf(propagator.Extract(carrier, Background()))->SpanIdHex(),
            kSpanId);
  EXPECT_EQ(propagator.Fields(),
            (std::vector<std::string_view>{"traceparent", "tracestate"}));
  const OpenTelemetryPropagator later;
  EXPECT_EQ(later.Extract(carrier, Background()), Background());
}

TEST(OpenTelemetrySpanTest, WithSpanIsTheTraceToo) {
  const auto span = ASpan();
  const Context ctx = WithSpan(Background(), span);
  EXPECT_EQ(SpanOf(ctx).get(), span.get());
  EXPECT_EQ(FormatTraceParent(*TraceOf(ctx)), kTraceParent);
}

TEST(OpenTelemetrySpanTest, ATraceThatIsSetLaterCounts) {
  const TraceContext other = NewTrace();
  const Context ctx = WithTrace(WithSpan(Background(), ASpan()), other);
  EXPECT_EQ(*TraceOf(ctx), other);
  EXPECT_FALSE(SpanOf(ctx)->IsRecording());
  trace::SpanId id = SpanOf(ctx)->GetContext().span_id();
  EXPECT_TRUE(
      std::equal(other.span_id.begin(), other.span_id.end(), id.Id().begin()));
  // An invalid trace removes the span.
  const Context none = WithTrace(WithSpan(Background(), ASpan()), {});
  EXPECT_FALSE(SpanOf(none)->GetContext().IsValid());
}

TEST(OpenTelemetrySpanTest, WithoutASpanThereIsOneThatIsNotValid) {
  EXPECT_FALSE(SpanOf(Background())->GetContext().IsValid());
  EXPECT_EQ(WithSpan(Background(), nostd::shared_ptr<trace::Span>()),
            Background());
  EXPECT_EQ(WithSpan(Background(), SpanOf(Background())), Background());
}

TEST(OpenTelemetrySpanTest, ADebugTraceOfB3StaysOne) {
  TraceContext debug = *ParseTraceParent(kTraceParent);
  debug.debug = true;
  const Context parent = WithTrace(Background(), debug);
  const Context child = WithSpan(
      parent, ASpan("00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01"));
  EXPECT_TRUE(TraceOf(child)->debug);
  const Context stranger = WithSpan(
      parent, ASpan("00-11111111111111111111111111111111-1111111111111111-01"));
  EXPECT_FALSE(TraceOf(stranger)->debug);
}

TEST(OpenTelemetrySpanTest, ActivateSpanNestsAndBelongsToItsThread) {
  const Context outer = WithSpan(Background(), ASpan());
  const Context inner = WithTrace(Background(), NewTrace());
  {
    const auto first = ActivateSpan(outer);
    EXPECT_EQ(ActiveTrace().SpanIdHex(), kSpanId);
    {
      const auto second = ActivateSpan(inner);
      EXPECT_EQ(ActiveTrace().SpanIdHex(), TraceOf(inner)->SpanIdHex());
      const auto third = ActivateSpan(Background());
      EXPECT_FALSE(ActiveTrace().valid());
    }
    EXPECT_EQ(ActiveTrace().SpanIdHex(), kSpanId);
    std::thread([] { EXPECT_FALSE(ActiveTrace().valid()); }).join();
  }
  EXPECT_FALSE(ActiveTrace().valid());
}

TEST(OpenTelemetrySpanTest, WhatIsLeftActiveAboveGoesWithIt) {
  std::unique_ptr<trace::Scope> forgotten;
  {
    const Context ctx = WithSpan(Background(), ASpan());
    const auto active = ActivateSpan(ctx);
    forgotten = std::make_unique<trace::Scope>(SpanOf(ctx));
  }
  EXPECT_FALSE(ActiveTrace().valid());
}

}  // namespace
}  // namespace tether
