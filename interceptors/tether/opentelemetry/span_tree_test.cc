// SPDX-License-Identifier: Apache-2.0
//
// The parents of spans, within one hop and across several.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "opentelemetry/trace/propagation/http_trace_context.h"
#include "opentelemetry/trace/scope.h"
#include "tether/current.h"
#include "tether/grpc/client.h"
#include "tether/grpc/describe.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/opentelemetry/propagator.h"
#include "tether/opentelemetry/span.h"
#include "tether/opentelemetry/testing/fixture.h"
#include "tether/propagation/b3.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

namespace nostd = testing::nostd;
namespace trace = testing::trace;
using testing::ActiveSpan;
using testing::Exported;
using testing::Hex;
using testing::kNoSpan;
using testing::OpenTelemetryFixture;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;
using testing::Receiver;

class SpanTreeTest : public OpenTelemetryFixture {};

TEST_F(SpanTreeTest, SpansFormTheCallTreeOverThreeHops) {
  ProbeServer hop3(Bridged()), hop2(Bridged()), hop1(Bridged());
  auto stub2 = Stub(hop2), stub3 = Stub(hop3), stub1 = Stub(hop1);
  const auto check = [](const grpc::ServerContext& sc) {
    const TraceContext* trace = TraceOf(ContextOf(sc));
    ASSERT_NE(trace, nullptr);
    EXPECT_EQ(trace->SpanIdHex(), ActiveSpan());
    EXPECT_TRUE(SpanOf(ContextOf(sc))->IsRecording());
    EXPECT_EQ(Current(), ContextOf(sc));
  };
  hop1.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    check(sc);
    ClientCall call(ContextOf(sc));
    return Call(*stub2, call);
  };
  hop2.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    check(sc);
    grpc::ClientContext call;  // works for Current()
    return Call(*stub3, call);
  };
  hop3.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    check(sc);
    return grpc::Status::OK;
  };
  auto root = tracer_->StartSpan("root");
  {
    const trace::Scope scope(root);
    grpc::ClientContext call;
    EXPECT_TRUE(Call(*stub1, call).ok());
  }
  root->End();

  std::map<std::string, Exported> by_id;
  std::string leaf;
  for (const Exported& span : Spans(7)) {
    EXPECT_EQ(span.trace_id, Hex(root->GetContext().trace_id()));
    by_id.emplace(span.id, span);
  }
  std::set<std::string> parents;
  for (const auto& [id, span] : by_id) parents.insert(span.parent_id);
  for (const auto& [id, span] : by_id) {
    if (parents.count(id) == 0) leaf = id;
  }
  std::string path;
  for (std::string id = leaf; id != kNoSpan; id = by_id.at(id).parent_id) {
    ASSERT_EQ(by_id.count(id), 1u) << path;
    const Exported& span = by_id.at(id);
    path += span.is_server() ? 'S' : span.is_client() ? 'C' : 'R';
  }
  EXPECT_EQ(path, "SCSCSCR");
}

TEST_F(SpanTreeTest, ACallThatIsDescribedHasTheSameTrace) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_NE(DescribePropagation(sc), "");
    return grpc::Status::OK;
  };
  auto stub = Stub(server);
  for (const bool describe : {false, true}) {
    CallOptions options;
    options.describe_propagation = describe;
    std::string sent;
    {
      ClientCall call(Background(), options);
      EXPECT_TRUE(Call(*stub, call).ok());
      sent = DescribePropagation(call);
    }
    EXPECT_EQ(sent.find("traceparent (55 bytes): written") != std::string::npos,
              describe)
        << sent;
    const auto [client_span, server_span] = ClientAndServer();
    EXPECT_EQ(server_span.parent_id, client_span.id);
    EXPECT_EQ(server_span.trace_id, client_span.trace_id);
    EXPECT_EQ(client_span.parent_id, kNoSpan);
  }
}

TEST_F(SpanTreeTest, ATraceThatCameInIsTheParentOfTheServerSpan) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_EQ(TraceOf(ContextOf(sc))->trace_state, "acme=p:3");
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  call.AddMetadata("traceparent",
                   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  call.AddMetadata("tracestate", "acme=p:3");
  EXPECT_TRUE(Call(*stub, call).ok());
  const Exported span = Spans(1).at(0);
  EXPECT_TRUE(span.is_server());
  EXPECT_EQ(span.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(span.parent_id, "00f067aa0ba902b7");
  EXPECT_NE(span.id, span.parent_id);
  EXPECT_EQ(span.trace_state, "acme=p:3");
}

TEST_F(SpanTreeTest, ARequestWithoutAGoodTraceStartsOne) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_TRUE(TraceOf(ContextOf(sc))->valid());
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  call.AddMetadata("traceparent", "00-nonsense-01");
  EXPECT_TRUE(Call(*stub, call).ok());
  EXPECT_EQ(Spans(1).at(0).parent_id, kNoSpan);
}

// A span of an untrusted caller is never a parent.
TEST_F(SpanTreeTest, AtTheEdgeATraceBegins) {
  ServerOptions options;
  options.edge.emplace();
  ProbeServer server(Bridged(options));
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_EQ(TraceOf(ContextOf(sc))->SpanIdHex(), ActiveSpan());
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  call.AddMetadata("traceparent",
                   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  EXPECT_TRUE(Call(*stub, call).ok());
  const Exported span = Spans(1).at(0);
  EXPECT_EQ(span.parent_id, kNoSpan);
  EXPECT_NE(span.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
}

// The decision of the sampler upstream holds: nothing is recorded, and the next
// hop receives the decision.
TEST_F(SpanTreeTest, AnUnsampledTraceGoesOnUnsampled) {
  ProbeServer leaf(Bridged()), server(Bridged());
  auto to_leaf = Stub(leaf);
  leaf.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    const TraceContext* trace = TraceOf(ContextOf(sc));
    EXPECT_EQ(trace->TraceIdHex(), "4bf92f3577b34da6a3ce929d0e0e4736");
    EXPECT_FALSE(trace->sampled());
    return grpc::Status::OK;
  };
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_NE(TraceOf(ContextOf(sc))->SpanIdHex(), "00f067aa0ba902b7");
    grpc::ClientContext call;
    return Call(*to_leaf, call);
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  call.AddMetadata("traceparent",
                   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
  EXPECT_TRUE(Call(*stub, call).ok());
}

TEST_F(SpanTreeTest, TheHeadersNameTheClientSpan) {
  Receiver receiver;
  auto stub = Stub(receiver.server());
  TraceContext trace = NewTrace(/*sampled=*/true);
  trace.trace_state = "acme=p:3,other=1";
  ClientCall call(WithTrace(Background(), trace));
  EXPECT_TRUE(Call(*stub, call).ok());
  const Exported span = Spans(1).at(0);
  EXPECT_EQ(span.trace_id, trace.TraceIdHex());
  EXPECT_EQ(span.parent_id, trace.SpanIdHex());
  EXPECT_EQ(receiver.Get("traceparent").substr(0, 52),
            "00-" + span.trace_id + "-" + span.id);
  EXPECT_TRUE(ParseTraceParent(receiver.Get("traceparent"))->sampled());
  EXPECT_EQ(receiver.Get("tracestate"), "acme=p:3,other=1");
}

TEST_F(SpanTreeTest, WithoutATraceACallStartsOne) {
  Receiver receiver;
  auto stub = Stub(receiver.server());
  grpc::ClientContext call;
  EXPECT_TRUE(Call(*stub, call).ok());
  const Exported span = Spans(1).at(0);
  EXPECT_EQ(span.parent_id, kNoSpan);
  EXPECT_EQ(receiver.Get("traceparent"),
            "00-" + span.trace_id + "-" + span.id + "-01");
}

TEST_F(SpanTreeTest, SoDoTheHeadersOfB3) {
  Receiver receiver;
  const TraceContext trace = NewTrace(/*sampled=*/true);
  for (const B3Format format : {B3Format::kSingle, B3Format::kMulti}) {
    for (const bool root : {false, true}) {
      for (const bool beside_w3c : {false, true}) {
        B3Options b3;
        b3.write = format;
        std::vector<std::shared_ptr<const Propagator>> parts;
        if (beside_w3c) {
          parts.push_back(std::make_shared<TraceContextPropagator>());
        }
        parts.push_back(std::make_shared<B3Propagator>(b3));
        ClientOptions options;
        options.propagator = std::make_shared<CompositePropagator>(parts);
        auto stub = Stub(receiver.server(), options);
        ClientCall call(root ? Background() : WithTrace(Background(), trace));
        EXPECT_TRUE(Call(*stub, call).ok());
        const Exported span = Spans(1).at(0);
        if (format == B3Format::kSingle) {
          EXPECT_EQ(receiver.Get("b3"),
                    span.trace_id + "-" + span.id + "-1" +
                        (root ? "" : "-" + trace.SpanIdHex()));
        } else {
          EXPECT_EQ(receiver.Get("x-b3-traceid"), span.trace_id);
          EXPECT_EQ(receiver.Get("x-b3-spanid"), span.id);
          EXPECT_EQ(receiver.Get("x-b3-parentspanid"),
                    root ? "" : trace.SpanIdHex());
        }
        EXPECT_EQ(receiver.Get("traceparent"),
                  beside_w3c ? "00-" + span.trace_id + "-" + span.id + "-0" +
                                   (root ? "1" : "3")
                             : "");
      }
    }
  }
}

TEST_F(SpanTreeTest, AHeaderOfTheApplicationStays) {
  Receiver receiver;
  auto stub = Stub(receiver.server());
  const std::string own =
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  TraceContext trace = NewTrace(/*sampled=*/true);
  trace.trace_state = "acme=1";
  ClientCall call(WithTrace(Background(), trace));
  call.AddMetadata("traceparent", own);
  EXPECT_TRUE(Call(*stub, call).ok());
  EXPECT_EQ(receiver.Get("traceparent"), own);
  EXPECT_EQ(receiver.Get("tracestate"), "");  // it belongs to another trace
  Spans(1);
}

TEST_F(SpanTreeTest, WithOpenTelemetrysPropagatorSpansFormTheTreeToo) {
  const auto propagator = std::make_shared<OpenTelemetryPropagator>(
      nostd::shared_ptr<OpenTelemetryPropagator::TextMapPropagator>(
          new trace::propagation::HttpTraceContext));
  ServerOptions server_options;
  server_options.propagator = propagator;
  ClientOptions client_options;
  client_options.propagator = propagator;
  ProbeServer server(Bridged(server_options));
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_EQ(TraceOf(ContextOf(sc))->SpanIdHex(), ActiveSpan());
    return grpc::Status::OK;
  };
  auto stub = Stub(server, client_options);
  auto root = tracer_->StartSpan("root");
  ClientCall call(WithSpan(Background(), root));
  EXPECT_TRUE(Call(*stub, call).ok());
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(client_span.parent_id, Hex(root->GetContext().span_id()));
  EXPECT_EQ(server_span.parent_id, client_span.id);
  EXPECT_EQ(server_span.trace_id, client_span.trace_id);
  root->End();
  Spans(1);
}

TEST_F(SpanTreeTest, ASpanStartedBelowTheContextsIsTheParentOfItsCalls) {
  ProbeServer server(Bridged());
  Receiver receiver;
  auto stub = Stub(receiver.server());
  std::string inner_id;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    auto inner = tracer_->StartSpan("inner");  // a child of the active span
    inner_id = Hex(inner->GetContext().span_id());
    const trace::Scope scope(inner);
    ClientCall call(ContextOf(sc));
    const grpc::Status status = Call(*stub, call);
    inner->End();
    return status;
  };
  auto outer_stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  EXPECT_TRUE(Call(*outer_stub, call).ok());
  std::vector<Exported> spans = Spans(3);  // in the order of their ends
  EXPECT_TRUE(spans.at(0).is_client());
  EXPECT_EQ(spans.at(0).parent_id, inner_id);
  EXPECT_EQ(spans.at(1).parent_id, spans.at(2).id);
}

TEST_F(SpanTreeTest, TheContextOfACallPrevailsOverAnothersActiveSpan) {
  Receiver receiver;
  auto stub = Stub(receiver.server());
  auto mine = tracer_->StartSpan("mine");
  auto others = tracer_->StartSpan("others");
  const Context my_ctx = WithSpan(Background(), mine);
  const Context other_ctx = WithSpan(Background(), others);
  {
    const auto active = ActivateSpan(other_ctx);
    ClientCall call(my_ctx);
    EXPECT_TRUE(Call(*stub, call).ok());
    EXPECT_EQ(Spans(1).at(0).parent_id, Hex(mine->GetContext().span_id()));
  }
  {
    const trace::Scope scope(others);
    ClientCall call(my_ctx);
    EXPECT_TRUE(Call(*stub, call).ok());
    EXPECT_EQ(Spans(1).at(0).parent_id, Hex(mine->GetContext().span_id()));
  }
  {
    // The context's span is deeper than the active span.
    const auto active = ActivateSpan(my_ctx);
    auto deeper = tracer_->StartSpan("deeper");
    ClientCall call(WithSpan(my_ctx, deeper));
    EXPECT_TRUE(Call(*stub, call).ok());
    EXPECT_EQ(Spans(1).at(0).parent_id, Hex(deeper->GetContext().span_id()));
    deeper->End();
  }
  mine->End();
  others->End();
  Spans(3);
}

TEST_F(SpanTreeTest, ATraceThatWasEndedHasNoActiveSpanAsItsParent) {
  Receiver receiver;
  auto stub = Stub(receiver.server());
  auto active = tracer_->StartSpan("active");
  {
    const trace::Scope scope(active);
    ClientCall call(WithTrace(Background(), TraceContext()));
    EXPECT_TRUE(Call(*stub, call).ok());
  }
  EXPECT_EQ(Spans(1).at(0).parent_id, kNoSpan);
  active->End();
  Spans(1);
}

}  // namespace
}  // namespace tether
